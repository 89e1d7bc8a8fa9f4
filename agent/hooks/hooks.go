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
	Log        *slog.Logger
}

// Runner runs hooks.
type Runner struct {
	cfg     Config
	queue   chan agent.Event
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
	return &Runner{cfg: c, queue: make(chan agent.Event, maxWaiting)}
}

// Observe takes an event, and with it the session key, which is wiped once the
// hooks have had it, or at once where they are not to. It never blocks: an event
// that finds the queue full is dropped and counted. It must not be called
// concurrently.
func (r *Runner) Observe(e agent.Event) {
	if !r.cfg.SessionKey {
		wipe(&e)
	}
	if e.Kind != agent.EventAuthenticated || len(r.queue) < maxAuthentications {
		select {
		case r.queue <- e:
			return
		default:
		}
	}
	wipe(&e)
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
		wipe(&e)
		r.counts.dropped.Add(1)
	}
	r.sayDropped()
}

// handle runs every hook for one event, in the order of their names.
func (r *Runner) handle(ctx context.Context, e agent.Event) {
	defer wipe(&e)
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
