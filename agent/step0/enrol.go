package step0

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Config is what an Enroller is made of.
type Config struct {
	Store    Store
	Exchange Exchange
	Gateway  cpns.GatewayID // as configured, "" for not
	Hints    Hints
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger
	// Enrolled is called once a server has taken the gateway in and that is something
	// new, after it has been kept; nil for nobody.
	Enrolled func()
}

// Hints are what the board says of itself, for whoever approves it.
type Hints struct {
	Model, Serial string
	MACs          []string
}

// How long to wait before an enrolment is asked for again.
const (
	minRetry   = time.Second
	firstRetry = 5 * time.Second // where there was no answer; doubles
	maxRetry   = time.Hour
	// Where the code of the configuration was refused: people take that back, and nobody
	// is at the router. Each time is written down twice.
	refusedRetry = 12 * time.Hour
)

// Enroller enrols the gateway, and is where it gets PSK1 once it is.
type Enroller struct {
	cfg  Config
	log  *slog.Logger
	now  func() time.Time
	wake chan struct{} // Begin has been called

	change sync.Mutex // held from reading the record to having kept its successor

	mu      sync.Mutex
	option  *cpns.EnrolmentCode // of the configuration, nil for none
	record  *record             // replaced, never changed; nil before the first code
	tries   int                 // since Begin, that have ended
	last    string              // what came of the last of them, where it is not decided
	noReach bool                // the last had no answer
	held    time.Time
	heldWhy error
}

// New reads what the store has of an enrolment.
func New(cfg Config) (*Enroller, error) {
	if cfg.Store == nil || cfg.Exchange == nil || cfg.Log == nil {
		return nil, errors.New("step0: Store, Exchange and Log are all needed")
	}
	e := &Enroller{cfg: cfg, log: cfg.Log, now: cfg.Now, wake: make(chan struct{}, 1)}
	if e.now == nil {
		e.now = time.Now
	}
	var err error
	e.record, err = load(cfg.Store)
	return e, err
}

func (e *Enroller) current() *record {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.record
}

// keep makes a record durable, and then what counts. e.change is held.
func (e *Enroller) keep(r *record) error {
	if err := r.save(e.cfg.Store); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.record == nil || e.record.pending != r.pending {
		e.tries, e.last, e.noReach = 0, "", false
	}
	e.record = r
	return nil
}

// A ContradictionError says that a code and what is known already exclude each other.
type ContradictionError struct{ Reason string }

func (e *ContradictionError) Error() string { return e.Reason }

// Begin takes a code up, in place of one that is not decided: it is kept once Begin
// returns, and Run asks the server. move lets an enrolled gateway go to another server.
// An error is a *ContradictionError where the code cannot be used here.
func (e *Enroller) Begin(code *cpns.EnrolmentCode, move bool) error {
	e.change.Lock()
	defer e.change.Unlock()
	if code.ID != "" && e.cfg.Gateway != "" && code.ID != e.cfg.Gateway {
		return &ContradictionError{fmt.Sprintf("the code is for gateway %s, and the configuration says %s: remove option id, or ask for a code for that", code.ID, e.cfg.Gateway)}
	}
	next := record{}
	if r := e.current(); r != nil {
		next = *r
	} else {
		var err error
		if next.keys, err = newKeyPair(); err != nil {
			return fmt.Errorf("making the gateway's key: %w", err)
		}
	}
	if at := next.enrolled; at != nil && at.Server != code.Server && !move {
		return &ContradictionError{fmt.Sprintf("this gateway is enrolled at %s, and the code is of %s: --move moves it there", at.Server, code.Server)}
	}
	next.pending, next.refused = code, ""
	if err := e.keep(&next); err != nil {
		return err
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return nil
}

// Configured takes up the code of the configuration, where there is anything to do
// about it. Where it is refused, Run asks again now and then.
func (e *Enroller) Configured(code *cpns.EnrolmentCode) error {
	e.mu.Lock()
	e.option = code
	r := e.record
	e.mu.Unlock()
	switch {
	case r == nil:
	case r.pending != nil && sameCode(r.pending, code):
		return nil // goes on
	case r.enrolled != nil:
		if r.enrolled.Server != code.Server {
			e.log.Warn("option enrol is of another server than this gateway is enrolled at: pngw enrol --move moves it", "enrolled", r.enrolled.Server, "option", code.Server)
		}
		return nil
	}
	return e.Begin(code, false)
}

func sameCode(a, b *cpns.EnrolmentCode) bool {
	x, errX := a.Text()
	y, errY := b.Text()
	return errX == nil && errY == nil && x == y
}

// States of an enrolment.
const (
	StateNone     = "none"
	StatePending  = "pending"
	StateEnrolled = "enrolled"
	StateRefused  = "refused"
)

// Status is what is told of an enrolment; no secret is in it. What is pending or
// refused comes before what holds meanwhile.
type Status struct {
	State       string         `json:"state"`
	Fingerprint string         `json:"fingerprint,omitempty"` // of this gateway
	Server      string         `json:"server,omitempty"`      // of the code where it is pending, else where it is enrolled
	Pin         string         `json:"pin,omitempty"`         // that the code has of that server
	Gateway     cpns.GatewayID `json:"gateway,omitempty"`     // where it is enrolled
	Enrolled    string         `json:"enrolled,omitempty"`    // the server that it is enrolled at
	Pins        []cpns.Pin     `json:"-"`
	Tries       int            `json:"tries,omitempty"`       // since the code was given
	Unreachable bool           `json:"unreachable,omitempty"` // the last had no answer
	Detail      string         `json:"detail,omitempty"`      // what is waited for, why it was refused
}

// Status tells how the enrolment stands.
func (e *Enroller) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{State: StateNone}
	r := e.record
	if r == nil {
		return s
	}
	if _, spki, err := r.keys.parse(); err == nil {
		s.Fingerprint = cpns.HashSPKI(spki).Fingerprint()
	}
	if at := r.enrolled; at != nil {
		s.State, s.Gateway, s.Enrolled, s.Server, s.Pins = StateEnrolled, at.Gateway, at.Server, at.Server, at.Pins
	}
	switch {
	case r.pending != nil:
		s.State, s.Server, s.Pin = StatePending, r.pending.Server, cpns.Base64.EncodeToString(r.pending.Pin[:])
		s.Tries, s.Unreachable, s.Detail = e.tries, e.noReach, e.last
	case r.refused != "":
		s.State, s.Detail = StateRefused, r.refused
	}
	return s
}

// Pins are those that hold by now for the server's keys, nil where the gateway is not
// enrolled. They are asked for with each connection, so nothing is computed here.
func (e *Enroller) Pins() []cpns.Pin {
	r := e.current()
	if r == nil || r.enrolled == nil {
		return nil
	}
	return r.enrolled.Pins
}

// standing is the code of the configuration where that was refused, nil where it is not,
// and where the gateway is enrolled all the same.
func (e *Enroller) standing() *cpns.EnrolmentCode {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.record; r == nil || r.pending != nil || r.enrolled != nil || r.refused == "" {
		return nil
	}
	return e.option
}

// Run asks the server for as long as a code is not decided, until ctx ends.
func (e *Enroller) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	failures := 0
	var asked *cpns.EnrolmentCode
	for {
		wait := maxRetry
		if r := e.current(); r != nil && r.pending != nil {
			asked = r.pending
			retry, answered := e.try(ctx, r)
			if answered {
				failures = 0
			} else {
				failures = min(failures+1, 12)
				retry = firstRetry << (failures - 1)
			}
			wait = min(max(retry, minRetry), maxRetry)
		}
		if e.standing() != nil {
			wait = refusedRetry
		}
		timer.Reset(wait + rand.N(wait/4)) // fifty that were switched on together
		for again := false; !again; {
			select {
			case <-timer.C:
				again = true
				if code := e.standing(); code != nil {
					if err := e.Configured(code); err != nil {
						e.log.Warn("the code of option enrol is not taken up again", "reason", err)
					}
				}
			case <-e.wake:
				// Not of a code that was asked for already when this came.
				if r := e.current(); r.pending != asked {
					failures, again = 0, true
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
