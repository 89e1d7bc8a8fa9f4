package main

import (
	"sync"
	"time"
)

// quietTime is how long nothing may happen before somebody who looks on is told
// what is waited for.
const quietTime = 5 * time.Second

// A quiet is the time in which a command waits and shows nothing.
type quiet struct {
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// tellOfQuiet calls tell whenever nothing has happened for a while.
func tellOfQuiet(tell func()) *quiet {
	q := new(quiet)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timer = time.AfterFunc(quietTime, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if !q.ended {
			tell()
			q.timer.Reset(quietTime)
		}
	})
	return q
}

// broken does what breaks the quiet. It and tell are never at work together.
func (q *quiet) broken(do func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	do()
	q.timer.Reset(quietTime)
}

func (q *quiet) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.timer.Stop()
}
