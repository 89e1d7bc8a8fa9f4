package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// hello is a hello of a PNE under a TK.
func (r *rig) hello(e cpns.EntityID, tk cpns.TK) *cpns.Hello {
	r.t.Helper()
	h, err := cpns.NewHello(tk, cpns.Hello{Entity: e, Nonce: [cpns.NonceSize]byte(random(r.t, cpns.NonceSize)), Algs: []int64{cpns.AlgChaCha20Poly1305}})
	must(r.t, err)
	return h
}

// with is a request that carries a hello.
func with(req *cpns.EUKeyAssignmentRequest, h *cpns.Hello) *cpns.EUKeyAssignmentRequest {
	req.PNEHello = h
	return req
}

func (r *rig) lastEvent() server.Event {
	events := r.events()
	return events[len(events)-1]
}

// Who gets a PNE that nobody owns, under each of the rules.
func TestFirstClaim(t *testing.T) {
	const no = cpns.PNEOwnedByAnotherUser
	tests := []struct {
		rule                     server.FirstClaim
		without, forged, genuine cpns.AssignmentStatus // by the hello in the request
	}{
		{"", cpns.Success, cpns.Success, cpns.Success},
		{server.ClaimByAnyone, cpns.Success, cpns.Success, cpns.Success},
		{server.ClaimIfPresent, no, no, cpns.Success},
		{server.ClaimByOwner, no, no, no},
	}
	for _, tt := range tests {
		t.Run(string(tt.rule), func(t *testing.T) {
			r := newRigWith(t, func(c *server.Config) { c.FirstClaim = tt.rule })
			r.addPNEs("none", "forged", "genuine")
			_, said, err := r.importCSV("entity_id,tk,owner\nowned,"+goodTK+",bob\n", server.ImportOptions{})
			if err != nil || len(said) > 0 {
				t.Fatal(said, err)
			}
			for _, c := range []struct {
				entity cpns.EntityID
				hello  *cpns.Hello
				want   cpns.AssignmentStatus
				detail string // in the audit log
			}{
				{"none", nil, tt.without, ""},
				{"forged", r.hello("forged", random(t, 16)), tt.forged, "not made under the TK"},
				{"genuine", r.hello("genuine", r.pnes["genuine"]), tt.genuine, ""},
			} {
				got := r.wantStatus("gw-1", with(r.request("alice", c.entity), c.hello), c.want)
				last, p := r.lastEvent(), r.pne(c.entity)
				if c.want == cpns.Success {
					if last.Kind != server.EventAssigned || !strings.Contains(last.Detail, c.detail) || c.detail == "" && last.Detail != "" || p.Owner != "alice" {
						t.Errorf("%s: audit %+v, owner %q", c.entity, last, p.Owner)
					}
					continue
				}
				if last.Kind != server.EventClaimRefused || last.Detail == "" || p.Owner != "" || p.Epoch != 0 || len(got.TK) != 0 {
					t.Errorf("%s: audit %+v, PNE %+v", c.entity, last, p)
				}
			}
			// Whoever owns a PNE gets it, whatever the hello: a gateway without TK
			// cannot tell whose hello it hears.
			r.wantStatus("gw-1", r.request("alice", "owned"), no)
			r.wantStatus("gw-1", r.request("bob", "owned"), cpns.Success)
			r.wantStatus("gw-1", with(r.request("bob", "owned"), r.hello("owned", random(t, 16))), cpns.Success)
			if last := r.lastEvent(); !strings.Contains(last.Detail, "not made under the TK") {
				t.Errorf("audit: %+v", last)
			}
		})
	}
}

// What is told of a claim is told to an authenticated user only, and of another's
// PNE no more than that.
func TestClaimIsNoOracle(t *testing.T) {
	r := newRigWith(t, func(c *server.Config) { c.FirstClaim = server.ClaimIfPresent })
	genuine := r.hello("pne-1", r.pnes["pne-1"])
	r.wantStatus("gw-1", with(r.wrong("alice", "pne-1"), genuine), cpns.UserAuthenticationFailed)
	r.wantStatus("gw-1", with(r.wrong("alice", "pne-1"), r.hello("pne-1", random(t, 16))), cpns.UserAuthenticationFailed)
	r.wantStatus("gw-1", with(r.request("alice", "pne-9"), r.hello("pne-9", random(t, 16))), cpns.UnknownPNE)
	r.wantStatus("gw-1", with(r.request("alice", "pne-1"), genuine), cpns.Success)
	for _, h := range []*cpns.Hello{nil, genuine, r.hello("pne-1", random(t, 16))} {
		r.clock.advance(time.Second)
		r.wantStatus("gw-1", with(r.request("bob", "pne-1"), h), cpns.PNEOwnedByAnotherUser)
		if last := r.lastEvent(); last.Kind != server.EventOwnedByOther || last.Detail != "" {
			t.Errorf("audit: %+v", last)
		}
	}
}

// A hello of another PNE, and what is no hello, is malformed, before anything is
// looked up.
func TestForeignHello(t *testing.T) {
	r := newRig(t)
	other := r.hello("pne-2", r.pnes["pne-2"])
	body := r.seal("gw-1", with(r.wrong("nobody", "pne-1"), other))
	res, answer := r.post(body)
	wantProblem(t, res, answer, http.StatusBadRequest)
	if len(r.events()) != 0 && r.lastEvent().Kind == server.EventAuthFailed {
		t.Error("counted as a failure")
	}
}

// The hello does not count for what is the same request.
func TestRepeatWithAnotherHello(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	first := r.wantStatus("gw-1", req, cpns.Success)
	for _, h := range []*cpns.Hello{r.hello("pne-1", r.pnes["pne-1"]), r.hello("pne-1", random(t, 16))} {
		again := r.wantStatus("gw-1", with(req, h), cpns.Success)
		if again.Epoch != first.Epoch || again.EUKeys[0] != first.EUKeys[0] {
			t.Errorf("epoch %d, want %d and the same set", again.Epoch, first.Epoch)
		}
		if last := r.lastEvent(); last.Kind != server.EventRepeated {
			t.Errorf("audit: %+v", last)
		}
	}
}

// A user gets so many new devices through one gateway in a day, and no more; what
// the user owns already, other users and other gateways are not concerned.
func TestDailyClaims(t *testing.T) {
	const most = 3
	r := newRigWith(t, func(c *server.Config) { c.DailyClaims = most })
	var ids []cpns.EntityID
	for n := range 4 * most {
		ids = append(ids, cpns.EntityID(fmt.Sprint("new-", n)))
	}
	r.addPNEs(ids...)
	for n := range most {
		r.wantStatus("gw-1", r.request("alice", ids[n]), cpns.Success)
		r.clock.advance(time.Hour)
	}
	next := ids[most]
	refused := func() {
		t.Helper()
		req := r.request("alice", next)
		res, answer := r.post(r.seal("gw-1", req))
		wantProblem(t, res, answer, http.StatusTooManyRequests)
		wantRetryAfter(t, res, 3600*(24-most)-60, 3600*(24-most))
	}
	refused()
	if last := r.lastEvent(); last.Kind != server.EventClaimRefused || last.Entity != next || r.pne(next).Owner != "" {
		t.Errorf("audit: %+v, owner %q", last, r.pne(next).Owner)
	}
	r.serve(func(c *server.Config) { c.DailyClaims = most }) // a restart forgives nothing
	refused()
	must(t, errorOf(r.op.Release(t.Context(), ids[0]))) // nor does this
	refused()
	r.wantStatus("gw-1", r.request("alice", ids[1]), cpns.Success)
	r.wantStatus("gw-1", r.request("bob", ids[most+1]), cpns.Success)
	r.wantStatus("gw-2", r.request("alice", next), cpns.Success)
	_, said, err := r.importCSV("entity_id,tk,owner\nowned,"+goodTK+",alice\n", server.ImportOptions{})
	if err != nil || len(said) > 0 {
		t.Fatal(said, err)
	}
	r.wantStatus("gw-1", r.request("alice", "owned"), cpns.Success)

	// Each of them counts for a day.
	r.clock.advance((24-most)*time.Hour - time.Second)
	req := r.request("alice", ids[most+2])
	if res, _ := r.post(r.seal("gw-1", req)); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a second too early: HTTP %s", res.Status)
	}
	r.clock.advance(time.Second)
	r.wantStatus("gw-1", r.request("alice", ids[most+2]), cpns.Success)
	if res, _ := r.post(r.seal("gw-1", r.request("alice", ids[most+3]))); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more: HTTP %s", res.Status)
	}
}

// A user who asks for everything that lies in the warehouse gets the default and
// no more.
func TestWarehouse(t *testing.T) {
	r := newRig(t)
	var ids []cpns.EntityID
	for n := range 2 * server.DefaultDailyClaims {
		ids = append(ids, cpns.EntityID(fmt.Sprint("stock-", n)))
	}
	r.addPNEs(ids...)
	got := 0
	for _, id := range ids {
		r.clock.advance(time.Second)
		if res := r.direct(r.seal("gw-1", r.request("alice", id))); res.StatusCode == http.StatusOK {
			got++
		}
	}
	if got != server.DefaultDailyClaims {
		t.Errorf("got %d of %d, want %d", got, len(ids), server.DefaultDailyClaims)
	}
}
