package transport

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// memoryQueue is how many messages a Memory holds for a handler that is busy.
const memoryQueue = 64

// A Memory is one end of a link in memory: the twin of a serial line, without
// its noise. It is up while both ends run and nobody has cut it. Messages
// arrive in order, none is lost but by a cut, and Send waits while the other
// end's queue is full.
type Memory struct {
	name  string
	end   int // 0 or 1: the index in cable
	cable *cable
	tally Tally // counts only: the state is the cable's
}

var _ Link = (*Memory)(nil)

// cable is what the two ends share.
type cable struct {
	mu      sync.Mutex
	running [2]bool
	cut     bool
	session *session      // nil while down
	changed chan struct{} // closed and replaced when session changes
}

// A session is one period of being up. What is queued when it ends is lost.
type session struct {
	queue [2]chan []byte // to end 0, to end 1
	over  chan struct{}  // closed when the session ends
}

// NewPair returns the two ends of a new link in memory.
func NewPair(nameA, nameB string) (a, b *Memory) {
	c := &cable{changed: make(chan struct{})}
	return &Memory{name: nameA, end: 0, cable: c}, &Memory{name: nameB, end: 1, cable: c}
}

// Cut takes the link down at both ends, as pulling the plug does, until Restore.
func (m *Memory) Cut() { m.cable.update(func(c *cable) { c.cut = true }) }

// Restore undoes Cut.
func (m *Memory) Restore() { m.cable.update(func(c *cable) { c.cut = false }) }

func (m *Memory) Name() string { return m.name }

func (m *Memory) RetryInterval() time.Duration { return RetryStream }

// Addressed is part of transport.Link.
func (m *Memory) Addressed() bool { return false }

func (m *Memory) Status() Status {
	s := m.tally.Status()
	m.cable.mu.Lock()
	defer m.cable.mu.Unlock()
	switch {
	case !m.cable.running[m.end]:
		s.State, s.Detail = Absent, "not running"
	case m.cable.session == nil:
		s.State, s.Detail = Absent, "the other end is not connected"
	default:
		s.State, s.Detail = Up, "connected in memory"
	}
	return s
}

func (m *Memory) Run(ctx context.Context, h Handler) error {
	already := false
	m.cable.update(func(c *cable) { already, c.running[m.end] = c.running[m.end], true })
	if already {
		return errors.New("memory link " + m.name + ": already running")
	}
	defer m.cable.update(func(c *cable) { c.running[m.end] = false })
	for ctx.Err() == nil {
		s, changed := m.cable.current()
		if s == nil {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if h.Up != nil {
			h.Up()
		}
		m.receive(ctx, s, h)
	}
	return nil
}

// receive hands messages up until the session or ctx ends.
func (m *Memory) receive(ctx context.Context, s *session, h Handler) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.over:
			return
		case data := <-s.queue[m.end]:
			m.tally.AddReceived(1)
			h.Message(Message{Data: data})
		}
	}
}

func (m *Memory) Send(ctx context.Context, _ string, msg []byte) error {
	if len(msg) > MaxMessage {
		return &TooLongError{len(msg)}
	}
	s, _ := m.cable.current()
	if s == nil {
		return ErrLinkDown
	}
	select {
	case s.queue[1-m.end] <- slices.Clone(msg):
		m.tally.AddSent(1)
		return nil
	case <-s.over:
		return ErrLinkDown
	case <-ctx.Done():
		return ctx.Err()
	}
}

// current returns the session, nil while down, and a channel that is closed when
// that changes.
func (c *cable) current() (*session, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session, c.changed
}

// update applies f and starts or ends the session as the cable's state then
// demands.
func (c *cable) update(f func(*cable)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
	up := c.running[0] && c.running[1] && !c.cut
	if up == (c.session != nil) {
		return
	}
	if up {
		c.session = &session{
			queue: [2]chan []byte{make(chan []byte, memoryQueue), make(chan []byte, memoryQueue)},
			over:  make(chan struct{}),
		}
	} else {
		close(c.session.over)
		c.session = nil
	}
	close(c.changed)
	c.changed = make(chan struct{})
}
