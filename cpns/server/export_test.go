package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"time"
)

// What the tests of package server_test see of the inside.

const (
	LockFailures     = lockFailures
	FailureWindow    = failureWindow
	LockTime         = lockTime
	SlowestDelay     = slowestDelay
	SourceBurst      = sourceBurst
	GatewayBurst     = gatewayBurst
	FailureCost      = failureCost
	SlowedPerGateway = slowedPerGateway
	ReplayKept       = replayKept
	Connections      = connectionsPerSource
)

// OnOpen calls f with the name of every column that the server opens a value of.
func (s *Server) OnOpen(f func(column string)) {
	s.vault.opened = func(c column) { f(c.table + "." + c.name) }
}

// SetImportMost sets how many rows an import may have.
func (o *Operator) SetImportMost(n int) { o.importMost = n }

func (s *Server) Prune(ctx context.Context) error { return s.prune(ctx) }

func (s *Server) Seal(ctx context.Context) error { return s.sealEvents(ctx) }

func (s *Server) SetSealing(every time.Duration, rows int) { s.sealEvery, s.sealRows = every, rows }

// Buckets are the counts of a histogram's buckets by their bounds, and of all above them.
func Buckets(took ...time.Duration) map[float64]uint64 {
	var h histogram
	for _, d := range took {
		h.observe(d)
	}
	counts := make(map[float64]uint64)
	for n := range h.buckets {
		bound := math.Inf(1)
		if n < len(bounds) {
			bound = bounds[n]
		}
		if c := h.buckets[n].Load(); c > 0 {
			counts[bound] = c
		}
	}
	return counts
}

func (s *Server) CountReplicas(ctx context.Context) error { return s.countReplicas(ctx) }

// SetPassed sets how much time has passed since the server was made.
func (s *Server) SetPassed(f func() time.Duration) { s.passed = f }

func (s *Server) SetPruneEvery(d time.Duration) { s.pruneEvery = d }

func (s *Server) SetAuditRows(n int) { s.auditRows = n }

// ReplicaSkew is how far the clocks of servers on one store may differ.
const ReplicaSkew = replicaSkew

const TicketPeriod = ticketPeriod

// A TicketRotation is the rotation of session ticket keys alone.
type TicketRotation struct {
	Config *tls.Config
	s      *Server
}

func NewTicketRotation(now func() time.Time, secret func() (*TicketSecret, error)) *TicketRotation {
	return &TicketRotation{new(tls.Config), &Server{now: now, ticketSecret: secret, log: slog.New(slog.DiscardHandler), tally: new(tally)}}
}

// Start begins it; what it returns ends it.
func (r *TicketRotation) Start(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); r.s.rotateTickets(ctx, r.Config) }()
	return func() { cancel(); <-done }
}

// OnHash calls f before every Argon2id.
func (g *Gatekeeper) OnHash(f func()) { g.hashed = f }

// OperatorAt is an operator with another clock.
func OperatorAt(o *Operator, now func() time.Time) *Operator {
	other := *o
	other.now = now
	return &other
}

const RekeyGrace = rekeyGrace

// Forget lets the server look anew at what it knows of its store.
func (s *Server) Forget() { s.store.last.Store(nil) }

func (s *Server) Leave(ctx context.Context) error { s.leave(ctx); return nil }

// Serving makes the server be as if Serve had been called.
func (s *Server) Serving() { s.serving.Store(true) }
