package usbip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// writeLimit is how long the host may take to read an answer.
const writeLimit = time.Second

// A transfer is one that the host has submitted on a bulk endpoint.
type transfer struct {
	seq    uint32
	length int    // of an IN transfer: bytes that the host has room for
	data   []byte // of an OUT transfer; of an IN transfer, what it has so far
}

// A session is the device while it is attached to a host.
type session struct {
	conn net.Conn
	wake chan struct{} // for who runs the device: out or configured has changed
	room chan struct{} // for who writes: in has changed
	over chan struct{} // closed when serve has returned
	err  error         // what ended it; once over is closed

	// mu also keeps answers in the order of what they are about: the host takes
	// it amiss if a transfer is answered after it has been told that it was given up.
	mu      sync.Mutex
	dev     *device
	in, out []transfer // those that wait, oldest first; out[0] may be in the handler's hands
}

func newSession(conn net.Conn, dev *device) *session {
	return &session{
		conn: conn,
		wake: make(chan struct{}, 1),
		room: make(chan struct{}, 1),
		over: make(chan struct{}),
		dev:  dev,
	}
}

// serve answers the host until it goes away, breaks the protocol, or conn is closed.
func (s *session) serve() {
	defer close(s.over)
	r := bufio.NewReader(s.conn)
	for s.err == nil {
		var q *request
		if q, s.err = readRequest(r); s.err == nil {
			s.err = s.handle(q)
		}
	}
	s.conn.Close()
}

func (s *session) handle(q *request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.command == cmdUnlink {
		return s.unlink(q)
	}
	switch {
	case q.ep == 0:
		return s.control(q)
	case !s.dev.configured:
		return s.answer(appendReturn(nil, q.seq, statusStall, 0, nil))
	case q.in && q.ep == endpointIn&0x0f:
		return s.enqueue(&s.in, s.room, endpointIn, q)
	case !q.in && q.ep == endpointOut:
		return s.enqueue(&s.out, s.wake, endpointOut, q)
	}
	return s.answer(appendReturn(nil, q.seq, statusStall, 0, nil))
}

func (s *session) control(q *request) error {
	before := s.dev.configured
	data, ok := s.dev.control(q.setup)
	if s.dev.configured != before {
		signal(s.wake)
		signal(s.room)
	}
	if !ok {
		return s.answer(appendReturn(nil, q.seq, statusStall, 0, nil))
	}
	if q.in {
		data = data[:min(len(data), q.length)]
		return s.answer(appendReturn(nil, q.seq, 0, len(data), data))
	}
	return s.answer(appendReturn(nil, q.seq, 0, q.length, nil))
}

// enqueue has a transfer wait on a bulk endpoint.
func (s *session) enqueue(queue *[]transfer, changed chan struct{}, address uint8, q *request) error {
	switch {
	case s.dev.halted[address]:
		return s.answer(appendReturn(nil, q.seq, statusStall, 0, nil))
	case q.length == 0:
		return s.answer(appendReturn(nil, q.seq, 0, 0, nil))
	case len(*queue) == maxPending:
		return fmt.Errorf("more than %d transfers wait on endpoint %#x", maxPending, address)
	}
	*queue = append(*queue, transfer{q.seq, q.length, q.data})
	signal(changed)
	return nil
}

// unlink gives up a transfer, if it has not been answered yet.
func (s *session) unlink(q *request) error {
	for _, queue := range []*[]transfer{&s.in, &s.out} {
		i := slices.IndexFunc(*queue, func(t transfer) bool { return t.seq == q.unlink })
		if i >= 0 {
			*queue = slices.Delete(*queue, i, i+1)
			return s.answer(appendUnlinked(nil, q.seq, statusUnlinked))
		}
	}
	return s.answer(appendUnlinked(nil, q.seq, 0))
}

// answer sends b to the host. s.mu is held. An answer that is cut short takes the
// connection with it: nothing after it would be understood.
func (s *session) answer(b []byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err := s.conn.Write(b)
	if err != nil {
		s.conn.Close()
	}
	return err
}

var errUnconfigured = errors.New("the host has unconfigured the device")

// send gives p to the host, in as many transfers as that takes. It waits for
// the host to ask.
func (s *session) send(ctx context.Context, p []byte) error {
	for {
		n, err := s.give(p)
		if err != nil {
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
		if n > 0 {
			continue
		}
		select {
		case <-s.room:
		case <-s.over:
			return net.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give has the oldest IN transfer, if there is one, take as much of p as it has room
// for. As on a wire, it ends when it is full or a packet is short: where p ends with a
// full packet, a host that has asked for more waits for it.
func (s *session) give(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dev.configured {
		return 0, errUnconfigured
	}
	if len(s.in) == 0 {
		return 0, nil
	}
	t := &s.in[0]
	n = min(len(p), t.length-len(t.data))
	t.data = append(t.data, p[:n]...)
	if len(t.data) < t.length && len(t.data)%packetSize == 0 {
		return n, nil
	}
	answer := appendReturn(nil, t.seq, 0, len(t.data), t.data)
	s.in = slices.Delete(s.in, 0, 1)
	return n, s.answer(answer)
}

// look tells whether the host has configured the device, and returns the oldest OUT
// transfer, which stays where it is.
func (s *session) look() (configured bool, t transfer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.out) == 0 {
		return s.dev.configured, transfer{}, false
	}
	return s.dev.configured, s.out[0], true
}

// finish answers an OUT transfer that has been dealt with, unless the host has
// given it up in the meantime.
func (s *session) finish(t transfer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.out) == 0 || s.out[0].seq != t.seq {
		return nil
	}
	s.out = slices.Delete(s.out, 0, 1)
	return s.answer(appendReturn(nil, t.seq, 0, len(t.data), nil))
}

// signal wakes whoever waits on c, now or next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
