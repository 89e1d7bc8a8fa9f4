// Package signs shows what the agent does by the router's lights, and opens a window
// for devices that were prepared when its button is pressed: what a technician sees and
// does who has no screen (docs/provisioning.md).
//
// cmd/pngw hands it the board's lights and button, and the agent's Activity. What each
// sign looks like is in the table below, and nowhere else.
package signs

import (
	"context"
	"sync"
	"time"

	"cpns.example.net/pngw/agent"
)

// A Sign is what a light shows.
type Sign string

// The signs.
const (
	Idle       Sign = "idle"       // the agent serves, nothing is to be done
	Waiting    Sign = "waiting"    // for a device: the window is open, or one was asked for just now
	Delivering Sign = "delivering" // a device has been sent its key
	Done       Sign = "done"       // a device has proved its key
	Alarm      Sign = "alarm"      // a device was rolled back or cloned
)

// looks are how long a light is on and off in turn.
var looks = map[Sign]struct{ on, off time.Duration }{
	Idle:       {50 * time.Millisecond, 2950 * time.Millisecond},
	Waiting:    {500 * time.Millisecond, 500 * time.Millisecond},
	Delivering: {100 * time.Millisecond, 100 * time.Millisecond},
	Done:       {time.Second, 0},
	Alarm:      {1700 * time.Millisecond, 300 * time.Millisecond},
}

// WindowTime is how long a press of the button lets prepared devices in.
const WindowTime = 2 * time.Minute

// doneTime is how long Done is shown after each delivery.
const doneTime = 5 * time.Second

// Config is what the signs are made of.
type Config struct {
	// Show has the light show a pattern; nil for no light. ShowAlarm is of a light
	// that is for alarms alone and otherwise dark; nil where Show's has them too.
	Show, ShowAlarm func(on, off time.Duration)
	// Window opens the agent's window.
	Window func(context.Context, time.Duration) error
}

// Keeper keeps the signs.
type Keeper struct {
	cfg     Config
	change  chan struct{}
	presses chan struct{}

	mu  sync.Mutex
	now agent.Activity
}

// New makes a Keeper.
func New(cfg Config) *Keeper {
	return &Keeper{cfg: cfg, change: make(chan struct{}, 1), presses: make(chan struct{}, 1)}
}

// Active takes what is under way; it never blocks.
func (k *Keeper) Active(a agent.Activity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = a
	wake(k.change)
}

// Press says that the button was pressed; it never blocks.
func (k *Keeper) Press() { wake(k.presses) }

// State is what was told last, and whether the window is open.
func (k *Keeper) State() (a agent.Activity, open bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now, time.Now().Before(k.now.Until)
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run keeps the signs until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	var done time.Time // until when Done is shown
	delivered := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-k.change:
		case <-timer.C:
		case <-k.presses:
			_ = k.cfg.Window(ctx, WindowTime) // fails only when the agent has ended
			continue
		case <-ctx.Done():
			return
		}
		a, _ := k.State()
		now := time.Now()
		if a.Delivered != delivered {
			delivered, done = a.Delivered, now.Add(doneTime)
		}
		k.show(k.sign(a, now, done), a.Alarms > 0)
		// Only what ends by itself needs a look at a time.
		timer.Stop()
		if next := soonest(now, done, a.Until); !next.IsZero() {
			timer.Reset(next.Sub(now))
		}
	}
}

// soonest is the earlier of two times that are after now, zero for none.
func soonest(now, a, b time.Time) (next time.Time) {
	if a.After(now) {
		next = a
	}
	if b.After(now) && (next.IsZero() || b.Before(next)) {
		next = b
	}
	return next
}

// sign is the one that counts of those that hold. Who has pressed the button is shown
// what comes of it before an alarm, which lasts.
func (k *Keeper) sign(a agent.Activity, now, done time.Time) Sign {
	open := now.Before(a.Until)
	switch {
	case a.Alarms > 0 && !open && k.cfg.ShowAlarm == nil:
		return Alarm
	case a.Offered > 0:
		return Delivering
	case now.Before(done):
		return Done
	case open || a.Awaited > 0:
		return Waiting
	}
	return Idle
}

func (k *Keeper) show(s Sign, alarm bool) {
	if k.cfg.Show != nil {
		k.cfg.Show(looks[s].on, looks[s].off)
	}
	if k.cfg.ShowAlarm != nil {
		look := looks[Alarm]
		if !alarm {
			look.on, look.off = 0, 0
		}
		k.cfg.ShowAlarm(look.on, look.off)
	}
}
