package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// State says whether a link's carrier is there.
type State uint8

const (
	Absent State = iota // no such device, no broker, or Run is not running
	Up                  // messages flow
)

// String returns "absent" or "up".
func (s State) String() string {
	if s == Up {
		return "up"
	}
	return "absent"
}

// A Status says how a link is doing.
type Status struct {
	State State

	// Detail is one line for people: what the link is connected to, or why it is
	// not and what to do ("no such device /dev/ttyUSB0: plug it in"). It holds no
	// secret.
	Detail string

	Received int64 // messages handed to the handler
	Sent     int64 // messages that the carrier took
	Dropped  int64 // what came in and was no message: noise, too long, wrong topic, or no room

	// Heard is when bytes last came in, messages or not; zero where none have, and on
	// links that are no byte stream. Who shares a line looks here before it speaks.
	Heard time.Time
}

// A Tally holds a link's Status while the link works. The zero value is Absent.
type Tally struct {
	mu     sync.Mutex
	state  State
	detail string
	heard  time.Time

	received, sent, dropped atomic.Int64
}

// Set records the link's state and the line about it for people. It reports
// whether either is new, so that a link that tries again every few seconds
// logs the reason once.
func (t *Tally) Set(s State, detail string) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed = t.state != s || t.detail != detail
	t.state, t.detail = s, detail
	return changed
}

// AddReceived counts n messages that were handed to the handler.
func (t *Tally) AddReceived(n int64) { t.received.Add(n) }

// AddSent counts n messages that the carrier took.
func (t *Tally) AddSent(n int64) { t.sent.Add(n) }

// AddDropped counts n things that came in and were thrown away.
func (t *Tally) AddDropped(n int64) { t.dropped.Add(n) }

// SetHeard records that bytes have come in.
func (t *Tally) SetHeard() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = time.Now()
}

// Status returns what the tally stands at.
func (t *Tally) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Status{
		State:    t.state,
		Detail:   t.detail,
		Received: t.received.Load(),
		Sent:     t.sent.Load(),
		Dropped:  t.dropped.Load(),
		Heard:    t.heard,
	}
}
