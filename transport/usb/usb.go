// Package usb carries CPNS-1 messages over a USB device's bulk endpoints, in the
// frames of docs/protocol.md, section 5. It is the gateway's end; cmd/pngw makes
// one Link per device and hands it on as a transport.Link.
//
// A Link waits for its device, tells two of a kind apart by serial number or
// port, and expects nothing good of it: a device may stall, send empty packets
// without end, describe itself wrongly, or be gone in mid-frame. Framing is left
// to transport, and who is at the other end to cpns.
//
// Where to read on:
//
//   - match.go says which device is meant, from its descriptors alone
//   - link.go is the life of a Link, stream.go that of one open device
//   - gousb.go talks to the device through github.com/google/gousb, which needs
//     cgo and libusb. It is built with the build tag usb only; without it there is
//     no USB support: New says so, and Available tells.
package usb

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/transport"
)

// Available tells whether this build can talk to USB devices.
func Available() bool { return available }

// Config says which device a Link uses.
type Config struct {
	Name string // the link's name, such as "usb"

	// ID is the device, "VVVV:PPPP" for its vendor and product in hex, and with
	// ":N" the number of its interface. Without it the device is any that has an
	// interface of the class that the protocol reserves (FF/43/01).
	ID string

	// Serial and Port pick one of several devices: by serial number, and by
	// the port that it is plugged into, in the kernel's spelling ("1-1.2").
	Serial, Port string

	// Changed wakes a Link that waits for its device: what is received from it
	// says that devices may have come or gone. The Link receives only while it
	// waits, so the sender must not. Nil, or closed, leaves the Link to look by
	// itself every few seconds; otherwise it does not look for a device that is
	// not there until it is woken.
	Changed <-chan struct{}

	// Poll is how often a Link that nothing wakes looks for its device; zero: with pauses
	// that grow to 5 s.
	Poll time.Duration

	Log *slog.Logger // nil discards
}

// A Link is one USB device. Its carrier is up while the device's interface is
// claimed; whether anybody answers only messages tell.
type Link struct {
	name    string
	want    match
	changed <-chan struct{}
	log     *slog.Logger
	open    func(*match) (device, error)
	poll    transport.Backoff // between looks where nothing wakes the Link; a copy for each Run
	patient transport.Backoff // where something does

	running atomic.Bool
	tally   transport.Tally
	out     *transport.Sender[stream]
}

var _ transport.Link = (*Link)(nil)

// New returns a [Link] for cfg. The device need not be there, but USB support must
// be in this build. Its result is not a *Link so that a build without USB has
// nothing of it: 64 kB, where there is least room for them.
func New(cfg Config) (transport.Link, error) {
	if cfg.Name == "" {
		return nil, errors.New("USB link without a name")
	}
	if !available {
		return nil, fmt.Errorf("USB link %s: this build has no USB support: on OpenWrt take package pngw and not pngw-nousb, elsewhere build with -tags usb (a C compiler and the headers of libusb-1.0 are needed), or remove the link", cfg.Name)
	}
	return newLink(cfg, openDevice)
}

func newLink(cfg Config, open func(*match) (device, error)) (*Link, error) {
	want, err := newMatch(cfg.ID, cfg.Serial, cfg.Port)
	if err != nil {
		return nil, fmt.Errorf("USB link %s: %w", cfg.Name, err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Link{
		name:    cfg.Name,
		want:    want,
		changed: cfg.Changed,
		log:     cfg.Log.With("link", cfg.Name),
		open:    open,
		poll:    transport.Backoff{Min: 250 * time.Millisecond, Max: 5 * time.Second},
		patient: transport.Backoff{Min: 250 * time.Millisecond, Max: time.Minute},
	}
	if cfg.Poll != 0 {
		l.poll = transport.Backoff{Min: cfg.Poll, Max: cfg.Poll}
	}
	l.out = transport.NewSender[stream](&l.tally)
	return l, nil
}

func (l *Link) Name() string { return l.name }

func (l *Link) RetryInterval() time.Duration { return transport.RetryStream }

// Addressed is part of transport.Link.
func (l *Link) Addressed() bool { return false }

func (l *Link) Status() transport.Status { return l.out.Status() }
