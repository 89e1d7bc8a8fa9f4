package server

import (
	"sync"
	"time"
)

// Expired data is deleted only if the clock has run without a jump for a while, so that
// a single wrong reading deletes nothing.
const (
	clockProven = time.Hour
	clockJump   = time.Minute // the wall clock and the time that has passed differ by more
)

// A clockWatch compares the clock with the time that has passed.
type clockWatch struct {
	mu     sync.Mutex
	read   bool
	wall   time.Time
	passed time.Duration // since the server was made
	since  time.Duration // the first reading after the last jump
}

// steady reads the clock and reports whether data may be deleted by that time.
func (w *clockWatch) steady(wall time.Time, passed time.Duration) bool {
	wall = wall.Round(0) // the wall clock alone
	w.mu.Lock()
	defer w.mu.Unlock()
	drift := wall.Sub(w.wall) - (passed - w.passed)
	if !w.read || drift.Abs() > clockJump {
		w.since = passed
	}
	w.read, w.wall, w.passed = true, wall, passed
	return passed-w.since >= clockProven
}
