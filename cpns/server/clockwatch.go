package server

import (
	"sync"
	"time"
)

// What has had its time is deleted only by a clock that has gone on evenly for a
// while: no single reading of one that jumped deletes anything.
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

// steady takes a reading and says whether one may delete by it.
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
