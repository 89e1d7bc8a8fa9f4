package server_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// series are the samples of a text in Prometheus' format.
func series(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		at := strings.LastIndex(line, " ")
		name := line[:at]
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if _, twice := all[name]; err != nil || twice {
			t.Errorf("%s: %v, twice: %v", line, err, twice)
		}
		all[name] = v
	}
	return all
}

func (r *rig) metrics() map[string]float64 {
	r.t.Helper()
	var text strings.Builder
	must(r.t, r.server.WriteMetrics(&text, watched))
	return series(r.t.(*testing.T), text.String())
}

var watched = server.Watched{Version: `v1 "x"`, CertificateEnds: func() time.Time { return time.Unix(1e9, 0) }}

func TestMetricsCount(t *testing.T) {
	r := newRig(t)
	store := &brokenStore{Store: r.store}
	r.serve(func(c *server.Config) { c.Store = store })
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.PNEOwnedByAnotherUser)
	r.wantStatus("gw-1", r.request("bob", "pne-99"), cpns.UnknownPNE)
	r.fail("gw-1", "alice", server.LockFailures)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserLocked)
	for range server.SourceBurst + 2 {
		r.post([]byte("nonsense"))
	}
	must(t, r.server.Seal(t.Context()))
	must(t, r.server.CountReplicas(t.Context()))
	got := r.metrics()
	for name, want := range map[string]float64{
		`cpns_build_info{version="v1 \"x\""}`:                         1,
		`cpns_assignments_total{status="success"}`:                    1,
		`cpns_assignments_total{status="pne_owned_by_another_user"}`:  1,
		`cpns_assignments_total{status="unknown_pne"}`:                1,
		`cpns_assignments_total{status="user_authentication_failed"}`: server.LockFailures,
		`cpns_assignments_total{status="user_locked"}`:                1,
		`cpns_assignments_total{status="random_reused"}`:              0,
		`cpns_assignment_seconds_count`:                               server.LockFailures + 4,
		`cpns_assignment_seconds_bucket{le="+Inf"}`:                   server.LockFailures + 4,
		`cpns_lockouts_total`:                                         1,
		`cpns_problems_total{code="400"}`:                             server.SourceBurst,
		`cpns_problems_total{code="429"}`:                             2,
		`cpns_problems_total{code="other"}`:                           0,
		`cpns_budget_refusals_total{budget="address"}`:                2,
		`cpns_budget_refusals_total{budget="gateway"}`:                0,
		`cpns_budget_tracked{budget="address"}`:                       1,
		`cpns_budget_exhausted{budget="address"}`:                     1,
		`cpns_replicas`: 1,
		`cpns_store_up`: 1,
		`cpns_store_failures_total{reason="away"}`:  0,
		`cpns_audit_sealed_total`:                   float64(len(r.events())),
		`cpns_audit_forged_total`:                   0,
		`cpns_certificate_expiry_timestamp_seconds`: 1e9,
		`cpns_audit_looked_timestamp_seconds`:       float64(r.clock.Now().Unix()),
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: got %v, %v, want %v", name, v, ok, want)
		}
	}
	for _, name := range []string{`cpns_store_seconds_count{operation="assign"}`, "process_resident_memory_bytes", "process_open_fds", "go_goroutines", "process_start_time_seconds"} {
		if got[name] < 1 {
			t.Errorf("%s: %v", name, got[name])
		}
	}
	if a, b := got[`cpns_assignment_seconds_bucket{le="0.001"}`], got[`cpns_assignment_seconds_bucket{le="10"}`]; a > b || b > server.LockFailures+4 {
		t.Errorf("buckets: %v and %v", a, b)
	}
	store.err = server.ErrUnavailable
	r.post(r.seal("gw-1", r.request("alice", "pne-1")))
	got = r.metrics()
	if got[`cpns_store_up`] != 0 || got[`cpns_store_failures_total{reason="away"}`] != 1 || got[`cpns_problems_total{code="503"}`] != 1 {
		t.Errorf("with the store away: %v", got)
	}
	store.err = errors.New("the disk is on fire")
	r.post(r.seal("gw-1", r.request("alice", "pne-1")))
	if got := r.metrics(); got[`cpns_store_failures_total{reason="other"}`] != 1 {
		t.Errorf("with a broken store: %v", got)
	}
}

// The text is what Prometheus' own linter takes, and names nobody.
func TestMetricsLint(t *testing.T) {
	r := newRig(t)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	var text strings.Builder
	must(t, r.server.WriteMetrics(&text, watched))
	for _, id := range []string{"alice", "gw-1", "pne-1", "127.0.0.1"} {
		if strings.Contains(text.String(), id) {
			t.Errorf("%s is in the metrics", id)
		}
	}
	if n := strings.Count(text.String(), "# HELP"); n < 25 || regexp.MustCompile(`(?m)^# HELP \S+ $`).MatchString(text.String()) {
		t.Errorf("%d families, all described: %s", n, text.String())
	}
	lint := promtool(t, "check", "metrics")
	lint.Stdin = strings.NewReader(text.String())
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// promtool is Prometheus' own, which says whether files and texts are right.
func promtool(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is not installed: apt-get install prometheus")
		}
		t.Skip("promtool is not installed: apt-get install prometheus")
	}
	return exec.Command(path, args...)
}

// The status pages stand on a listener of their own, and nothing else does.
func TestServeStatus(t *testing.T) {
	r := newRig(t)
	store := &brokenStore{Store: r.store}
	r.serve(func(c *server.Config) { c.Store = store })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.server.ServeStatus(ctx, ln, watched) }()
	get := func(path string) (int, string) {
		t.Helper()
		res, err := http.Get("http://" + ln.Addr().String() + path)
		must(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(body)
	}
	want := func(path string, status int) {
		t.Helper()
		if got, body := get(path); got != status {
			t.Errorf("%s: got HTTP %d, want %d: %s", path, got, status, body)
		}
	}
	want("/healthz", 200)
	want("/readyz", 200)
	if status, text := get("/metrics"); status != 200 || series(t, text)["cpns_store_up"] != 1 {
		t.Errorf("/metrics: %d", status)
	}
	for _, path := range []string{"/", cpns.AssignmentPath, cpns.PSK1Path, "/admin/v1/users", "/debug/pprof/"} {
		want(path, 404)
	}
	res, err := http.Post("http://"+ln.Addr().String()+"/metrics", "text/plain", nil)
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
	store.err = server.ErrUnavailable
	r.clock.advance(6 * time.Second)
	want("/healthz", 200)
	want("/readyz", 503)
	want("/metrics", 200)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestHistogram(t *testing.T) {
	got := server.Buckets(0, time.Millisecond, 1001*time.Microsecond, 7*time.Millisecond, 10*time.Second, time.Minute, time.Hour)
	want := map[float64]uint64{0.001: 2, 0.0025: 1, 0.01: 1, 10: 1, math.Inf(1): 2}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
