package server_test

import (
	"context"
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// TestPSK1Life follows the PSK1s of one gateway: each holds for its lifetime, a used
// one until ten minutes after the next was used, and lost answers cost nothing.
func TestPSK1Life(t *testing.T) {
	s := newSite(t)
	u := newUnit(t)
	s.on(t, s.as(u), "POST", cpns.PSK1Path, nil).wantKind(t, 403, cpns.ProblemGatewayUnknown)
	s.enrol(t, u, s.invite(t, "gw-tls", 1), nil).wantApproved(t)

	first := s.psk1(t, u)
	if first.lifetime != 7*24*3600 {
		t.Errorf("lifetime: got %d s, want 7 days", first.lifetime)
	}
	s.wantUnder(t, "the first", first, 200)

	// Answers that were lost: whatever is asked for, the one in use stays.
	for range 3 {
		s.clock.advance(time.Minute)
		s.psk1(t, u)
	}
	s.wantUnder(t, "the one in use, after lost answers", first, 200)
	s.clock.advance(time.Hour)
	next := s.psk1(t, u)
	if n := len(s.keysOf(t, "gw-tls")); n != 2 {
		t.Errorf("the gateway has %d PSK1s, want one in use and one new", n)
	}
	s.wantUnder(t, "the old one, while the new is not used", first, 200)
	s.wantUnder(t, "the new one", next, 200)
	s.clock.advance(9 * time.Minute)
	s.wantUnder(t, "the old one, 9 minutes after", first, 200)
	s.clock.advance(2 * time.Minute)
	s.wantUnder(t, "the old one, 11 minutes after", first, 401)
	s.wantUnder(t, "the new one still", next, 200)

	s.clock.advance(7*24*time.Hour - 12*time.Minute)
	s.wantUnder(t, "a minute before its end", next, 200)
	s.clock.advance(time.Minute)
	s.wantUnder(t, "at its end", next, 401)
	last := s.psk1(t, u)
	s.wantUnder(t, "one asked for after that", last, 200)

	must(t, s.op.RemoveGateway(t.Context(), "gw-tls"))
	s.wantUnder(t, "of a removed gateway", last, 401)
	s.on(t, s.as(u), "POST", cpns.PSK1Path, nil).wantKind(t, 403, cpns.ProblemGatewayRemoved)
}

func (s *site) keysOf(t *testing.T, id cpns.GatewayID) (keys []server.PSK1) {
	t.Helper()
	must(t, s.store.View(t.Context(), func(tx server.Tx) (err error) {
		keys, err = tx.PSK1sOf(id)
		return err
	}))
	return keys
}

// TestPSK1EndsFile: a gateway that was set up by a file goes over to TLS. Its PSK1 from
// the file holds until it uses one from TLS.
func TestPSK1EndsFile(t *testing.T) {
	s := newSite(t)
	u := newUnit(t)
	file := given{identity: "gw-1", psk: s.gateways["gw-1"]}
	s.enrol(t, u, s.invite(t, "gw-1", 1), nil).wantPending(t, u)
	s.wantUnder(t, "the file's, while pending", file, 200)
	_, err := s.op.Approve(t.Context(), server.Approval{Fingerprint: u.key.Fingerprint(), Replace: true})
	must(t, err)
	got := s.psk1(t, u)
	s.wantUnder(t, "the file's, until one from TLS is used", file, 200)
	s.wantUnder(t, "from TLS", got, 200)
	s.wantUnder(t, "the file's", file, 401)
	events := s.events()
	if e := events[len(events)-2]; e.Kind != server.EventPSK1Ended || e.Gateway != "gw-1" {
		t.Errorf("got the event %+v", e)
	}
}

// TestPSK1Refusals: the body is empty, and pending gateways are told from unknown ones.
func TestPSK1Refusals(t *testing.T) {
	s := newSite(t)
	u := newUnit(t)
	s.on(t, s.as(u), "POST", cpns.PSK1Path, func(*tls.ConnectionState) []byte { return []byte("{}") }).wantKind(t, 400, "")
	s.on(t, s.as(u), "POST", cpns.PSK1Path, func(*tls.ConnectionState) []byte { return make([]byte, 5000) }).wantKind(t, 413, "")
	s.enrol(t, u, nil, nil).wantPending(t, u)
	s.on(t, s.as(u), "POST", cpns.PSK1Path, nil).wantKind(t, 403, cpns.ProblemGatewayPending)
	must(t, s.op.Refuse(t.Context(), u.key.Fingerprint()))
	s.on(t, s.as(u), "POST", cpns.PSK1Path, nil).wantKind(t, 403, cpns.ProblemGatewayUnknown)
	s.enrol(t, u, nil, nil).wantKind(t, 403, cpns.ProblemEnrolmentRefused)
}

// An interveningStore does something before an update.
type interveningStore struct {
	server.Store
	mu     sync.Mutex
	before func()
}

func (s *interveningStore) Assign(ctx context.Context, q *server.Inquiry, decide func(*server.Findings) (*server.Outcome, error)) error {
	return s.Update(ctx, func(tx server.Tx) error { return q.Answer(tx, decide) })
}

func (s *interveningStore) Update(ctx context.Context, f func(server.Tx) error) error {
	s.mu.Lock()
	before := s.before
	s.before = nil
	s.mu.Unlock()
	if before != nil {
		before()
	}
	return s.Store.Update(ctx, f)
}

// TestRemovedMeanwhile: a gateway that is removed in the middle of a request gets
// neither a PSK1 nor an assignment, and a key that is refused is not taken in.
func TestRemovedMeanwhile(t *testing.T) {
	between := new(interveningStore)
	r := newRigWith(t, func(c *server.Config) {
		withStep0(c)
		between.Store = c.Store
		c.Store = between
	})
	s := &site{r, serve(t, r)}
	u := newUnit(t)
	secret := s.invite(t, "gw-tls", 1)
	s.enrol(t, u, secret, nil).wantApproved(t)
	key := s.psk1(t, u)
	remove := func() { must(t, s.op.RemoveGateway(t.Context(), "gw-tls")) }
	between.before = remove
	s.on(t, s.as(u), "POST", cpns.PSK1Path, nil).wantKind(t, 403, cpns.ProblemGatewayRemoved)
	_, err := s.op.Approve(t.Context(), server.Approval{Fingerprint: u.key.Fingerprint()})
	must(t, err)
	s.wantUnder(t, "one from before it was removed", key, 401)
	key = s.psk1(t, u)
	between.before = remove
	s.wantUnder(t, "removed between opening and assigning", key, 401)
	if len(s.keysOf(t, "gw-tls")) != 0 {
		t.Error("PSK1s of the removed gateway are left")
	}
	if p := s.pne("pne-1"); p.Epoch != 0 {
		t.Errorf("a removed gateway was assigned the PNE: %+v", p)
	}
}

// TestStep0Budgets: a stranger's requests are a burden to its address only, and a
// gateway behind the same address gets its PSK1, one a second.
func TestStep0Budgets(t *testing.T) {
	s := newSite(t)
	u, stranger := newUnit(t), newUnit(t)
	secret := s.invite(t, "", 1)
	for range server.SourceBurst {
		s.on(t, s.as(stranger), "POST", cpns.PSK1Path, nil).wantKind(t, 403, cpns.ProblemGatewayUnknown)
	}
	s.on(t, s.as(stranger), "POST", cpns.PSK1Path, nil).wantKind(t, 429, "")
	res := s.enrol(t, stranger, nil, nil)
	res.wantKind(t, 429, "")
	wantRetryAfter(t, res.Response, 1, 1)
	if len(s.pending(t)) != 0 {
		t.Error("a stranger whose address owes was written down")
	}
	s.enrol(t, u, secret, nil).wantApproved(t)
	for range server.GatewayBurst / server.FailureCost {
		s.psk1(t, u)
	}
	s.on(t, s.as(u), "POST", cpns.PSK1Path, nil).wantKind(t, 429, "")
	s.clock.advance(time.Second)
	s.psk1(t, u)
}
