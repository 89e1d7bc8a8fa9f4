package agent

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// PSKSource is where PSK1 comes from: step 0. It is called by one goroutine at a
// time, when a key is needed: at the first request, some time before a key expires,
// and once if the server refuses one.
type PSKSource interface {
	// Name says which source it is: "file", "tls", "gba".
	Name() string
	// PSK1 returns a key: it reads it, agrees on one with the server, or bootstraps. If
	// there is none yet the error says, for people, what has to happen first; it is a
	// *PSKWaitError if that may happen by itself.
	PSK1(ctx context.Context) (*PSK, error)
}

// PSK is a PSK1 with what its source knows of it.
type PSK struct {
	Identity cpns.PSKIdentity
	Key      cpns.PSK1
	Until    time.Time // when it expires; zero for a key that its source returns at any time, and that is not kept
	Renew    time.Time // when to get another one, before Until

	Over <-chan struct{} // closed if it becomes invalid before Until, for example because its SIM was removed; nil for never
}

func (p *PSK) wipe() { clear(p.Key) }

func (p *PSK) clone() *PSK {
	q := *p
	q.Key = append(cpns.PSK1{}, p.Key...)
	return &q
}

func (p *PSK) same(q *PSK) bool {
	return p.Identity == q.Identity && subtle.ConstantTimeCompare(p.Key, q.Key) == 1
}

// good reports whether the key may be used.
func (p *PSK) good(now time.Time) bool {
	select {
	case <-p.Over:
		return false
	default:
		return p.Until.After(now)
	}
}

// PSKWaitError says that there is no PSK1 yet, and what is waited for.
type PSKWaitError struct {
	Reason string // for people: "waiting for the server's operator to approve this gateway"
	Err    error  // may be nil
}

func (e *PSKWaitError) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}
func (e *PSKWaitError) Unwrap() error { return e.Err }

// PSKStatus is what is told about PSK1; no secret is in it.
type PSKStatus struct {
	Source   string           `json:"source"`
	Detail   string           `json:"detail,omitempty"`   // what a source with a Detail() says of itself
	Identity cpns.PSKIdentity `json:"identity,omitempty"` // of the key in use, "" for none
	Until    string           `json:"until,omitempty"`    // RFC 3339 UTC, "" for ever
	Waiting  string           `json:"waiting,omitempty"`  // why there is none, or why a newer one is not here
}

// A failure to get a key is tried again after pskFirst, doubling up to pskLast, with
// jitter: ten thousand gateways whose server comes back do not all ask at once.
const (
	pskFirst = 15 * time.Second
	pskLast  = time.Hour
)

// pskKeeper keeps PSK1 in memory for as long as it is good, gets the next in time,
// and overwrites what is over.
type pskKeeper struct {
	source PSKSource
	now    func() time.Time
	log    *slog.Logger
	turn   chan struct{} // who has the token asks the source
	wake   chan struct{} // a key has come: run looks when it is to be renewed

	mu      sync.Mutex
	current *PSK
	old     *PSK // the one before, until current has been used
	waiting string
	failed  int   // questions to the source that failed
	why     error // what came of the last of them
}

func newPSKKeeper(source PSKSource, now func() time.Time, log *slog.Logger) *pskKeeper {
	return &pskKeeper{source: source, now: now, log: log, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
}

// get gives a copy of the key in use, which the caller wipes. It asks the source
// where there is none.
func (k *pskKeeper) get(ctx context.Context) (*PSK, error) {
	if p := k.have(); p != nil {
		return p, nil
	}
	return k.fetch(ctx, func() *PSK { return k.have() })
}

// have is a copy of a key that is good now, nil where there is none.
func (k *pskKeeper) have() *PSK {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	if k.current == nil {
		return nil
	}
	return k.current.clone()
}

// expire overwrites what is over. k.mu is held.
func (k *pskKeeper) expire() {
	for _, p := range []**PSK{&k.current, &k.old} {
		if *p != nil && !(*p).good(k.now()) {
			(*p).wipe()
			*p = nil
		}
	}
}

// fetch asks the source, unless meanwhile gives a key that another call has brought. A
// failure is that of all who wait for it: if each asked for itself, the last of many
// would wait for as many times as a server that is away takes to say nothing.
func (k *pskKeeper) fetch(ctx context.Context, meanwhile func() *PSK) (*PSK, error) {
	failed, _ := k.failure()
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if p := meanwhile(); p != nil {
		return p, nil
	}
	if n, why := k.failure(); n != failed {
		return nil, why
	}
	p, err := k.source.PSK1(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			k.waiting, k.why = err.Error(), err
			k.failed++
		}
		return nil, err
	}
	k.waiting = ""
	if p.Until.IsZero() { // its source gives it again at any time
		return p, nil
	}
	if k.old == nil {
		k.old = k.current
	} else if k.current != nil {
		k.current.wipe()
	}
	k.current = p
	k.log.Info("PSK1 agreed on", "source", k.source.Name(), "identity", string(p.Identity), "until", p.Until.UTC())
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return p.clone(), nil
}

// failure tells how many questions have failed, and why the last has.
func (k *pskKeeper) failure() (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed, k.why
}

// used says that the server has answered under a key: the one before is over.
func (k *pskKeeper) used(p *PSK) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != nil && k.current.Identity == p.Identity && k.old != nil {
		k.old.wipe()
		k.old = nil
	}
}

// refused says that the server does not know a key, and gives another one to try,
// nil where there is none: the one before, where that is still good, or a new one.
func (k *pskKeeper) refused(ctx context.Context, p *PSK) (*PSK, error) {
	k.mu.Lock()
	if k.current != nil && k.current.Identity == p.Identity {
		k.current.wipe()
		k.current, k.old = k.old, nil
		k.expire()
	}
	k.mu.Unlock()
	next, err := k.fetch(ctx, func() *PSK {
		if have := k.have(); have != nil && !have.same(p) {
			return have
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if next.same(p) {
		next.wipe()
		return nil, nil
	}
	return next, nil
}

// run gets the next key in time, as long as ctx lasts, and overwrites all at the end.
func (k *pskKeeper) run(ctx context.Context) {
	defer k.wipe()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var wait time.Duration // after a failure
	for {
		timer.Reset(k.pause(wait))
		select {
		case <-timer.C:
		case <-k.wake:
			wait = 0
			continue
		case <-k.over():
			k.mu.Lock()
			k.expire()
			k.mu.Unlock()
			continue
		case <-ctx.Done():
			return
		}
		if !k.renewalDue() {
			continue
		}
		p, err := k.fetch(ctx, func() *PSK { return nil })
		switch {
		case err != nil:
			wait = min(max(2*wait, pskFirst), pskLast)
			if ctx.Err() == nil {
				k.log.Warn("no newer PSK1 yet", "source", k.source.Name(), "reason", err)
			}
		default:
			p.wipe()
			wait = 0
		}
	}
}

// over is closed when the key in use is over before its time.
func (k *pskKeeper) over() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return nil
	}
	return k.current.Over
}

// pause is how long until a newer key is to be got, or the one in use is over.
func (k *pskKeeper) pause(afterFailure time.Duration) time.Duration {
	if afterFailure > 0 {
		return afterFailure/2 + rand.N(afterFailure)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return time.Hour
	}
	return min(max(k.current.Renew.Sub(k.now()), time.Second), time.Hour)
}

func (k *pskKeeper) renewalDue() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	return k.current != nil && !k.current.Renew.After(k.now())
}

func (k *pskKeeper) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range []*PSK{k.current, k.old} {
		if p != nil {
			p.wipe()
		}
	}
	k.current, k.old = nil, nil
}

func (k *pskKeeper) status() PSKStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	s := PSKStatus{Source: k.source.Name(), Waiting: k.waiting}
	if d, ok := k.source.(interface{ Detail() string }); ok {
		s.Detail = d.Detail()
	}
	if k.current != nil {
		s.Identity, s.Until = k.current.Identity, life.Stamp(k.current.Until)
	}
	return s
}

// waitsForPSK reports whether waiting may bring a PSK1.
func waitsForPSK(err error) bool {
	var wait *PSKWaitError
	return errors.As(err, &wait)
}

// noPSK is the outcome of a request for which there is no PSK1.
func noPSK(id cpns.EntityID, err error) Outcome {
	return Outcome{Entity: id, Result: ResultUnreachable, Detail: fmt.Sprintf("no PSK1: %v", err),
		Advice: "nothing was sent; pngw status says what is waited for"}
}
