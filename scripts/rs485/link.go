package rs485

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/transport"
)

// A Link is a station as a transport.Link: what transport/serial makes of a device
// file. Its device is switched on while it runs, and deaf and dumb otherwise.
type Link struct {
	name    string
	station *Station

	running atomic.Bool
	tally   transport.Tally
	out     *transport.Sender[wire]
}

var _ transport.Link = (*Link)(nil)

// A wire is a station while its link is up.
type wire struct {
	ctx    context.Context // of the Send under way, by whoever has the Link's turn
	frames *transport.FrameWriter
}

// NewLink puts one more station on the line.
func (b *Bus) NewLink(name string) *Link {
	l := &Link{name: name, station: b.NewStation()}
	l.station.listen(false)
	l.out = transport.NewSender[wire](&l.tally)
	return l
}

func (l *Link) Name() string { return l.name }

func (l *Link) RetryInterval() time.Duration { return transport.RetryLine(l.station.bus.baud) }

// Addressed is part of transport.Link.
func (l *Link) Addressed() bool { return false }

func (l *Link) Status() transport.Status { return l.out.Status() }

func (l *Link) Run(ctx context.Context, h transport.Handler) error {
	if l.running.Swap(true) {
		return fmt.Errorf("shared line %s: already running", l.name)
	}
	defer l.running.Store(false)
	l.station.listen(true)
	l.tally.Set(transport.Up, fmt.Sprintf("a shared line at %d baud", l.station.bus.baud))
	w := new(wire)
	w.frames = transport.NewFrameWriter(writer(func(p []byte) error { return l.station.write(w.ctx, p) }))
	l.out.Up(w)
	if h.Up != nil {
		h.Up()
	}
	err := l.receive(ctx, h)
	l.out.Down()
	l.tally.Set(transport.Absent, "not running")
	l.station.listen(false)
	l.out.Settle()
	l.station.silence()
	if ctx.Err() == nil {
		return fmt.Errorf("shared line %s: %w", l.name, err)
	}
	return nil
}

func (l *Link) receive(ctx context.Context, h transport.Handler) error {
	var d transport.Deframer
	buf := make([]byte, buffer)
	for {
		n, err := l.station.read(ctx, buf)
		d.Deliver(ctx, buf[:n], h, &l.tally)
		if err != nil {
			return err
		}
	}
}

func (l *Link) Send(ctx context.Context, _ string, msg []byte) error {
	return l.out.Send(ctx, msg, func(w *wire) error {
		w.ctx = ctx
		return w.frames.WriteFrame(msg)
	})
}

// A writer is a function that writes all or fails.
type writer func([]byte) error

func (w writer) Write(p []byte) (int, error) {
	if err := w(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
