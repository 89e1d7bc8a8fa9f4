package signs

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/agent"
)

// rig is a Keeper with lights that remember.
type rig struct {
	t  *testing.T
	k  *Keeper
	mu sync.Mutex

	sign, alarm time.Duration // for how long they are on in turn
	windows     int
	a           agent.Activity
}

func newRig(t *testing.T, alarmLight bool) *rig {
	r := &rig{t: t}
	cfg := Config{
		Show: func(on, _ time.Duration) { r.mu.Lock(); r.sign = on; r.mu.Unlock() },
		Window: func(_ context.Context, d time.Duration) error {
			r.mu.Lock()
			r.windows++
			r.mu.Unlock()
			r.tell(func(a *agent.Activity) { a.Until = time.Now().Add(d) })
			return nil
		},
	}
	if alarmLight {
		cfg.ShowAlarm = func(on, _ time.Duration) { r.mu.Lock(); r.alarm = on; r.mu.Unlock() }
	}
	r.k = New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.k.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return r
}

func (r *rig) tell(change func(*agent.Activity)) {
	r.mu.Lock()
	change(&r.a)
	a := r.a
	r.mu.Unlock()
	r.k.Active(a)
}

func (r *rig) shows(want Sign, when string) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sign != looks[want].on {
		r.t.Errorf("%s: on for %v, which is not %s", when, r.sign, want)
	}
}

// TestLooks: no two signs look alike.
func TestLooks(t *testing.T) {
	seen := map[time.Duration]Sign{}
	for s, look := range looks {
		if other, twice := seen[look.on]; twice {
			t.Errorf("%s looks like %s", s, other)
		}
		seen[look.on] = s
	}
	if len(looks) != 5 {
		t.Errorf("%d signs", len(looks))
	}
}

// TestSigns is a technician's visit, by the light alone.
func TestSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		r.shows(Idle, "at first")
		r.tell(func(a *agent.Activity) { a.Awaited = 2 })
		r.shows(Waiting, "two are asked for")
		r.tell(func(a *agent.Activity) { a.Offered = 1 })
		r.shows(Delivering, "one has been sent its key")
		r.tell(func(a *agent.Activity) { a.Offered, a.Awaited, a.Delivered = 0, 1, 1 })
		r.shows(Done, "it has proved it")
		time.Sleep(doneTime - time.Millisecond)
		r.shows(Done, "still")
		time.Sleep(time.Millisecond)
		r.shows(Waiting, "for the other")
		r.tell(func(a *agent.Activity) { a.Awaited = 0 })
		r.shows(Idle, "nobody waits any more")

		r.tell(func(a *agent.Activity) { a.Alarms = 1 })
		r.shows(Alarm, "one was cloned")
		r.tell(func(a *agent.Activity) { a.Delivered++ })
		r.shows(Alarm, "and goes before another's delivery")
		r.k.Press()
		r.shows(Done, "but not in the window")
		time.Sleep(doneTime)
		r.shows(Waiting, "there devices are waited for")
		time.Sleep(WindowTime - doneTime - time.Millisecond)
		r.shows(Waiting, "for two minutes")
		time.Sleep(time.Millisecond)
		r.shows(Alarm, "and no longer")
		r.tell(func(a *agent.Activity) { a.Alarms = 0 })
		r.shows(Idle, "in the end")
		if r.windows != 1 {
			t.Errorf("%d windows", r.windows)
		}
		if _, open := r.k.State(); open {
			t.Error("the window is still open")
		}
	})
}

// TestAlarmLight: a light of its own has the alarms, and the other goes on.
func TestAlarmLight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true)
		for _, n := range []int{0, 1, 0} {
			r.tell(func(a *agent.Activity) { a.Alarms, a.Awaited = n, 1-n })
			synctest.Wait()
			r.mu.Lock()
			if lit := r.alarm > 0; lit != (n > 0) {
				t.Errorf("%d alarms: lit is %v", n, lit)
			}
			r.mu.Unlock()
			r.shows(map[int]Sign{0: Waiting, 1: Idle}[n], "the other light")
		}
	})
}

// TestSleeps: where nothing changes nobody wakes up.
func TestSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, false)
		r.tell(func(a *agent.Activity) { a.Awaited = 1 })
		synctest.Wait()
		r.mu.Lock()
		r.sign = 0
		r.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.sign != 0 {
			t.Error("the light was set again")
		}
	})
}
