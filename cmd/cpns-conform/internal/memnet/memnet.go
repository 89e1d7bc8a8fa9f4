// Package memnet is a network in memory, for tests in which time does not pass by itself
// (testing/synctest): its connections buffer, as TCP's do, and keep deadlines.
package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// room is how many bytes a direction holds that nobody has read.
const room = 256 << 10

// A Listener is what clients dial.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen makes one.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept is part of net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close is part of net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is part of net.Listener.
func (l *Listener) Addr() net.Addr { return addr() }

func addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

// Dial connects to the listener, whatever the address.
func (l *Listener) Dial(ctx context.Context, _ string) (net.Conn, error) {
	a, b := pair()
	select {
	case l.conns <- b:
		return a, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// DialContext is Dial as net/http wants it.
func (l *Listener) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return l.Dial(ctx, address)
}

func pair() (a, b net.Conn) {
	there, back := newFlow(), newFlow()
	return &conn{there, back}, &conn{back, there}
}

// A flow is one direction of a connection.
type flow struct {
	mu          sync.Mutex
	changed     *sync.Cond
	buf         []byte
	ended       bool // nothing more will be written
	gone        bool // nobody will read
	read, write limit
}

// A limit is a deadline.
type limit struct {
	timer *time.Timer
	over  bool
}

func newFlow() *flow {
	f := new(flow)
	f.changed = sync.NewCond(&f.mu)
	return f
}

func (f *flow) set(l *limit, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.over = false
	if t.IsZero() {
		return
	}
	d := time.Until(t)
	if l.over = d <= 0; l.over {
		f.changed.Broadcast()
		return
	}
	l.timer = time.AfterFunc(d, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		l.over = true
		f.changed.Broadcast()
	})
}

type conn struct{ out, in *flow }

func (c *conn) Read(p []byte) (int, error) {
	f := c.in
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.buf) == 0 && !f.ended && !f.gone && !f.read.over {
		f.changed.Wait()
	}
	switch {
	case f.gone:
		return 0, net.ErrClosed
	case f.read.over:
		return 0, os.ErrDeadlineExceeded
	case len(f.buf) == 0:
		return 0, io.EOF
	}
	n := copy(p, f.buf)
	f.buf = f.buf[n:]
	f.changed.Broadcast()
	return n, nil
}

func (c *conn) Write(p []byte) (n int, err error) {
	f := c.out
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(p) > 0 {
		for len(f.buf) >= room && !f.ended && !f.gone && !f.write.over {
			f.changed.Wait()
		}
		switch {
		case f.ended:
			return n, net.ErrClosed
		case f.gone:
			return n, errors.New("connection reset by peer")
		case f.write.over:
			return n, os.ErrDeadlineExceeded
		}
		k := min(len(p), room-len(f.buf))
		f.buf = append(f.buf, p[:k]...)
		p, n = p[k:], n+k
		f.changed.Broadcast()
	}
	return n, nil
}

func (c *conn) Close() error {
	c.out.end(func(f *flow) { f.ended = true })
	c.in.end(func(f *flow) { f.gone = true })
	c.SetDeadline(time.Time{}) // its timers
	return nil
}

func (f *flow) end(how func(*flow)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(f)
	f.changed.Broadcast()
}

func (c *conn) LocalAddr() net.Addr  { return addr() }
func (c *conn) RemoteAddr() net.Addr { return addr() }

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.write, t)
	return nil
}
