package server_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// pooled is a store with the counts that one on PostgreSQL has.
type pooled struct{ server.Store }

func (pooled) Conflicts() (uint64, uint64) { return 1, 2 }
func (pooled) Pool() (int, int)            { return 3, 1 }

// allMetrics are the families of everything that a server can tell, with their labels.
func allMetrics(t *testing.T) map[string][]string {
	t.Helper()
	r := newRig(t)
	r.serve(func(c *server.Config) { c.Store = pooled{r.store} })
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	all := watched
	all.Syslog = func() server.SyslogCounts { return server.SyslogCounts{Up: true} }
	var text strings.Builder
	must(t, r.server.WriteMetrics(&text, all))
	labels := make(map[string][]string)
	for name := range series(t, text.String()) {
		base, rest, _ := strings.Cut(name, "{")
		labels[base] = append(labels[base], "job", "instance", "le")
		for _, l := range regexp.MustCompile(`([a-z_]+)="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
			labels[base] = append(labels[base], l[1], l[1]+"="+l[2])
		}
	}
	return labels
}

// wantMetrics checks that an expression names metrics that there are, and labels and
// values that they have.
func wantMetrics(t *testing.T, where, expr string, labels map[string][]string) (names []string) {
	t.Helper()
	selector := regexp.MustCompile(`\b((?:cpns|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		has := labels[m[1]]
		if has == nil {
			t.Errorf("%s: there is no metric %s", where, m[1])
			continue
		}
		names = append(names, m[1])
		for _, l := range regexp.MustCompile(`([a-z_]+)(=~?)"([^"]*)"`).FindAllStringSubmatch(m[2], -1) {
			for _, value := range strings.Split(l[3], "|") {
				if l[1] != "job" && l[1] != "instance" && !slices.Contains(has, l[1]+"="+value) {
					t.Errorf("%s: metric %s has no label %s=%q", where, m[1], l[1], value)
				}
			}
		}
	}
	if len(names) == 0 && !strings.Contains(expr, "up{") {
		t.Errorf("%s: no metric of the server's: %s", where, expr)
	}
	return names
}

// Every metric that the dashboard and the alarm rules name is one that there is, every one
// that there is, is on the dashboard, and docs/operating.md says what each is, and what to
// do about each alarm.
func TestDashboard(t *testing.T) {
	labels := allMetrics(t)
	raw, err := os.ReadFile("../../build/grafana/cpns-server.json")
	must(t, err)
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	must(t, json.Unmarshal(raw, &board))
	shown := make(map[string]bool)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			for _, name := range wantMetrics(t, p.Title, target.Expr, labels) {
				shown[name] = true
				for _, l := range regexp.MustCompile(`\{\{([a-z_]+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
					if !slices.Contains(labels[name], l[1]) {
						t.Errorf("%s: metric %s has no label %s", p.Title, name, l[1])
					}
				}
			}
		}
	}
	page, err := os.ReadFile("../../docs/operating.md")
	must(t, err)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !shown[name] && !shown[family+"_bucket"] {
			t.Errorf("the dashboard does not show %s", name)
		}
		if !strings.Contains(string(page), "`"+family+"`") {
			t.Errorf("docs/operating.md does not say what %s is", family)
		}
	}
	rules, err := os.ReadFile("../../build/prometheus/cpns-server.rules.yml")
	must(t, err)
	exprs := regexp.MustCompile(`(?m)^      - alert: (\S+)\n        expr: (.*)$`).FindAllStringSubmatch(string(rules), -1)
	if len(exprs) < 15 {
		t.Errorf("%d rules", len(exprs))
	}
	for _, m := range exprs {
		wantMetrics(t, m[1], m[2], labels)
		if !strings.Contains(string(page), "`"+m[1]+"`") {
			t.Errorf("docs/operating.md does not say what to do about %s", m[1])
		}
	}
}

// The alarm rules are what Prometheus takes, and ring when they should.
func TestAlarmRules(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "cpns-server.rules.yml"}, {"test", "rules", "cpns-server.test.yml"}} {
		c := promtool(t, args...)
		c.Dir = "../../build/prometheus"
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
