package transport

import (
	"context"
	"slices"
	"sync/atomic"
)

// A Sender is the sending half of a link over a byte stream: it lets one message
// at a time onto the carrier C, and none where there is no carrier.
type Sender[C any] struct {
	carrier atomic.Pointer[C] // nil while down
	turn    chan struct{}     // holds one token; who has it writes
	tally   *Tally
}

// NewSender returns a Sender that is down. It counts what it has sent in t.
func NewSender[C any](t *Tally) *Sender[C] {
	return &Sender[C]{turn: make(chan struct{}, 1), tally: t}
}

// Up has messages go out on c from now on. The tally is Up already.
func (s *Sender[C]) Up(c *C) { s.carrier.Store(c) }

// Down has Send fail from now on, and says whether there was a carrier. Only then may the
// tally be Absent. Somebody may still be writing to it; Settle waits for that.
func (s *Sender[C]) Down() bool { return s.carrier.Swap(nil) != nil }

// Settle returns once nobody writes any more to what was the carrier before Down.
func (s *Sender[C]) Settle() {
	s.turn <- struct{}{}
	<-s.turn
}

// Status is Link's: what the tally stands at, and Absent as soon as Send says so.
func (s *Sender[C]) Status() Status {
	st := s.tally.Status()
	if st.State == Up && !s.IsUp() {
		st.State, st.Detail = Absent, "closing"
	}
	return st
}

// IsUp reports whether there is a carrier.
func (s *Sender[C]) IsUp() bool { return s.carrier.Load() != nil }

// Send is Link's, where write puts one message onto the carrier. Its errors are
// returned as they are, but for what the end of ctx led to.
func (s *Sender[C]) Send(ctx context.Context, msg []byte, write func(c *C) error) error {
	if len(msg) > MaxMessage {
		return &TooLongError{Size: len(msg)}
	}
	if s.carrier.Load() == nil {
		return ErrLinkDown
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	c := s.carrier.Load() // it may have gone while others were writing
	if c == nil {
		return ErrLinkDown
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := write(c); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	s.tally.AddSent(1)
	return nil
}

// Deliver feeds d with bytes of a stream, and hands each message among them to h
// as long as ctx lasts, counting in t.
func (d *Deframer) Deliver(ctx context.Context, p []byte, h Handler, t *Tally) {
	if len(p) > 0 {
		t.SetHeard()
	}
	before := d.Dropped()
	d.Feed(p, func(msg []byte) {
		if ctx.Err() == nil {
			t.AddReceived(1)
			h.Message(Message{Data: slices.Clone(msg)})
		}
	})
	if dropped := d.Dropped() - before; dropped > 0 {
		t.AddDropped(dropped)
		if h.Noise != nil && ctx.Err() == nil {
			h.Noise()
		}
	}
}
