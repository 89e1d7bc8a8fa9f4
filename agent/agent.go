package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Agent serves every PNE of one gateway. One goroutine, Run's, owns all of the
// PNEs' state; links and users' commands reach it through channels, and
// commands go first.
type Agent struct {
	cfg   Config
	log   *slog.Logger
	ports []*port

	calls   chan func()
	inbound chan inbound
	stopped chan struct{} // closed when Run has returned
	asking  chan struct{} // a place for each request that may be on its way to the server at once

	malformed, misplaced, unproved atomic.Int64

	// Owned by Run's goroutine.
	pnes     map[cpns.EntityID]*entry
	faults   map[string]string // records that do not open: name to reason
	found    discovered
	due      deadlines
	storeErr error
}

// entry is a PNE's state with what hangs on it.
type entry struct {
	state
	place    int  // in due, -1 for not there
	busy     bool // a request for it is under way
	renewal  renewal
	watchers []chan<- news
}

// news is what a watcher hears of a PNE.
type news struct {
	entity cpns.EntityID
	tell   tell
}

// maxAsking bounds the requests that are on their way to the server at once.
const maxAsking = 4

// ErrStopped is the answer to a command that came when the agent had ended.
var ErrStopped = errors.New("the agent has stopped")

// New checks the configuration and reads every record. A record that does not
// open is kept as it is and shown in Status; only a store that cannot be listed
// is an error.
func New(cfg Config) (*Agent, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, log: cfg.Log,
		calls: make(chan func()), inbound: make(chan inbound), stopped: make(chan struct{}),
		asking: make(chan struct{}, maxAsking),
		pnes:   map[cpns.EntityID]*entry{}, faults: map[string]string{},
	}
	for _, l := range cfg.Links {
		a.ports = append(a.ports, newPort(l))
	}
	names, err := cfg.Store.List()
	if err != nil {
		return nil, fmt.Errorf("reading the store: %w", err)
	}
	for _, name := range names {
		r, err := a.load(name)
		if err != nil {
			a.faults[name] = err.Error()
			a.log.Error("a record does not open and is left as it is", "record", name, "reason", err)
			continue
		}
		e := &entry{state: state{rec: r}, place: -1}
		a.pnes[r.entity] = e
		a.schedule(e)
		for _, t := range []*set{r.current, r.next} {
			if t != nil {
				cfg.Clock.Raise(time.Unix(t.taken, 0))
			}
		}
	}
	return a, nil
}

// schedule gives a PNE its first turn of the schedule, anywhere in its period.
func (a *Agent) schedule(e *entry) {
	if a.cfg.Reauth > 0 && e.ses.reauth.IsZero() {
		e.ses.reauth = time.Now().Add(mrand.N(a.cfg.Reauth))
		a.due.set(e, e.ses.due())
	}
}

func (a *Agent) load(name string) (*record, error) {
	value, err := a.cfg.Store.Get(name)
	if err != nil {
		return nil, err
	}
	defer clear(value)
	return parseRecord(name, value)
}

// Run serves until ctx ends, and returns nil once every link has ended too. An
// error is a link's that waiting cannot cure; the others have ended then as well.
func (a *Agent) Run(ctx context.Context) error {
	defer close(a.stopped)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	failed := make(chan error, len(a.ports))
	for _, p := range a.ports {
		running.Go(func() { p.work(ctx, a) })
		running.Go(func() {
			if err := p.run(ctx); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("link %s: %w", p.link.Name(), err)
				cancel()
			}
		})
	}
	running.Go(func() { a.renew(ctx) })
	a.loop(ctx)
	running.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (a *Agent) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(a.due.wait(time.Now()))
		select {
		case call := <-a.calls: // a person waits for it
			call()
			continue
		default:
		}
		select {
		case call := <-a.calls:
			call()
		case in := <-a.inbound:
			in.answer <- a.receive(in)
		case <-timer.C:
			a.expire(time.Now())
		case <-ctx.Done():
		}
	}
}

// do has Run's goroutine call f, and returns once it has.
func (a *Agent) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case a.calls <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-a.stopped:
		return ErrStopped
	}
}

// apply moves one PNE by one event: step, store, then all else. Where the store
// fails the state stays as it was, nothing is sent, and no more is told than that.
func (a *Agent) apply(e *entry, ev event, from *port) ([]send, error) {
	w := around{now: time.Now(), gateway: a.cfg.Gateway, retry: a.retry(from)}
	if from != nil {
		w.link = from.link.Name()
	}
	_, w.clockSet = a.cfg.Clock.Now()
	rand.Read(w.randGW[:])
	rand.Read(w.iv[:])
	if w.reauth = a.cfg.Reauth; w.reauth > 0 {
		w.jitter = mrand.N(w.reauth)
	}

	usedUp := e.usedUp()
	next, effects := step(e.state, ev, w)
	if next.rec != e.rec {
		if err := a.keep(next.rec); err != nil {
			a.tell(e, tell{kind: unstored, err: err}, w.link)
			return nil, err
		}
	}
	e.state = next
	a.due.set(e, next.ses.due())

	var sends []send
	for _, ef := range effects {
		switch ef := ef.(type) {
		case send:
			sends = append(sends, ef)
		case tell:
			a.tell(e, ef, w.link)
		}
	}
	if !usedUp && e.usedUp() {
		a.log.Warn("the device's set is used up", "entity_id", e.rec.entity)
		a.observe(EventUsedUp, e.rec, w.link, nil)
	}
	return sends, nil
}

func (s state) usedUp() bool { return s.rec.target() != nil && s.rec.target().usedUp() }

// retry is the first repeat of what goes out on a link. What goes out on all of
// them waits for the slowest.
func (a *Agent) retry(p *port) time.Duration {
	if p != nil {
		return p.link.RetryInterval()
	}
	slowest := time.Second
	for _, p := range a.ports {
		slowest = max(slowest, p.link.RetryInterval())
	}
	return slowest
}

// keep makes a record durable. A record with nothing in it is removed.
func (a *Agent) keep(r *record) error {
	var err error
	if r.target() == nil && r.request == nil {
		err = a.cfg.Store.Delete(string(r.entity))
	} else {
		var value []byte
		if value, err = r.marshal(); err == nil {
			err = a.cfg.Store.Put(string(r.entity), value)
			clear(value)
		}
	}
	switch {
	case err != nil && a.storeErr == nil:
		a.log.Error("the store cannot be written; keys and proofs are not taken until it can", "entity_id", r.entity, "error", err)
	case err == nil && a.storeErr != nil:
		a.log.Info("the store can be written again")
	}
	a.storeErr = err
	return err
}

func (a *Agent) tell(e *entry, t tell, link string) {
	id, k := e.rec.entity, e.rec.target()
	switch t.kind {
	case delivered:
		a.log.Info("key proved by the device", "entity_id", id, "epoch", k.epoch, "index", k.proved, "link", link)
		a.observe(EventDelivered, e.rec, link, nil)
	case authenticated:
		a.log.Info("device authenticated", "entity_id", id, "epoch", k.epoch, "index", k.proved, "link", link)
		a.observe(EventAuthenticated, e.rec, link, t.session)
	case alarmed:
		a.log.Warn("device rolled back or cloned: it gets no key", "entity_id", id, "link", link, "detail", e.rec.alarm.String())
		a.observe(EventAlarm, e.rec, link, nil)
	case refused:
		a.log.Debug("device says that it could not take its key", "entity_id", id, "link", link, "status", int(t.status))
	case unproved:
		a.unproved.Add(1)
		return
	}
	for _, w := range e.watchers {
		select {
		case w <- news{id, t}:
		default: // a watcher looks at the state itself before it gives up
		}
	}
}

// expire lets every PNE act whose deadline has passed.
func (a *Agent) expire(now time.Time) {
	for {
		e := a.due.pop(now)
		if e == nil {
			return
		}
		sends, _ := a.apply(e, timeout{}, nil) // a timeout stores nothing
		a.dispatch(sends)
	}
}

// dispatch hands messages to the links' own queues. A full queue drops: what
// was dropped is repeated.
func (a *Agent) dispatch(sends []send) {
	for _, s := range sends {
		for _, p := range a.ports {
			if s.link == "" || s.link == p.link.Name() {
				p.offer(s)
			}
		}
	}
}
