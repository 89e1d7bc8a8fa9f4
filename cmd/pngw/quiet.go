package main

import (
	"sync"
	"time"
)

// quietTime is how long a command may print nothing before it says what it is waiting for.
const quietTime = 5 * time.Second

// A quiet notices when a command has printed nothing for quietTime.
type quiet struct {
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// tellOfQuiet calls tell whenever nothing has been printed for quietTime.
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

// broken calls a function that prints something. It never runs at the same time as tell.
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
