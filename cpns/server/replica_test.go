package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

// A gateway that is removed, or gets another PSK1, after its request was opened
// gets no keys for it.
func TestGatewayRemovedMeanwhile(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"removed": func(r *rig) { must(r.t, r.op.RemoveGateway(r.t.Context(), "gw-1")) },
		"another PSK1": func(r *rig) {
			must(r.t, r.op.RemoveGateway(r.t.Context(), "gw-1"))
			must(r.t, r.op.AddGateway(r.t.Context(), "gw-1", "gw-1", random(r.t, 32)))
		},
		"another gateway of the identity": func(r *rig) {
			must(r.t, r.op.RemoveGateway(r.t.Context(), "gw-1"))
			must(r.t, r.op.AddGateway(r.t.Context(), "gw-9", "gw-1", r.gateways["gw-1"]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			store := &hookedStore{Store: r.store}
			r.serve(func(c *server.Config) { c.Store = store })
			store.beforeUpdate = func() { change(r) }
			res, answer := r.post(r.seal("gw-1", r.request("alice", "pne-1")))
			wantProblem(t, res, answer, http.StatusUnauthorized)
			if p := r.pne("pne-1"); p.Owner != "" || p.Epoch != 0 {
				t.Errorf("assigned: %+v", p)
			}
		})
	}
}

// A hookedStore does something before an update begins.
type hookedStore struct {
	server.Store
	beforeUpdate func()
}

func (s *hookedStore) Assign(ctx context.Context, q *server.Inquiry, decide func(*server.Findings) (*server.Outcome, error)) error {
	if s.beforeUpdate != nil {
		s.beforeUpdate()
	}
	return s.Store.Assign(ctx, q, decide)
}

func (s *hookedStore) Update(ctx context.Context, f func(server.Tx) error) error {
	if s.beforeUpdate != nil {
		s.beforeUpdate()
	}
	return s.Store.Update(ctx, f)
}

// replica starts a second server on the rig's store, whose clock is off by d.
func (r *rig) replica(d time.Duration) *rig {
	r.t.Helper()
	store, err := sqlite.Open(r.t.Context(), r.path)
	must(r.t, err)
	r.t.Cleanup(func() { store.Close() })
	other := *r
	other.server, err = server.New(r.t.Context(), server.Config{
		Store: store, MasterKey: r.key, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now: func() time.Time { return r.clock.Now().Add(d) },
	})
	must(r.t, err)
	other.http = httptest.NewTLSServer(other.server)
	r.t.Cleanup(other.http.Close)
	return &other
}

// Two servers on one store with clocks 5 s apart count a failure once, whichever
// of them sees its repeat, and lock the user as one.
func TestReplicas(t *testing.T) {
	for name, d := range map[string]time.Duration{"ahead": 5 * time.Second, "behind": -5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			b := r.replica(d)
			failedEvents := func() int {
				n := 0
				for _, e := range r.events() {
					if e.Kind == server.EventAuthFailed || e.Kind == server.EventUserLocked {
						n++
					}
				}
				return n
			}
			for n := range server.LockFailures - 1 {
				r.clock.advance(time.Second)
				req := r.wrong("alice", "pne-1")
				for _, at := range []*rig{b, r, b, r} {
					at.wantStatus("gw-1", req, cpns.UserAuthenticationFailed)
					r.clock.advance(time.Second)
				}
				if got := failedEvents(); got != n+1 {
					t.Fatalf("failure %d is %d events", n+1, got)
				}
			}
			r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
			b.wantStatus("gw-1", b.request("alice", "pne-1"), cpns.Success)
			// The tenth locks at both, at once.
			b.wantStatus("gw-1", b.wrong("alice", "pne-1"), cpns.UserAuthenticationFailed)
			r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserLocked)
			b.wantStatus("gw-1", b.request("alice", "pne-1"), cpns.UserLocked)
		})
	}
	// A repeat of what was answered gets the same answer of either.
	r := newRig(t)
	b := r.replica(5 * time.Second)
	req := r.request("alice", "pne-1")
	first := r.wantStatus("gw-1", req, cpns.Success)
	if again := b.wantStatus("gw-1", req, cpns.Success); again.Epoch != first.Epoch {
		t.Errorf("epochs %d and %d", first.Epoch, again.Epoch)
	}
}

// Servers on one store find each other, and share the budget of a gateway; one that
// has ended is missed after a while.
func TestReplicasShareBudgets(t *testing.T) {
	r := newRig(t)
	b := r.replica(0)
	for _, at := range []*rig{r, b, r} {
		must(t, at.server.CountReplicas(t.Context()))
	}
	spend := func(at *rig) int {
		for n := 0; ; n++ {
			res, _ := at.post(at.seal("gw-1", at.request("alice", "pne-9")))
			if res.StatusCode == http.StatusTooManyRequests {
				return n
			}
		}
	}
	if a, b := spend(r), spend(b); a != server.GatewayBurst/2 || b != server.GatewayBurst/2 {
		t.Errorf("%d and %d requests at once", a, b)
	}
	r.clock.advance(time.Minute)
	must(t, r.server.CountReplicas(t.Context()))
	r.clock.advance(time.Minute)
	if got := spend(r); got != server.GatewayBurst {
		t.Errorf("alone: %d requests at once", got)
	}
}

// A PSK1 that the server remembers is no longer good for anything once the store has it no
// more, not even to be told the time.
func TestRememberedPSK1(t *testing.T) {
	r := newRig(t)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success) // now it is
	late := r.request("alice", "pne-1")
	late.Time -= 3600
	r.wantStatus("gw-1", late, cpns.TimeOutOfWindow)
	old, body := r.gateways["gw-1"], r.seal("gw-1", r.request("alice", "pne-1"))
	must(t, r.op.RemoveGateway(t.Context(), "gw-1"))
	for name, body := range map[string][]byte{
		"another time": r.seal("gw-1", late), "a request": body, "the request again": body,
	} {
		res, answer := r.post(body)
		if wantProblem(t, res, answer, http.StatusUnauthorized); t.Failed() {
			t.Fatal(name)
		}
	}
	// Under the same identity with another key, the new one counts at once.
	must(t, r.op.AddGateway(t.Context(), "gw-1", "gw-1", random(t, 32)))
	res, answer := r.post(r.seal("gw-1", r.request("alice", "pne-1")))
	wantProblem(t, res, answer, http.StatusUnauthorized)
	must(t, r.op.RemoveGateway(t.Context(), "gw-1"))
	must(t, r.op.AddGateway(t.Context(), "gw-1", "gw-1", old))
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
}
