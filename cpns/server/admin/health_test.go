package admin

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server/admin/page"
)

// TestHealth: each check says what it is for, and nothing else does.
func TestHealth(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		before func(*rig)
		check  string // that is not good, "" for none
		state  string
	}{
		{"all is well", func(*rig) {}, "", ""},
		{"the store is read-only", func(r *rig) { r.api.ready = func(context.Context) error { return errors.New("read-only") } }, "store", bad},
		{"the certificate ends soon", func(r *rig) { r.clock.advance(25 * day) }, "certificate", warning},
		{"the certificate has ended", func(r *rig) { r.clock.advance(40 * day) }, "certificate", bad},
		{"the clock is behind", func(r *rig) { r.api.now = func() time.Time { return r.clock.Now().Add(-time.Minute) } }, "clock", warning},
		{"a gateway waits", addPending, "pending", warning},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			test.before(r)
			h, err := healthOf(&call{ctx: t.Context(), s: r.api, op: r.op}, nil)
			must(t, err)
			if len(h.Checks) != 5 {
				t.Errorf("%d checks", len(h.Checks))
			}
			for _, c := range h.Checks {
				want := good
				if c.Name == test.check {
					want = test.state
				}
				if c.State != want || c.Detail == "" {
					t.Errorf("%s is %s: %s; want %s", c.Name, c.State, c.Detail, want)
				}
			}
		})
	}
}

// TestPage: the operators' page is served where it is asked for, beside the API, and
// nothing of it elsewhere.
func TestPage(t *testing.T) {
	r := newRig(t)
	get := func(path string) *http.Response {
		t.Helper()
		answer, err := r.client.Get(r.url + path)
		must(t, err)
		answer.Body.Close()
		return answer
	}
	for _, path := range []string{"/", "/app.js"} {
		if got := get(path); got.StatusCode != http.StatusNotFound {
			t.Errorf("%s without a page: %s", path, got.Status)
		}
	}
	page.Register(r.api.mux)
	if got := get("/"); got.StatusCode != http.StatusOK || got.Header.Get("Content-Security-Policy") == "" || len(got.Cookies()) > 0 {
		t.Errorf("/: %s, %v", got.Status, got.Header)
	}
	if got := get("/nothing"); got.StatusCode != http.StatusNotFound {
		t.Errorf("/nothing: %s", got.Status)
	}
	if got := get(Prefix + "/whoami"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API beside the page: %s", got.Status)
	}
}
