// Package serial carries CPNS-1 messages over a serial line, in the frames of
// docs/protocol.md, section 5. The gateway and a PNE use the same Link; the agent
// and cmd/pne make one per line and hand it on as a transport.Link.
//
// The package waits for devices that are not there, opens them with
// github.com/tarm/serial (port.go says how), and keeps other programs off the
// line. Framing is left to transport, and who is at the other end to cpns.
package serial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/internal/settling"
	"cpns.example.net/pngw/transport"
)

// DefaultBaud is the line's speed unless configured, 8N1.
const DefaultBaud = 115200

// Config says which line a Link uses.
type Config struct {
	Name   string // the link's name, such as "rs232"
	Device string // its path, such as /dev/ttyUSB0 or one below /dev/serial/by-id
	Baud   int    // bits per second, a speed that termios knows; 0 is DefaultBaud
	Option string // what a person gives Device by, for messages; "" is "option device"

	// Changed wakes a Link that waits for its device: what is received from it
	// says that devices may have come or gone. The Link receives only while it
	// waits, so the sender must not. Nil, or closed, leaves the Link to look by
	// itself every few seconds.
	Changed <-chan struct{}

	Log *slog.Logger // nil discards
}

// A Link is a serial line. Its carrier is up while the device is open; whether
// anybody is at its other end only messages tell.
type Link struct {
	name, device string
	option       string
	baud         int
	changed      <-chan struct{}
	log          *slog.Logger
	wait         transport.Backoff // a copy for each Run

	running atomic.Bool
	tally   transport.Tally
	out     *transport.Sender[line]
}

var _ transport.Link = (*Link)(nil)

// New returns a Link for cfg. The device need not be there.
func New(cfg Config) (*Link, error) {
	if cfg.Baud == 0 {
		cfg.Baud = DefaultBaud
	}
	switch {
	case cfg.Name == "":
		return nil, errors.New("serial link without a name")
	case cfg.Device == "":
		return nil, fmt.Errorf("serial link %s: %w", cfg.Name, &transport.OptionError{Option: "device", Err: errors.New("there is none")})
	case !slices.Contains(bauds, cfg.Baud):
		return nil, fmt.Errorf("serial link %s: %w", cfg.Name, &transport.OptionError{Option: "baud", Err: fmt.Errorf("%d is not one of %v", cfg.Baud, bauds)})
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Link{
		name:    cfg.Name,
		device:  cfg.Device,
		option:  cmp.Or(cfg.Option, "option device"),
		baud:    cfg.Baud,
		changed: cfg.Changed,
		log:     cfg.Log.With("link", cfg.Name, "device", cfg.Device),
		wait:    transport.Backoff{Min: 250 * time.Millisecond, Max: 5 * time.Second},
	}
	l.out = transport.NewSender[line](&l.tally)
	return l, nil
}

func (l *Link) Name() string { return l.name }

// Claims is what the link has for itself: with another link that claims the same,
// neither would work.
func (l *Link) Claims() []string { return []string{"device " + filepath.Clean(l.device)} }

func (l *Link) RetryInterval() time.Duration { return transport.RetryLine(l.baud) }

// Addressed is part of transport.Link.
func (l *Link) Addressed() bool { return false }

func (l *Link) Status() transport.Status { return l.out.Status() }

func (l *Link) Run(ctx context.Context, h transport.Handler) error {
	if l.running.Swap(true) {
		return fmt.Errorf("serial link %s: already running", l.name)
	}
	defer l.running.Store(false)
	defer l.tally.Set(transport.Absent, "not running")

	pause, changed := l.wait, l.changed
	for ctx.Err() == nil {
		opened := time.Now()
		l.session(ctx, h)
		// Only a device that stayed for a while has earned a quick look again:
		// one that fails as soon as it is open must not be opened all the time.
		if time.Since(opened) > pause.Max {
			pause.Reset()
		}
		d := pause.Next()
		if settling.Wait(ctx, d, changed) == settling.Deaf {
			changed = nil
			settling.Wait(ctx, d, changed)
		}
	}
	return nil
}

// session opens the device, hands messages up until it goes away or ctx ends, and
// closes it.
func (l *Link) session(ctx context.Context, h transport.Handler) {
	port, err := openPort(l.device, l.baud)
	if err != nil {
		l.absent(explain(l.device, l.option, err))
		return
	}
	ln := newLine(port, l.baud)
	defer ln.close()

	l.tally.Set(transport.Up, fmt.Sprintf("%s at %d baud", l.device, l.baud))
	l.out.Up(ln)
	l.log.Info("serial line open", "baud", l.baud)
	if h.Up != nil {
		h.Up()
	}
	err = l.receive(ctx, ln, h)
	l.out.Down() // closing the port ends a write under way
	if ctx.Err() == nil {
		l.absent(explain(l.device, l.option, err))
	}
}

// absent says why the link is down, in the log only if that is news.
func (l *Link) absent(detail string) {
	if l.tally.Set(transport.Absent, detail) {
		l.log.Warn("serial line not available", "reason", detail)
	}
}

// receive reads the line and hands messages up until the read fails or ctx ends.
// While the handler is busy nothing is read: the kernel's buffer holds a few
// kilobytes, and what does not fit there is lost, as on any line.
func (l *Link) receive(ctx context.Context, ln *line, h transport.Handler) error {
	defer ln.endReadWith(ctx)()
	var d transport.Deframer
	buf := make([]byte, 4096)
	for {
		n, err := ln.port.Read(buf)
		d.Deliver(ctx, buf[:n], h, &l.tally)
		if err != nil {
			return err
		}
	}
}

func (l *Link) Send(ctx context.Context, _ string, msg []byte) error {
	return l.out.Send(ctx, msg, func(ln *line) error {
		err := ln.write(ctx, msg)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("sending on %s: the line takes no bytes", l.device)
		}
		return fmt.Errorf("sending: %w", err) // Run is about to find out too
	})
}
