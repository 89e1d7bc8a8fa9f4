// Package hooks tells the router's other software what happens to PNEs: it
// runs the executables of a folder, /etc/pngw/hooks.d, for each of the agent's
// events, as OpenWrt's hotplug does for those of the kernel.
//
// cmd/pngw hands it the agent's events. docs/hooks.md is for those who write
// hooks: events, environment, and the session key on file descriptor 3.
//
// A hook cannot hold anything up: events wait in a bounded queue, hooks run one
// at a time and for a limited time, and what becomes of them is logged and
// counted, and changes nothing else. What a folder may hold is in find.go, what
// a hook is given in process.go, what is kept of its output in output.go.
package hooks

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

// Config is what a Runner is made of; Dir, Gateway, Timeout and Log are needed.
type Config struct {
	Dir        string // need not be there: then nobody is told
	Gateway    cpns.GatewayID
	SessionKey bool          // whether hooks of an authentication get its session key
	Timeout    time.Duration // of one hook, which is killed after that

	// Applications are those whose keys hooks are handed, as each comes.
	Applications []Application

	Log *slog.Logger
}

// Application is one that gets keys by hooks.
type Application struct {
	Name  string
	Label string // of its keys
}

// EventApplicationKey is a device's key for an application, once for each of them, after
// each authentication. What is told beside it is as of that.
const EventApplicationKey agent.EventKind = "application_key"

// task is what hooks are run for. Of an application's key, Session is that key.
type task struct {
	agent.Event
	application *Application // nil for none
	identity    string
}

// Runner runs hooks.
type Runner struct {
	cfg     Config
	queue   chan task
	dropped int64             // what Run has said of counts.dropped
	refused map[string]string // files that are not run, and why: each is said once
	counts  struct{ ok, failed, timedOut, dropped atomic.Int64 }
}

// Counts says what has become of hooks and events since the start.
type Counts struct {
	OK       int64 `json:"ok"`        // hooks that ended with exit code 0
	Failed   int64 `json:"failed"`    // that ended otherwise, or could not be started
	TimedOut int64 `json:"timed_out"` // that were killed
	Dropped  int64 `json:"dropped"`   // events that no hook was run for, because too many waited
	Waiting  int   `json:"waiting"`   // events, now
}

// Events that may wait: those of a building whose devices all come back at
// once. Authentications come in such numbers and again every day; they leave
// room for what comes once, such as an alarm.
const (
	maxWaiting         = 1024
	maxAuthentications = 768
)

// New makes a Runner.
func New(c Config) *Runner {
	return &Runner{cfg: c, queue: make(chan task, maxWaiting)}
}

// Observe takes an event, and with it the session key, which is wiped once the
// hooks have had it, or at once where they are not to. It never blocks: an event
// that finds the queue full is dropped and counted. It must not be called
// concurrently.
func (r *Runner) Observe(e agent.Event) {
	if identity, ok := cpns.ApplicationIdentity(e.Entity); ok && e.Session != nil {
		for i := range r.cfg.Applications {
			a := &r.cfg.Applications[i]
			t := task{e, a, identity}
			key := cpns.SessionKey(cpns.DeriveApplicationKey(e.Session, a.Label))
			t.Kind, t.Session = EventApplicationKey, &key
			r.enqueue(t)
		}
	}
	if !r.cfg.SessionKey {
		wipe(&e)
	}
	r.enqueue(task{Event: e})
}

func (r *Runner) enqueue(e task) {
	often := e.Kind == agent.EventAuthenticated || e.Kind == EventApplicationKey
	if !often || len(r.queue) < maxAuthentications {
		select {
		case r.queue <- e:
			return
		default:
		}
	}
	wipe(&e.Event)
	r.counts.dropped.Add(1)
}

// Counts gives the counts so far.
func (r *Runner) Counts() Counts {
	return Counts{
		OK: r.counts.ok.Load(), Failed: r.counts.failed.Load(), TimedOut: r.counts.timedOut.Load(),
		Dropped: r.counts.dropped.Load(), Waiting: len(r.queue),
	}
}

// Run runs the hooks of each event until ctx ends. The hook under way is killed
// then, and events that wait are dropped.
func (r *Runner) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case e := <-r.queue:
			r.handle(ctx, e)
		case <-ctx.Done():
		}
	}
	for len(r.queue) > 0 {
		e := <-r.queue
		wipe(&e.Event)
		r.counts.dropped.Add(1)
	}
	r.sayDropped()
}

// handle runs every hook for one event, in the order of their names.
func (r *Runner) handle(ctx context.Context, e task) {
	defer wipe(&e.Event)
	r.sayDropped()
	for _, path := range r.find() {
		if ctx.Err() != nil {
			return
		}
		r.run(ctx, path, &e)
	}
}

func (r *Runner) sayDropped() {
	if n := r.counts.dropped.Load(); n > r.dropped {
		r.cfg.Log.Warn("events dropped: hooks are slower than what happens, or the agent is stopping", "events", n-r.dropped)
		r.dropped = n
	}
}

func wipe(e *agent.Event) {
	if e.Session != nil {
		clear(e.Session[:])
		e.Session = nil
	}
}
