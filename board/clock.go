package board

import (
	"sync"
	"time"
)

// ClockSlack is how far the router's time may lie before the floor and still count as set: the floor may come
// from a server whose clock is ahead of a right one within what the protocol allows (300 s).
const ClockSlack = 10 * time.Minute

// A Clock is the router's time, and whether it can be right. Routers have no battery: they start in 1970, in
// 2000 or at the newest file's time, until NTP answers. The floor is the latest time that is known to be
// past; it only rises. Methods may be called concurrently.
type Clock struct {
	now func() time.Time

	mu    sync.Mutex
	floor time.Time
}

// NewClock returns the system's clock with the build time of the program as its floor.
func NewClock(build time.Time) *Clock {
	return &Clock{now: time.Now, floor: build}
}

// Raise lifts the floor to a time that is known to be past; an earlier one changes nothing. Only a time that
// the server has authenticated may be given: after one from a wrong clock in the future the right time would
// not count as set.
func (c *Clock) Raise(floor time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if floor.After(c.floor) {
		c.floor = floor
	}
}

// Now returns the router's time, and false while it lies before the floor: then nobody has set the clock yet.
func (c *Clock) Now() (t time.Time, set bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t = c.now()
	return t, !t.Before(c.floor.Add(-ClockSlack))
}
