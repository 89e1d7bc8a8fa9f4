package usbip

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/transport"
)

// A carrier is a session while the device is configured.
type carrier struct {
	session *session
	put     func([]byte) error // what frames writes with, by whoever has the turn
	frames  *transport.FrameWriter
}

func newCarrier(s *session) *carrier {
	c := &carrier{session: s}
	c.frames = transport.NewFrameWriter(c)
	return c
}

// Write lets frames write.
func (c *carrier) Write(p []byte) (int, error) {
	if err := c.put(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (l *Link) Run(ctx context.Context, h transport.Handler) error {
	if l.running.Swap(true) {
		return fmt.Errorf("USB/IP link %s: already running", l.name)
	}
	defer l.running.Store(false)
	defer l.tally.Set(transport.Absent, "not running")

	retry := l.retry
	for ctx.Err() == nil {
		began := time.Now()
		if err := l.attached(ctx, h); ctx.Err() == nil {
			l.absent(err.Error())
		}
		if time.Since(began) > retry.Max {
			retry.Reset()
		}
		retry.Wait(ctx)
	}
	return nil
}

func (l *Link) absent(detail string) {
	if l.tally.Set(transport.Absent, detail) {
		l.log.Info("USB device not in use", "reason", detail)
	}
}

// attached is one time of being plugged in. It returns when the host is gone, or ctx
// has ended.
func (l *Link) attached(ctx context.Context, h transport.Handler) error {
	conn, err := l.plugIn(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	s := newSession(conn, newDevice(l.serial))
	l.absent("plugged in, and not configured by the host yet")
	go s.serve()
	err = l.live(ctx, s, h)
	conn.Close()
	<-s.over
	return err
}

// live hands up what comes while the session lasts.
func (l *Link) live(ctx context.Context, s *session, h transport.Handler) error {
	defer l.down()
	var d transport.Deframer
	for {
		configured, t, ok := s.look()
		switch up := l.out.IsUp(); {
		case configured && !up:
			d = transport.Deframer{}
			l.up(s, h)
		case !configured && up:
			l.down()
			l.absent(errUnconfigured.Error())
		case ok:
			d.Deliver(ctx, t.data, h, &l.tally)
			if err := s.finish(t); err != nil {
				return fmt.Errorf("unplugged: %w", err)
			}
		default:
			select {
			case <-s.wake:
			case <-s.over:
				l.down()
				l.absent(fmt.Sprintf("unplugged: %v", s.err))
				return fmt.Errorf("unplugged: %w", s.err)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func (l *Link) up(s *session, h transport.Handler) {
	l.tally.Set(transport.Up, fmt.Sprintf("a USB device, %04x:%04x, serial number %q", vendorID, productID, l.serial))
	l.out.Up(newCarrier(s))
	l.log.Info("USB device configured by the host")
	if h.Up != nil {
		h.Up()
	}
}

// down ends the carrier, and returns once nobody writes to it.
func (l *Link) down() {
	if l.out.Down() {
		l.out.Settle()
	}
}

func (l *Link) Send(ctx context.Context, _ string, msg []byte) error {
	return l.out.Send(ctx, msg, func(c *carrier) error {
		c.put = func(p []byte) error { return c.session.send(ctx, p) }
		err := c.frames.WriteFrame(msg)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errUnconfigured):
			return transport.ErrLinkDown
		}
		return fmt.Errorf("sending to the USB host: %w", err)
	})
}
