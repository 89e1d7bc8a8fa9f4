// Package application keeps, for each device that has authenticated, the keys by which it
// speaks with what the router runs beside the agent: a broker, a CoAP server
// (docs/protocol.md, section 10; docs/applications.md).
//
// cmd/pngw hands it the agent's events. A mutual authentication brings a device's keys,
// the next one replaces them, and they are gone when the device takes a key outside of
// one, is under alarm, or is forgotten. They are in memory, and in a file in memory where
// an application reads one: pskfile.go. An application that reads none has hooks, which
// are handed each key as it comes (package hooks).
package application

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/sleep"
)

// Config is one application's.
type Config struct {
	Name  string
	Label string // of its keys: cpns.ApplicationTLS13, cpns.ApplicationTLS12

	// Path is the file that the application reads, PID a file with the number of the
	// process that is sent SIGHUP when it has changed, Notify a FIFO that is written a
	// line then, for who may send that signal. "" for none.
	Path, PID, Notify string

	Log *slog.Logger
}

// Keeper keeps the keys of one application.
type Keeper struct {
	cfg    Config
	change chan struct{}

	mu     sync.Mutex
	keys   map[cpns.EntityID]*cpns.ApplicationKey
	stale  bool // the file is not what keys is
	failed string
}

// New makes a Keeper. Keys that an earlier agent has left in the file go on, those of
// devices that are among known; it is an error where the file cannot be in memory.
func New(cfg Config, known []agent.PNE) (*Keeper, error) {
	k := &Keeper{cfg: cfg, change: make(chan struct{}, 1), keys: map[cpns.EntityID]*cpns.ApplicationKey{}}
	if err := k.adopt(known); err != nil {
		return nil, err
	}
	k.stale = true // written once, so that an application finds a file
	k.wake()
	return k, nil
}

// Observe takes an event of the agent's. It never blocks for long, and keeps no session key.
func (k *Keeper) Observe(e agent.Event) {
	switch e.Kind {
	case agent.EventAuthenticated:
		if _, ok := cpns.ApplicationIdentity(e.Entity); !ok || e.Session == nil {
			k.drop(e.Entity)
			return
		}
		key := cpns.DeriveApplicationKey(e.Session, k.cfg.Label)
		k.mu.Lock()
		defer k.mu.Unlock()
		if old := k.keys[e.Entity]; old != nil {
			clear(old[:])
		}
		k.keys[e.Entity] = &key
		k.stale = true
		k.wake()
	case agent.EventDelivered, agent.EventAlarm, agent.EventGone: // each ends the session
		k.drop(e.Entity)
	}
}

func (k *Keeper) drop(e cpns.EntityID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[e]; key != nil {
		clear(key[:])
		delete(k.keys, e)
		k.stale = true
		k.wake()
	}
}

func (k *Keeper) wake() {
	select {
	case k.change <- struct{}{}:
	default:
	}
}

// A building's devices authenticate together: the file is written, and the application
// told, once for all that come within settle. What fails is tried again after again.
const (
	settle = 250 * time.Millisecond
	again  = 5 * time.Second
)

// Run writes the file whenever it has changed, until ctx ends. The file stays: the
// application goes on, and so does the next agent.
func (k *Keeper) Run(ctx context.Context) {
	for {
		select {
		case <-k.change:
		case <-ctx.Done():
			k.wipe()
			return
		}
		sleep.For(ctx, settle)
		if err := k.write(); err != nil {
			if err.Error() != k.failed {
				k.failed = err.Error()
				k.cfg.Log.Error("an application's keys cannot be written", "application", k.cfg.Name, "reason", err)
			}
			sleep.For(ctx, again)
			k.wake()
			continue
		}
		if k.failed != "" {
			k.failed = ""
			k.cfg.Log.Info("an application's keys are written again", "application", k.cfg.Name)
		}
	}
}

// wipe overwrites what is in memory.
func (k *Keeper) wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		clear(key[:])
	}
	clear(k.keys)
}

// Name is the application's.
func (k *Keeper) Name() string { return k.cfg.Name }

// Count is how many devices have keys.
func (k *Keeper) Count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.keys)
}
