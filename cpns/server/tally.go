package server

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/cpns"
)

// A tally counts what a server does since it began, for metrics.go. Nothing in it names
// anybody.
type tally struct {
	began       time.Time
	assignments [len(statusNames)]atomic.Uint64
	took        histogram // of answered requests for assignments
	problems    [len(problemCodes) + 1]atomic.Uint64
	lockOuts    atomic.Uint64
	gatewayOver atomic.Uint64 // requests of gateways that had spent their budget, or had too many waiting
	addressOver atomic.Uint64
	suppressed  atomic.Uint64 // lines of the log
	replicas    atomic.Int64

	operations [len(operationNames)]histogram
	away       atomic.Uint64 // transactions that the store was away for
	failed     atomic.Uint64 // those that failed otherwise, by the store's fault
	reached    atomic.Bool   // and written to, by the last transaction that does

	sealedAt atomic.Int64 // milliseconds since 1970, when this server last looked at the audit log
	sealed   atomic.Uint64
	forged   atomic.Uint64

	connections atomic.Pointer[limitListener] // those of Serve
}

// statusNames are the statuses of an assignment as labels.
var statusNames = [...]string{
	cpns.Success:                  "success",
	cpns.UserAuthenticationFailed: "user_authentication_failed",
	cpns.TimeOutOfWindow:          "time_out_of_window",
	cpns.UnknownPNE:               "unknown_pne",
	cpns.PNEOwnedByAnotherUser:    "pne_owned_by_another_user",
	cpns.UserLocked:               "user_locked",
	cpns.RandomReused:             "random_reused",
}

// problemCodes are the HTTP statuses of what is answered in plain HTTP; all others are
// counted together.
var problemCodes = [...]int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
	http.StatusUnsupportedMediaType, http.StatusTooManyRequests, http.StatusServiceUnavailable,
}

func (t *tally) assigned(ans *answer, took time.Duration) {
	if status := int(ans.response.Status); status < len(statusNames) {
		t.assignments[status].Add(1)
	}
	if ans.locks {
		t.lockOuts.Add(1)
	}
	t.took.observe(took)
}

func (t *tally) problem(status int) {
	n := 0
	for n < len(problemCodes) && problemCodes[n] != status {
		n++
	}
	t.problems[n].Add(1)
}

// bounds are those of all histograms, in seconds.
var bounds = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// A histogram counts how long something took.
type histogram struct {
	buckets [len(bounds) + 1]atomic.Uint64 // each without those below
	nanos   atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	n := 0
	for n < len(bounds) && d.Seconds() > bounds[n] {
		n++
	}
	h.buckets[n].Add(1)
	h.nanos.Add(int64(d))
}

const (
	opView = iota
	opUpdate
	opAssign
	opTidy
)

var operationNames = [...]string{opView: "view", opUpdate: "update", opAssign: "assign", opTidy: "tidy"}

// A tallyingStore counts its transactions, and how long they take.
type tallyingStore struct {
	Store
	*tally
}

func (s tallyingStore) View(ctx context.Context, f func(Tx) error) error {
	return s.count(opView, func() error { return s.Store.View(ctx, f) })
}

func (s tallyingStore) Update(ctx context.Context, f func(Tx) error) error {
	return s.count(opUpdate, func() error { return s.Store.Update(ctx, f) })
}

func (s tallyingStore) Assign(ctx context.Context, q *Inquiry, decide func(*Findings) (*Outcome, error)) error {
	return s.count(opAssign, func() error { return s.Store.Assign(ctx, q, decide) })
}

func (s tallyingStore) Tidy(ctx context.Context, f func(Tx) error) error {
	return s.count(opTidy, func() error { return s.Store.Tidy(ctx, f) })
}

func (s tallyingStore) count(operation int, run func() error) error {
	begin := time.Now()
	err := run()
	s.operations[operation].observe(time.Since(begin))
	_, isProblem := errors.AsType[*problem](err)
	switch {
	case err == nil || isProblem || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists):
		if operation == opUpdate || operation == opAssign { // which write: a standby can be read
			s.reached.Store(true)
		}
	case isAway(err):
		s.away.Add(1)
		s.reached.Store(false)
	case errors.Is(err, context.Canceled):
	default:
		s.failed.Add(1)
	}
	return err
}
