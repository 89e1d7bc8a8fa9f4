package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
	"cpns.example.net/pngw/transport"
)

// A Carrier takes messages to the device, and brings what comes back.
type Carrier interface {
	// Run keeps it alive until ctx ends, and hands up each message that came in, whole.
	Run(ctx context.Context, heard func(msg []byte)) error

	// Send sends a message to the device, or to everybody who listens.
	Send(ctx context.Context, everybody bool, msg []byte) error

	// Up says whether it can carry messages now, and why not.
	Up() (up bool, detail string)

	// Retry is the gateway's first wait for an answer.
	Retry() time.Duration
}

// A Stream is a Carrier that carries bytes: a serial line.
type Stream interface {
	Carrier

	// Write sends bytes as they are.
	Write(ctx context.Context, b []byte) error

	// Listen returns what comes in from now on, byte for byte, up to 4 KiB: it is what
	// the function returned says when it is called.
	Listen() func() []byte

	// Stray is how many bytes other than zero have come in since the last message, in or
	// out.
	Stray() int
}

// maxTap bounds what Listen keeps.
const maxTap = 4096

// A link is a Carrier of messages over one of package transport's links.
type link struct {
	transport.Link
	entity string
	other  atomic.Pointer[string] // whose hello was heard last, of those who are not entity
}

// OverLink is a Carrier to the device with that Entity ID over l, at the gateway's end.
func OverLink(l transport.Link, entity string) Carrier { return &link{Link: l, entity: entity} }

func (l *link) Run(ctx context.Context, heard func(msg []byte)) error {
	return l.Link.Run(ctx, transport.Handler{Message: func(m transport.Message) {
		if m.Peer == "" || m.Peer == l.entity {
			heard(m.Data)
		} else if h, ok := wire.Read(m.Data); ok && h.Type == wire.TypeHello {
			l.other.Store(&m.Peer)
		}
	}})
}

// heardOther is somebody else whose hello has come in, "" for nobody.
func (l *link) heardOther() string {
	if other := l.other.Load(); other != nil {
		return *other
	}
	return ""
}

func (l *link) Send(ctx context.Context, everybody bool, msg []byte) error {
	peer := l.entity
	if everybody {
		peer = ""
	}
	return l.Link.Send(ctx, peer, msg)
}

func (l *link) Up() (bool, string) {
	s := l.Status()
	return s.State == transport.Up, s.Detail
}

func (l *link) Retry() time.Duration { return l.RetryInterval() }

// A Port is an open line.
type Port interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// A line is a Stream over a Port. It has the port for itself, beside no link: what a
// link would never send has to go out on it.
type line struct {
	open  func() (Port, error)
	retry time.Duration

	mu     sync.Mutex
	port   Port // nil while there is none
	detail string
	frames transport.Deframer
	tap    []byte // nil while nobody listens
	stray  int    // see Stray
}

// OverPort is a Stream over what open opens, and opens again once it has gone, as a USB
// adapter does that has its power from the device.
func OverPort(open func() (Port, error), retry time.Duration) Stream {
	return &line{open: open, retry: retry, detail: "not open yet"}
}

// reopenPause is how long after a port could not be opened, or went, it is tried again.
const reopenPause = 250 * time.Millisecond

func (l *line) Run(ctx context.Context, heard func(msg []byte)) error {
	for ctx.Err() == nil {
		port, err := l.open()
		if err != nil {
			l.set(nil, err.Error())
			sleep.For(ctx, reopenPause)
			continue
		}
		l.set(port, "open")
		l.read(ctx, port, heard)
		l.set(nil, "the line has gone")
		port.Close()
		if ctx.Err() == nil {
			sleep.For(ctx, reopenPause)
		}
	}
	return nil
}

func (l *line) set(port Port, detail string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.port, l.detail = port, detail
}

// read hands messages up until the port has gone or ctx ends.
func (l *line) read(ctx context.Context, port Port, heard func(msg []byte)) {
	defer context.AfterFunc(ctx, func() { port.SetDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 4096)
	for {
		n, err := port.Read(buf)
		l.mu.Lock()
		if l.tap != nil {
			l.tap = append(l.tap, buf[:min(n, maxTap-len(l.tap))]...)
		}
		var messages [][]byte
		l.stray += n - bytes.Count(buf[:n], []byte{0}) // which only stand between frames
		l.frames.Feed(buf[:n], func(msg []byte) { messages = append(messages, append([]byte(nil), msg...)) })
		if len(messages) > 0 {
			l.stray = 0
		}
		l.mu.Unlock()
		for _, msg := range messages {
			heard(msg)
		}
		if err != nil {
			return
		}
	}
}

func (l *line) Send(ctx context.Context, _ bool, msg []byte) error {
	return l.Write(ctx, transport.EncodeFrame(nil, msg))
}

func (l *line) Write(ctx context.Context, b []byte) error {
	l.mu.Lock()
	port, detail := l.port, l.detail
	l.stray = 0
	l.mu.Unlock()
	if port == nil {
		return errors.New(detail)
	}
	// A line takes 11 bytes a millisecond; one that takes none for long is stuck.
	stop := context.AfterFunc(ctx, func() { port.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := port.Write(b); err != nil {
		return fmt.Errorf("writing to the line: %w", err)
	}
	return nil
}

func (l *line) Up() (bool, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.port != nil, l.detail
}

func (l *line) Retry() time.Duration { return l.retry }

func (l *line) Listen() func() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tap = []byte{}
	return func() []byte {
		l.mu.Lock()
		defer l.mu.Unlock()
		heard := l.tap
		l.tap = nil
		return heard
	}
}

func (l *line) Stray() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stray
}
