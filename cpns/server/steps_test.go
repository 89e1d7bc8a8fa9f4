package server_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// A countingStore writes down what a request asks of the store.
type countingStore struct {
	server.Store
	mu    sync.Mutex
	steps []string
}

func (s *countingStore) add(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step)
}

func (s *countingStore) reset() { s.steps = nil }

func (s *countingStore) View(ctx context.Context, f func(server.Tx) error) error {
	s.add("view")
	return s.Store.View(ctx, func(tx server.Tx) error { return f(countingTx{tx, s}) })
}

func (s *countingStore) Assign(ctx context.Context, q *server.Inquiry, decide func(*server.Findings) (*server.Outcome, error)) error {
	return s.Update(ctx, func(tx server.Tx) error { return q.Answer(tx, decide) })
}

func (s *countingStore) Update(ctx context.Context, f func(server.Tx) error) error {
	s.add("update")
	return s.Store.Update(ctx, func(tx server.Tx) error { return f(countingTx{tx, s}) })
}

type countingTx struct {
	server.Tx
	s *countingStore
}

func (t countingTx) User(u cpns.UserID) (server.User, error) {
	t.s.add("User")
	return t.Tx.User(u)
}

func (t countingTx) PSK1(id cpns.PSKIdentity) (server.PSK1, error) {
	t.s.add("PSK1")
	return t.Tx.PSK1(id)
}

func (t countingTx) PNE(e cpns.EntityID) (server.PNE, error) {
	t.s.add("PNE")
	return t.Tx.PNE(e)
}

func (t countingTx) AssignmentByRandom(r *[cpns.RandSize]byte) (server.Assignment, error) {
	t.s.add("AssignmentByRandom")
	return t.Tx.AssignmentByRandom(r)
}

func (t countingTx) FailuresAt(u cpns.UserID, g cpns.GatewayID, since, until time.Time, limit int) ([]time.Time, error) {
	t.s.add("FailuresAt")
	return t.Tx.FailuresAt(u, g, since, until, limit)
}

func (t countingTx) CountFailures(u cpns.UserID, since, until time.Time, limit int) (int, error) {
	t.s.add("CountFailures")
	return t.Tx.CountFailures(u, since, until, limit)
}

func (t countingTx) AddFailure(f server.Failure) error {
	t.s.add("AddFailure")
	return t.Tx.AddFailure(f)
}

func (t countingTx) AddEvent(e server.Event) error {
	t.s.add("AddEvent")
	return t.Tx.AddEvent(e)
}

// An unknown user and a wrong password take the same steps, and so do an unknown
// identity and a body that does not open.
func TestSameSteps(t *testing.T) {
	r := newRig(t)
	store := &countingStore{Store: r.store}
	r.serve(func(c *server.Config) { c.Store = store })
	trace := func(body []byte) []string {
		store.reset()
		r.server.OnOpen(func(column string) { store.add("open " + column) })
		r.post(body)
		return store.steps
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success) // PSK1's first use
	wrong, unknown := r.seal("gw-1", r.wrong("alice", "pne-1")), r.seal("gw-1", r.request("nobody", "pne-1"))
	a, b := trace(wrong), trace(unknown)
	if !slices.Equal(a, b) || !slices.Contains(a, "open users.password_hash") {
		t.Errorf("wrong password: %v\nunknown user:   %v", a, b)
	}
	// Nor do the audit log and what is counted tell them apart.
	events := r.events()
	last, before := events[len(events)-1], events[len(events)-2]
	if last.Kind != before.Kind || last.Detail != before.Detail {
		t.Errorf("audit: %+v and %+v", before, last)
	}

	r.gateways["gw-3"] = random(t, 32)
	unknownIdentity := r.seal("gw-3", r.request("alice", "pne-1"))
	r.gateways["gw-1"] = random(t, 32)
	wrongPSK := r.seal("gw-1", r.request("alice", "pne-1"))
	a, b = trace(wrongPSK), trace(unknownIdentity)
	if !slices.Equal(a, b) || !slices.Contains(a, "open psk1s.psk1") {
		t.Errorf("wrong PSK1:       %v\nunknown identity: %v", a, b)
	}
}
