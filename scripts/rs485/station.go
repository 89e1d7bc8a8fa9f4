package rs485

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// buffer is how many bytes a station's driver holds, each way: a tty's.
const buffer = 4096

// A Station is one end on a line, as the stream of bytes that a serial port gives.
type Station struct {
	bus *Bus

	// Under the bus's mutex.
	out       []byte    // not through yet; the first is under way
	began     time.Time // when that began
	met       bool      // that has met another
	in        []byte    // heard and not read yet
	listening bool
	closed    bool

	news signal // after in or closed has changed
	room signal // after out has
}

var _ io.ReadWriteCloser = (*Station)(nil)

// NewStation puts one more station on the line.
func (b *Bus) NewStation() *Station {
	s := &Station{bus: b, listening: true, news: make(signal, 1), room: make(signal, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stations = append(b.stations, s)
	return s
}

// Read waits for bytes that were heard. It is io.EOF once the station or the line is
// closed.
func (s *Station) Read(p []byte) (int, error) { return s.read(context.Background(), p) }

// Write returns when the driver has room for all of p, as a tty's does: not when
// the bytes have left. What is written while others speak collides with them.
func (s *Station) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m := min(len(p)-n, buffer)
		if err := s.write(context.Background(), p[n:n+m]); err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// Close takes the station off the line, with what it had not said yet.
func (s *Station) Close() error {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.closed, s.listening, s.out, s.in = true, false, nil, nil
	s.news.signal()
	s.room.signal()
	return nil
}

func (s *Station) read(ctx context.Context, p []byte) (int, error) {
	for {
		s.bus.mu.Lock()
		n := copy(p, s.in)
		s.in = s.in[n:]
		closed := s.closed
		s.bus.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case closed:
			return 0, io.EOF
		}
		select {
		case <-s.news:
		case <-s.bus.over:
			return 0, io.EOF
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// write takes at most buffer bytes.
func (s *Station) write(ctx context.Context, p []byte) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		taken, err := s.take(p)
		if taken || err != nil {
			return err
		}
		select {
		case <-s.room:
		case <-s.bus.over:
			return fs.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take puts p behind what is going out, where there is room for all of it.
func (s *Station) take(p []byte) (taken bool, err error) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	switch {
	case s.closed:
		return false, fs.ErrClosed
	case len(s.out)+len(p) > buffer:
		return false, nil
	case len(s.out) == 0:
		s.began = time.Now()
	}
	s.out = append(s.out, p...)
	signal(s.bus.wake).signal()
	return true, nil
}

// listen begins or ends hearing, with nothing heard so far.
func (s *Station) listen(on bool) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.listening, s.in = on, nil
}

// silence takes back what has not gone out yet: the station's power is off.
func (s *Station) silence() {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	s.out, s.met = nil, false
	s.room.signal()
}

// hear takes a byte from the line and returns how many were lost for want of room.
func (s *Station) hear(c byte) (lost int64) {
	switch {
	case !s.listening:
		return 0
	case len(s.in) >= buffer:
		return 1
	}
	s.in = append(s.in, c)
	s.news.signal()
	return 0
}

// end is when the byte under way is through.
func (s *Station) end() time.Time { return s.began.Add(s.bus.takes(1)) }

// A signal wakes one who waits, now or next time.
type signal chan struct{}

func (c signal) signal() {
	select {
	case c <- struct{}{}:
	default:
	}
}
