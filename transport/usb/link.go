package usb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/transport"
)

func (l *Link) Run(ctx context.Context, h transport.Handler) error {
	if l.running.Swap(true) {
		return fmt.Errorf("USB link %s: already running", l.name)
	}
	defer l.running.Store(false)
	defer l.tally.Set(transport.Absent, "not running")

	r := rest{poll: l.poll, patient: l.patient, changed: l.changed}
	for ctx.Err() == nil {
		opened := time.Now()
		err := l.session(ctx, h)
		r.wait(ctx, err, time.Since(opened))
	}
	return nil
}

// session opens the device, hands messages up until it goes away or ctx ends, and
// closes it. The error says what ended it.
func (l *Link) session(ctx context.Context, h transport.Handler) error {
	dev, err := l.open(&l.want)
	if err != nil {
		l.absent(explain(&l.want, err))
		return err
	}
	s := newStream(dev)
	defer s.dev.close()

	l.tally.Set(transport.Up, dev.String())
	l.out.Up(s)
	defer l.out.Down()
	l.log.Info("USB device open", "device", dev.String())
	if h.Up != nil {
		h.Up()
	}
	err = l.receive(ctx, s, h)
	l.out.Down()
	if ctx.Err() == nil {
		l.absent(explain(&l.want, err))
	}
	l.out.Settle() // whoever writes is done with the device before it is closed
	return err
}

// absent says why the link is down, in the log only if that is news.
func (l *Link) absent(detail string) {
	if l.tally.Set(transport.Absent, detail) {
		l.log.Warn("USB device not available", "reason", detail)
	}
}

// receive reads the device and hands messages up until the read fails or ctx ends.
// While the handler is busy nothing is read, and the device has to wait.
func (l *Link) receive(ctx context.Context, s *stream, h transport.Handler) error {
	var d transport.Deframer
	var f fruitless
	fruitful := transport.Handler{Noise: h.Noise, Message: func(m transport.Message) {
		f.reset()
		h.Message(m)
	}}
	buf := make([]byte, s.dev.packetSize())
	for {
		n, err := s.read(ctx, buf)
		d.Deliver(ctx, buf[:n], fruitful, &l.tally)
		if err == nil {
			err = f.count(ctx)
		}
		if err != nil {
			return err
		}
	}
}

func (l *Link) Send(ctx context.Context, _ string, msg []byte) error {
	return l.out.Send(ctx, msg, func(s *stream) error {
		err := s.writeFrame(ctx, msg)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("sending to %s: the device takes no bytes", s.dev)
		}
		return fmt.Errorf("sending to %s: %w", s.dev, err) // Run finds out too if it has gone
	})
}
