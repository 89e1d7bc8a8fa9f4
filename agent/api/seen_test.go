package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/audit"
)

// series are the samples of a text in Prometheus' format: its names with their labels,
// and values. Every sample has to stand below the type of its family.
func series(t *testing.T, text string) map[string]float64 {
	t.Helper()
	sample := regexp.MustCompile(`^([a-z0-9_]+)(\{[a-z_]+="(?:[^"\\]|\\.)*"(?:,[a-z_]+="(?:[^"\\]|\\.)*")*\})? (\S+)$`)
	all, types, family := map[string]float64{}, map[string]bool{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			family, _, _ = strings.Cut(rest, " ")
			if types[family] {
				t.Errorf("two families %s", family)
			}
			types[family] = true
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %s", line)
			continue
		}
		if name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(m[1], "_bucket"), "_sum"), "_count"); name != family && m[1] != family {
			t.Errorf("%s stands below the type of %s", m[1], family)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if _, twice := all[m[1]+m[2]]; err != nil || twice {
			t.Errorf("%s: %v, twice: %v", line, err, twice)
		}
		all[m[1]+m[2]] = v
	}
	return all
}

func TestMetricsCount(t *testing.T) {
	r := newRig(t)
	r.plugIn(t, "urn:dev:lamp-1")
	if _, err := r.provision(t.Context(), request(time.Minute, "urn:dev:lamp-1", "unknown"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	text, err := r.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := series(t, string(text))
	for name, want := range map[string]float64{
		`pngw_build_info{version="v1.2.3"}`:             1,
		`pngw_devices{state="delivered"}`:               1,
		`pngw_devices{state="alarm"}`:                   0,
		`pngw_events_total{event="delivered"}`:          1,
		`pngw_requests_total{result="assigned"}`:        1,
		`pngw_requests_total{result="unknown_pne"}`:     1,
		`pngw_requests_total{result="unreachable"}`:     0,
		`pngw_server_request_seconds_bucket{le="+Inf"}`: 2,
		`pngw_server_request_seconds_count`:             2,
		`pngw_link_up{link="memory"}`:                   1,
		`pngw_psk1_present{source="file"}`:              1,
		`pngw_application_keys{application="mqtt"}`:     3,
		`pngw_healthy`: 1,
		`pngw_flash_written_bytes_total{by="store"}`:          77,
		`pngw_server_request_seconds_bucket{le="30"}`:         2,
		`pngw_requests_total{result="user_locked"}`:           0,
		`pngw_dropped_messages_total{reason="malformed"}`:     0,
		`pngw_requests_total{result="random_reused"}`:         0,
		`pngw_requests_total{result="owned_by_another_user"}`: 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: got %v, %v, want %v", name, v, ok, want)
		}
	}
	if strings.Contains(string(text), "lamp-1") {
		t.Error("metrics name a device, and nobody asked for that")
	}
	r.server.DeviceMetrics = true
	text, err = r.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got = series(t, string(text))
	if got[`pngw_device_state{entity_id="urn:dev:lamp-1",state="delivered"}`] != 1 || got[`pngw_device_keys_left{entity_id="urn:dev:lamp-1"}`] != 63 || got[`pngw_device_last_seen_timestamp_seconds{entity_id="urn:dev:lamp-1"}`] == 0 {
		t.Errorf("asked for devices: got\n%s", text)
	}
}

// Every metric that the dashboard shows is one that there is, by labels that it has, and
// every family is described.
func TestDashboard(t *testing.T) {
	r := newRig(t)
	r.server.DeviceMetrics = true
	r.plugIn(t, "lamp")
	if _, err := r.provision(t.Context(), request(time.Minute, "lamp"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	text, err := r.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := series(t, string(text))
	all["pngw_psk1_expiry_timestamp_seconds"] = 0 // not of a PSK1 from a file
	labels := map[string][]string{}
	for name := range all {
		base, rest, _ := strings.Cut(name, "{")
		labels[base] = append(labels[base], "job", "instance", "le")
		for _, l := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(rest, -1) {
			labels[base] = append(labels[base], l[1])
		}
	}
	raw, err := os.ReadFile("../../build/grafana/pngw.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			names := regexp.MustCompile(`pngw_[a-z0-9_]+`).FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s shows nothing of pngw: %s", p.Title, target.Expr)
			}
			for _, name := range names {
				shown++
				if labels[name] == nil {
					t.Errorf("%s: there is no metric %s", p.Title, name)
				}
				used := regexp.MustCompile(`([a-z_]+)=~?"`).FindAllStringSubmatch(target.Expr, -1)
				used = append(used, regexp.MustCompile(`\{\{([a-z_]+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1)...)
				for _, l := range used {
					if !slices.Contains(labels[name], l[1]) {
						t.Errorf("%s: metric %s has no label %s", p.Title, name, l[1])
					}
				}
			}
		}
	}
	if shown < 20 {
		t.Errorf("the dashboard shows %d metrics", shown)
	}
	page, err := os.ReadFile("../../docs/operating-a-gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range labels {
		family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !strings.Contains(string(page), "`"+family+"`") {
			t.Errorf("docs/operating-a-gateway.md does not say what %s is", family)
		}
	}
}

func TestExport(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Export(ctx, l) }()
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, text := get("/metrics"); status != 200 || len(series(t, text)) < 30 {
		t.Errorf("metrics: %d %s", status, text)
	}
	if status, text := get("/healthz"); status != 200 || !strings.HasPrefix(text, "ok\n") {
		t.Errorf("health: %d %q", status, text)
	}
	for _, path := range []string{"/", "/v1/pnes", "/v1/status", "/debug/pprof/"} {
		if status, _ := get(path); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	r.server.Page = downPage{}
	r.server.Signs = func() *Signs {
		return &Signs{Lights: []Light{{"a", ""}, {"b", "gone"}}, Button: &Button{Name: "wps", Detail: "no permission", Fault: true}}
	}
	if status, text := get("/healthz"); status != 200 || !strings.HasSuffix(text, "waits: the page https://a is not served: in use\nwaits: light b: gone\nwaits: button wps: no permission\n") {
		t.Errorf("health with a page that is not served, a light and a button: %d %q", status, text)
	}
	r.store.fail.Store(true)
	r.provision(t.Context(), request(0, "lamp"), func(agent.Step) {})
	if status, text := get("/healthz"); status != 503 || !strings.HasPrefix(text, "fault: the store cannot be written: lamp") {
		t.Errorf("health of a store that cannot be written: %d %q", status, text)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type downPage struct{ Pager }

func (downPage) Page() Page { return Page{URL: "https://a", Detail: "in use"} }

// What happens is told to all who watch, and a reader that is slow holds nobody up.
func TestWatch(t *testing.T) {
	r := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan Happening, 100)
	ended := make(chan error, 1)
	go func() { ended <- r.Watch(ctx, func(h Happening) { told <- h }) }()
	for { // until it watches
		r.events.mu.Lock()
		n := len(r.events.watchers)
		r.events.mu.Unlock()
		if n == 1 {
			break
		}
	}
	// Told of the first event it has looked at what is there already.
	r.events.Observe(agent.Event{Kind: agent.EventAlarm, Entity: "other"}, time.Now())
	<-told
	r.plugIn(t, "stray")
	var kinds []agent.EventKind
	for h := range told {
		if kinds = append(kinds, h.Event); h.Event == EventDiscovered {
			if h.Entity != "stray" || h.Link != "memory" || h.Time == "" {
				t.Errorf("discovered: %+v", h)
			}
			break
		}
	}
	if _, err := r.provision(t.Context(), request(time.Minute, "stray"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	for h := range told {
		if kinds = append(kinds, h.Event); h.Event == agent.EventDelivered {
			if h.User != user || h.Index != 1 || h.Length != 64 {
				t.Errorf("delivered: %+v", h)
			}
			break
		}
	}
	if !slices.Contains(kinds, agent.EventAssigned) {
		t.Errorf("told: %v", kinds)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}

	slow, end := r.events.watch()
	defer end()
	for i := range 3 * maxUnread {
		r.events.Observe(agent.Event{Kind: agent.EventDelivered, Entity: "x", Index: 1}, time.Unix(int64(i), 0))
	}
	if n := slow.missed.Load(); n != 2*maxUnread {
		t.Errorf("missed %d", n)
	}
}

// The audit log says who asked for what, and what came of it.
func TestAudit(t *testing.T) {
	r := newRig(t)
	if _, err := r.provision(t.Context(), request(0, "lamp", "unknown"), func(agent.Step) {}); err != nil {
		t.Fatal(err)
	}
	wrong := request(0, "fan")
	wrong.PasswordHash[0] ^= 1
	r.provision(t.Context(), wrong, func(agent.Step) {})
	r.Readmit(t.Context(), "lamp")
	r.Forget(t.Context(), "lamp")
	r.Forget(t.Context(), "nobody")
	text, err := r.AuditLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := audit.Check(text, func(e audit.Entry) {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s: %s %s", e.Who, e.What, e.Entity, e.User, e.Result, e.Detail)))
	}); err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprintf("uid %d ", os.Getuid())
	want := []string{
		me + "provision lamp alice: assigned",
		me + "provision unknown alice: refused the server knows no Temporary Key for this device",
		me + "provision fan alice: refused the server does not know this user with this password",
		me + "resolve --readmit lamp : failed lamp is not under alarm: there is nothing to resolve",
		me + "forget lamp : done",
		me + "forget nobody : failed nobody: no such device here",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A probe says what is wrong: here that the server looked at the user, which is to come
// after the time.
func TestProbe(t *testing.T) {
	r := newRig(t)
	p, err := r.Probe(t.Context())
	if err != nil || !strings.HasPrefix(p.Fault, "the server answered a request from 1970 with ") || p.Advice == "" {
		t.Errorf("got %+v, %v", p, err)
	}
}
