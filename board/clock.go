package board

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ClockSlack is how far the router's time may lie before the floor and still count as set: the floor may come
// from a server whose clock is ahead of a right one within what the protocol allows (300 s).
const ClockSlack = 10 * time.Minute

// clockPatience is how long the router's time may lie before what Raise was told and not count as set. A time
// server answers sooner where there is one; where there is none, or what Raise was told came of a clock that
// was in the future, waiting longer would be waiting for years.
const clockPatience = 15 * time.Minute

// A Clock is the router's time, and whether it can be right. Routers have no battery: they start in 1970, in
// 2000 or at the newest file's time, until NTP answers. Two things tell: no program runs before it was built,
// and no time comes back that is known to be past. The second may be wrong, so the kernel's word that a time
// server has set its clock goes before it, and so does patience. Methods may be called concurrently.
type Clock struct {
	now          func() time.Time
	synchronised func() bool
	build        time.Time
	start        time.Time // of the waiting, by the monotonic clock

	mu    sync.Mutex
	floor time.Time // only rises
}

// NewClock returns the system's clock, which is not set before the time at which the program was built.
func NewClock(build time.Time) *Clock {
	return &Clock{now: time.Now, synchronised: kernelSynchronised, build: build, start: time.Now(), floor: build}
}

// Raise lifts the floor to a time that is thought to be past; an earlier one changes nothing.
func (c *Clock) Raise(floor time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if floor.After(c.floor) {
		c.floor = floor
	}
}

// Now returns the router's time, and false while nobody has set the clock yet.
func (c *Clock) Now() (t time.Time, set bool) {
	c.mu.Lock()
	floor := c.floor
	c.mu.Unlock()
	t = c.now()
	switch {
	case t.Before(c.build.Add(-ClockSlack)):
		return t, false
	case !t.Before(floor.Add(-ClockSlack)):
		return t, true
	}
	return t, time.Since(c.start) >= clockPatience || c.synchronised()
}

// kernelSynchronised tells whether a time server has set the kernel's clock, as every NTP client says to it.
func kernelSynchronised() bool {
	var state unix.Timex
	_, err := unix.Adjtimex(&state)
	return err == nil && state.Status&unix.STA_UNSYNC == 0
}
