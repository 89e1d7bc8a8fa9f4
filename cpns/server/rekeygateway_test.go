package server_test

import (
	"bytes"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// under sends a request sealed under a PSK1 of a gateway's identity and says what came of
// it: a status, or what HTTP says. An answer has to open under the same PSK1.
func (r *rig) under(psk cpns.PSK1, g cpns.GatewayID, req *cpns.EUKeyAssignmentRequest) string {
	r.t.Helper()
	body, err := cpns.SealRequest(psk, identityOf(g), [cpns.IVSize]byte(random(r.t, cpns.IVSize)), req)
	must(r.t, err)
	res, answer := r.post(body)
	if res.StatusCode != http.StatusOK {
		return res.Status
	}
	got, err := cpns.OpenResponse(psk, identityOf(g), body, answer)
	must(r.t, err)
	return got.Status.String()
}

func (r *rig) wantUnder(psk cpns.PSK1, g cpns.GatewayID, want string) {
	r.t.Helper()
	if got := r.under(psk, g, r.request("alice", "pne-1")); got != want {
		r.t.Errorf("%s: got %s, want %s", g, got, want)
	}
}

const unauthorized = "401 Unauthorized"

// keys are the PSK1s of a gateway, each with how long it is still good in minutes, 0 for
// ever.
func (r *rig) keys(g cpns.GatewayID) (inUse, beside []int) {
	r.t.Helper()
	must(r.t, r.op.Gateways(r.t.Context(), func(is server.Gateway, keys []server.PSK1) error {
		for _, k := range keys {
			if is.ID != g {
				continue
			}
			left := 0
			if !k.Ends.IsZero() {
				left = int(k.Ends.Sub(r.clock.Now()).Minutes())
			}
			if k.IsBeside() {
				beside = append(beside, left)
			} else {
				inUse = append(inUse, left)
			}
			if k.Named() != identityOf(g) {
				r.t.Errorf("%s is named %s", g, k.Named())
			}
		}
		return nil
	}))
	return inUse, beside
}

func (r *rig) wantKeys(g cpns.GatewayID, inUse, beside int) {
	r.t.Helper()
	a, b := r.keys(g)
	if len(a) != 1 || a[0] != inUse || (beside < 0) != (len(b) == 0) || len(b) == 1 && b[0] != beside || len(b) > 1 {
		r.t.Errorf("%s: good for %v and, beside, %v minutes, want %d and %d", g, a, b, inUse, beside)
	}
}

func TestRekeyGateway(t *testing.T) {
	r := newRig(t)
	r.op = server.OperatorAt(r.op, r.clock.Now)
	ctx := t.Context()
	old, next := r.gateways["gw-2"], cpns.PSK1(random(t, 32))
	must(t, errorOf(r.op.RekeyGateway(ctx, "gw-2", next, time.Hour)))
	r.wantKeys("gw-2", 60, 0)

	// Whoever has the old one goes on; a request that was answered under it is known again.
	again := r.request("alice", "pne-1")
	if got := r.under(old, "gw-2", again); got != "Success" {
		t.Errorf("under the old one: %s", got)
	}
	r.wantUnder(random(t, 32), "gw-2", unauthorized)
	r.wantUnder(next, "gw-1", unauthorized)
	r.wantUnder(r.gateways["gw-1"], "gw-1", "Success")

	// With its first use the new one takes the old one's place, which is good for a while.
	events := len(r.events())
	r.wantUnder(next, "gw-2", "Success")
	r.wantKeys("gw-2", 0, 10)
	if e := r.events()[events]; e.Kind != server.EventPSK1Replaced || e.Gateway != "gw-2" {
		t.Errorf("audit: %+v", e)
	}
	r.wantUnder(next, "gw-2", "Success")
	if got := r.under(old, "gw-2", again); got != "Success" {
		t.Errorf("the same request again under the old one: %s", got)
	}
	r.wantKeys("gw-2", 0, 10) // it does not come back
	r.clock.advance(10*time.Minute - time.Second)
	r.wantUnder(old, "gw-2", "Success")
	r.clock.advance(time.Second)
	r.wantUnder(old, "gw-2", unauthorized)
	r.steady()
	r.clock.advance(time.Hour)
	must(t, r.server.Prune(ctx))
	r.wantKeys("gw-2", 0, -1)
	r.wantUnder(next, "gw-2", "Success")

	// Again and again: one that was not used is replaced.
	lost, third := cpns.PSK1(random(t, 32)), cpns.PSK1(random(t, 32))
	if voided, err := r.op.RekeyGateway(ctx, "gw-2", lost, time.Hour); voided || err != nil {
		t.Errorf("the first: %v, %v", voided, err)
	}
	if voided, err := r.op.RekeyGateway(ctx, "gw-2", third, 2*time.Hour); !voided || err != nil {
		t.Errorf("one that was never used is void: %v, %v", voided, err)
	}
	r.wantKeys("gw-2", 120, 0)
	r.wantUnder(lost, "gw-2", unauthorized)
	r.wantUnder(next, "gw-2", "Success")

	// When the overlap is over the old one is, and the new one waits for as long as it takes.
	r.clock.advance(2 * time.Hour)
	r.wantUnder(next, "gw-2", unauthorized)
	must(t, r.server.Prune(ctx))
	r.clock.advance(100 * 24 * time.Hour)
	r.wantUnder(third, "gw-2", "Success")
	r.wantKeys("gw-2", 0, -1)
	must(t, errorOf(r.op.RekeyGateway(ctx, "gw-2", random(t, 32), 0)))
	r.wantUnder(third, "gw-2", unauthorized)

	// One that has ended stays so, though it has not been removed yet.
	fourth := cpns.PSK1(random(t, 32))
	must(t, errorOf(r.op.RekeyGateway(ctx, "gw-2", fourth, time.Hour)))
	r.wantUnder(third, "gw-2", unauthorized)
	r.wantUnder(fourth, "gw-2", "Success")
	must(t, r.op.RemoveGateway(ctx, "gw-2"))

	for name, err := range map[string]error{
		"another gateway's": errorOf(r.op.RekeyGateway(ctx, "gw-1", r.gateways["gw-1"], time.Hour)),
		"of none":           errorOf(r.op.RekeyGateway(ctx, "gw-2", random(t, 32), time.Hour)),
		"without one":       errorOf(r.op.RekeyGateway(ctx, "gw-1", nil, time.Hour)),
		"for long":          errorOf(r.op.RekeyGateway(ctx, "gw-1", random(t, 32), 366*24*time.Hour)),
	} {
		same, isSame := errors.AsType[*server.SamePSK1Error](err)
		_, isRefused := errors.AsType[*server.RefusalError](err)
		switch {
		case name == "another gateway's" && isSame && same.Gateway == "gw-1", name == "of none" && errors.Is(err, server.ErrNotFound):
		case (name == "without one" || name == "for long") && isRefused:
		default:
			t.Errorf("%s: %v", name, err)
		}
	}
	r.wantKeys("gw-1", 0, -1)
}

// Requests under the old and the new PSK1 at the same time, while they change places: all
// are answered, also where the master key has been changed since the one before.
func TestRekeyGatewayUnderLoad(t *testing.T) {
	r := newRig(t)
	next := newKey(t)
	r.serve(func(c *server.Config) { c.NextKey = func() (*server.MasterKey, error) { return next, nil } })
	ctx := t.Context()
	keys := []cpns.PSK1{r.gateways["gw-1"]}
	for round := range 6 {
		keys = append(keys, random(t, 32))
		if round == 3 {
			if _, err := operatorOf(t, r.store, r.key).Rekey(ctx, next, func(server.RekeyProgress) {}); err != nil {
				t.Error(err)
			}
			r.op = operatorOf(t, r.store, next)
			r.server.Forget()
		}
		must(t, errorOf(r.op.RekeyGateway(ctx, "gw-1", keys[round+1], time.Hour)))
		var wg sync.WaitGroup
		for n := range 6 {
			psk := keys[round+n%2]
			body, err := cpns.SealRequest(psk, "gw-1", [cpns.IVSize]byte(random(t, cpns.IVSize)), r.request("alice", "pne-1"))
			must(t, err)
			wg.Go(func() {
				res, err := r.http.Client().Post(r.http.URL+cpns.AssignmentPath, cpns.ContentType, bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					t.Errorf("round %d, key %d: %s", round, n%2, res.Status)
				}
			})
		}
		wg.Wait()
		r.clock.advance(time.Minute)
	}
}

// A gateway that agrees on its PSK1s by itself agrees on the next one when the overlap is
// over.
func TestRekeyEnrolledGateway(t *testing.T) {
	s := newSite(t)
	s.op = server.OperatorAt(s.op, s.clock.Now)
	ctx := t.Context()
	u := newUnit(t)
	id := s.enrol(t, u, s.invite(t, "", 1), nil).wantApproved(t)
	first := s.psk1(t, u)
	if _, isRefused := errors.AsType[*server.RefusalError](errorOf(s.op.RekeyGateway(ctx, id, random(t, 32), time.Hour))); !isRefused {
		t.Error("it takes a PSK1 from a file")
	}
	ask := func(p given) int {
		req := s.request("alice", "pne-1")
		body, err := cpns.SealRequest(p.psk, p.identity, [cpns.IVSize]byte(random(t, cpns.IVSize)), req)
		must(t, err)
		res, _ := s.post(body)
		return res.StatusCode
	}
	must(t, errorOf(s.op.RekeyGateway(ctx, id, nil, time.Hour)))
	if got := ask(first); got != 200 {
		t.Errorf("within the overlap: %d", got)
	}
	s.clock.advance(time.Hour)
	if got := ask(first); got != 401 {
		t.Errorf("after it: %d", got)
	}
	if got := ask(s.psk1(t, u)); got != 200 {
		t.Errorf("under the next one: %d", got)
	}
}

// errorOf is the error alone.
func errorOf[T any](_ T, err error) error { return err }
