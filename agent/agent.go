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

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// Agent serves every PNE of one gateway. One goroutine, Run's, owns all of the
// PNEs' state; links and users' commands reach it through channels, and
// commands go first. It waits for nobody: a record goes to the store beside it.
type Agent struct {
	cfg   Config
	log   *slog.Logger
	ports []*port

	calls     chan func()
	inbound   chan inbound
	stopped   chan struct{} // closed when Run has stopped serving
	psk       *pskKeeper
	renewTick time.Duration // how often to look for sets that are nearly used up
	asking    chan struct{} // a semaphore: the requests to the server that may be in flight at once

	malformed, misplaced, unproved atomic.Int64
	tally                          tally

	// Owned by Run's goroutine.
	pnes      map[cpns.EntityID]*entry
	writers   writers
	stopping  bool      // nothing more is begun
	openUntil time.Time // PNEs that are held get their keys until then
	active    Activity
	told      Activity          // to Config.Active
	faults    map[string]string // records that do not open: name to reason
	removing  map[string]bool   // of them, those that are being removed
	found     discovered
	due       deadlines
	queued    queued
	unwritten map[cpns.EntityID]string // records that could not be written the last time, and why
	x25519    pairing
}

// entry is a PNE, and what the agent keeps in memory about it.
type entry struct {
	life.Served
	backlog  *backlog    // what waits until its record is written; nil if none is being written
	place    int         // its index in due, -1 if it is not there
	busy     bool        // a request to the server for it is in progress
	hello    *cpns.Hello // the latest that was heard in its name, nil for none
	renewal  renewal
	ended    ended // authentications
	counts   counts
	watchers []chan<- news
}

// news is what a watcher hears of a PNE.
type news struct {
	life.News
	entity   cpns.EntityID
	unstored error // why the store could not take what the PNE has proved, nil where it could
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
		calls: make(chan func()), inbound: make(chan inbound, inLength), stopped: make(chan struct{}),
		asking: make(chan struct{}, maxAsking), renewTick: renewTick,
		pnes: map[cpns.EntityID]*entry{}, faults: map[string]string{}, removing: map[string]bool{}, unwritten: map[cpns.EntityID]string{},
		writers: writers{done: make(chan func(), maxWriting)}, queued: queued{},
	}
	a.psk = newPSKKeeper(cfg.PSK, func() time.Time { now, _ := cfg.Clock.Now(); return now }, cfg.Log)
	for _, l := range cfg.Links {
		a.ports = append(a.ports, newPort(l))
	}
	names, err := cfg.Store.List()
	if err != nil {
		return nil, fmt.Errorf("reading the store: %w", err)
	}
	known := map[string]string{}
	same := func(s string) string {
		if have, ok := known[s]; ok {
			return have
		}
		known[s] = s
		return s
	}
	for _, name := range names {
		if _, err := cpns.ParseEntityID(name); err != nil {
			continue // another's record, such as the gateway's own key pair
		}
		p, err := a.load(name)
		if err != nil {
			a.faults[name] = err.Error()
			a.log.Error("a record does not open and is left as it is", "record", name, "reason", err)
			continue
		}
		p.Share(same)
		a.enter(p)
		if t := p.Taken(); !t.IsZero() {
			cfg.Clock.Raise(t)
		}
	}
	return a, nil
}

// enter begins to serve a PNE.
func (a *Agent) enter(p life.PNE) *entry {
	e := &entry{Served: life.Serve(p), place: -1}
	a.pnes[p.Entity()] = e
	a.step(e, life.Started{}, "", a.send) // stores nothing
	return e
}

func (a *Agent) load(name string) (life.PNE, error) {
	value, err := a.cfg.Store.Get(name)
	if err != nil {
		return life.PNE{}, err
	}
	defer clear(value)
	return life.Parse(name, value)
}

// Run serves until ctx ends, and returns nil when every link has ended too. If a link
// fails in a way that waiting cannot mend, Run ends the other links and returns its error.
func (a *Agent) Run(ctx context.Context) error {
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
	running.Go(func() { a.psk.run(ctx) })
	a.loop(ctx)
	// Before the others are waited for: they may be waiting for the loop.
	close(a.stopped)
	running.Wait()
	a.x25519.wipe()
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
		a.tellActive()
		timer.Reset(a.due.wait(time.Now()))
		select {
		case call := <-a.calls: // a person waits for it
			call()
			continue
		case end := <-a.writers.done:
			end()
			continue
		default:
		}
		messages := a.inbound
		if a.writers.full() {
			messages = nil
		}
		select {
		case call := <-a.calls:
			call()
		case end := <-a.writers.done:
			end()
		case in := <-messages:
			a.queued.settle(in)
			a.receive(in)
		case <-timer.C:
			a.expire(time.Now())
		case <-ctx.Done():
		}
	}
	a.stopping = true
	a.writers.wait()
}

// command is the context of a command: it ends with the agent, too.
func (a *Agent) command(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-a.stopped:
			cancel(ErrStopped)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// do has Run's goroutine call f, and returns once it has.
func (a *Agent) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case a.calls <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-a.stopped:
		return ErrStopped
	}
}

// about calls f in Run's goroutine with one PNE, or nil if there is none of that name,
// at a time when no record of it is being written. f has to call end exactly once, at
// once or later; about returns when it has, even if ctx ends before.
func (a *Agent) about(ctx context.Context, id cpns.EntityID, f func(e *entry, end func(error))) error {
	ended := make(chan error, 1)
	var call func()
	call = func() {
		switch e := a.pnes[id]; {
		case a.stopping:
			ended <- ErrStopped
		case e != nil && e.held():
			e.backlog.commands = append(e.backlog.commands, call)
		default:
			f(e, func(err error) { ended <- err })
		}
	}
	if err := a.do(ctx, call); err != nil {
		return err
	}
	return <-ended
}

// world is the world as it is now, for one step of a PNE.
func (a *Agent) world(id cpns.EntityID, link string) life.World {
	w := life.World{Now: time.Now(), Gateway: a.cfg.Gateway, Link: link, Wait: a.wait, Line: a.line, Chance: mrand.Uint64(), Reauth: a.cfg.Reauth}
	w.Open = w.Now.Before(a.openUntil)
	_, w.ClockSet = a.cfg.Clock.Now()
	w.Queued = func(ticket uint64) bool { return a.queued.has(id, ticket) }
	w.Pair = func() *cpns.X25519Pair { return a.x25519.get(w.Now) }
	rand.Read(w.RandGW[:])
	rand.Read(w.IV[:])
	return w
}

// have reports the results of a step and returns the messages to be sent. usedUp says
// whether the PNE's set was used up before the step.
func (a *Agent) have(e *entry, effects []life.Effect, link string, usedUp bool) (out []life.Outgoing) {
	for _, ef := range effects {
		switch ef := ef.(type) {
		case life.Outgoing:
			out = append(out, ef)
		case life.News:
			a.tell(e, ef, link)
		}
	}
	if !usedUp && e.UsedUp() {
		a.log.Warn("the device's set is used up", "entity_id", e.Entity())
		a.observe(EventUsedUp, e, link)
	}
	return out
}

// wait is how long an answer may take on a link before the first repeat, without what
// line adds. What goes out on all links waits for the slowest.
func (a *Agent) wait(link string) time.Duration {
	return a.slowest(link, transport.RetryStream, func(l transport.Link) time.Duration { return l.RetryInterval() - transport.LineTimeOf(l) })
}

// line is by how much each wait is longer on a slow line.
func (a *Agent) line(link string) time.Duration { return a.slowest(link, 0, transport.LineTimeOf) }

// slowest is the time that of gives for the link of that name. If there is none of that
// name it is the longest of all links', and at least least.
func (a *Agent) slowest(link string, least time.Duration, of func(transport.Link) time.Duration) time.Duration {
	longest := least
	for _, p := range a.ports {
		takes := of(p.link)
		if p.link.Name() == link {
			return takes
		}
		longest = max(longest, takes)
	}
	return longest
}

// written records whether a PNE's record could be written, and logs it if that has
// changed since the last time. This is kept for each record, so that a record that
// cannot be written is not hidden by another that can.
func (a *Agent) written(id cpns.EntityID, err error) {
	before, failing := a.unwritten[id]
	switch {
	case err != nil && (!failing || before != err.Error()):
		a.log.Error("a record cannot be written; what it is about does not count until it can", "entity_id", id, "error", err)
		a.unwritten[id] = err.Error()
	case err == nil && failing:
		a.log.Info("the record can be written again", "entity_id", id)
		delete(a.unwritten, id)
	}
}

// tell logs a piece of news, and passes it to the observer and to those who wait for it.
func (a *Agent) tell(e *entry, n life.News, link string) {
	id := e.Entity()
	switch n.Kind {
	case life.Delivered:
		a.active.Delivered++
		a.log.Info("key proved by the device", "entity_id", id, "epoch", n.Epoch, "index", n.Index, "link", link)
		a.observeNews(EventDelivered, e, n, link)
	case life.Authenticated:
		e.ended.well++
		a.log.Info("device authenticated", "entity_id", id, "epoch", n.Epoch, "index", n.Index, "link", link)
		a.observeNews(EventAuthenticated, e, n, link)
	case life.Alarmed:
		a.log.Warn("device rolled back or cloned: it gets no key", "entity_id", id, "link", link, "detail", e.View().Note)
		a.observeNews(EventAlarm, e, n, link)
	case life.Unanswered:
		e.ended.vain++
	case life.TagFails:
		a.log.Warn("hellos in the device's name are not under its Temporary Key", "entity_id", id, "link", link, "detail", e.View().Note)
	case life.Refused:
		a.log.Debug("device says that it could not take its key", "entity_id", id, "link", link, "status", int(n.Status))
	case life.Unproved:
		a.unproved.Add(1)
		return
	}
	if n.Key != nil && a.cfg.Observe == nil {
		clear(n.Key[:])
	}
	n.Key = nil // it is the observer's alone
	e.tell(news{News: n, entity: id})
}

func (e *entry) tell(n news) {
	for _, w := range e.watchers {
		select {
		case w <- n:
		default: // a watcher looks at the PNE itself before it gives up
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
		a.step(e, life.Timeout{}, "", a.send) // stores nothing
	}
}

// send sends the messages of a step that does not answer a received message.
func (a *Agent) send(out []life.Outgoing, _ error) { a.dispatch(out) }

// dispatch hands messages to the links' own queues. A full queue drops: what
// was dropped is repeated.
func (a *Agent) dispatch(out []life.Outgoing) {
	for _, m := range out {
		for _, p := range a.ports {
			switch {
			case m.Link != "" && m.Link != p.link.Name():
			case m.Poll && !p.link.Addressed():
				p.poll(time.Now(), pollGap)
			case !p.link.Addressed() && a.elsewhere(m, p):
				p.poll(time.Now(), askGap)
			default:
				if p.offer(m) {
					a.queued.add(m)
				}
			}
		}
	}
}

// elsewhere reports whether a message is for a PNE that was not heard on this link, and
// is not an identify. On a byte stream each such message would block the line in vain:
// one identify to all finds out just as well which of them are there, and the hello of
// one that is there gets the waiting message as its answer.
func (a *Agent) elsewhere(m life.Outgoing, p *port) bool {
	e := a.pnes[m.To]
	return m.Link == "" && e != nil && !m.Identify && !e.HeardOn(p.link.Name())
}
