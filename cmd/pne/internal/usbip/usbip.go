// Package usbip makes this program a USB device: one with a CPNS-1 interface and two
// bulk endpoints, for a kernel that has vhci_hcd to plug in. It is the PNE's end
// of a USB link where there is no USB, so that the gateway's end can be run with the
// kernel, libusb and gousb that it will have on a router; cmd/pne uses it.
//
// It speaks USB/IP, as the kernel's Documentation/usb/usbip_protocol.rst has it, either
// to the local kernel over a socket that it hands over, or to a host that attaches
// over TCP with "usbip attach -r HOST -b 1-1".
//
// Where to read on:
//
//   - usbip.go and link.go are the transport.Link
//   - device.go has the descriptors and endpoint 0, session.go the transfers,
//     wire.go the bytes
//   - vhci.go plugs into the local kernel, export.go waits for a host
package usbip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/transport"
)

// Local says that the device is plugged into this machine's own kernel.
const Local = "vhci"

// Config says what device it is and where it is plugged in.
type Config struct {
	Name   string // the link's name
	At     string // Local, or HOST:PORT to listen on for a host
	Serial string // the serial number, at most 126 characters; may be empty

	Log *slog.Logger // nil discards
}

// A Link is a USB device. Its carrier is up while a host has it attached and
// configured; a message goes out when the host asks for it, which it does while a
// gateway has the device open.
type Link struct {
	name, serial string
	log          *slog.Logger
	plugIn       func(context.Context) (net.Conn, error) // waits until there is a host
	retry        transport.Backoff                       // a copy for each Run

	running atomic.Bool
	tally   transport.Tally
	out     *transport.Sender[carrier]
}

var _ transport.Link = (*Link)(nil)

// New returns a Link for cfg. Nothing is plugged in before Run.
func New(cfg Config) (*Link, error) {
	switch {
	case cfg.Name == "":
		return nil, errors.New("USB/IP link without a name")
	case len(cfg.Serial) > maxString:
		return nil, fmt.Errorf("USB/IP link %s: serial number of %d bytes, at most %d", cfg.Name, len(cfg.Serial), maxString)
	}
	plugIn := func(context.Context) (net.Conn, error) { return plugIntoKernel(vhciFolder) }
	if cfg.At != Local {
		if _, _, err := net.SplitHostPort(cfg.At); err != nil {
			return nil, fmt.Errorf("USB/IP link %s: %w", cfg.Name, &transport.OptionError{Option: "usbip", Err: fmt.Errorf("want %s or HOST:PORT: %w", Local, err)})
		}
		plugIn = func(ctx context.Context) (net.Conn, error) { return awaitHost(ctx, cfg.At) }
	}
	return newLink(cfg, plugIn), nil
}

func newLink(cfg Config, plugIn func(context.Context) (net.Conn, error)) *Link {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Link{
		name:   cfg.Name,
		serial: cfg.Serial,
		log:    cfg.Log.With("link", cfg.Name),
		plugIn: plugIn,
		retry:  transport.Backoff{Min: 250 * time.Millisecond, Max: 5 * time.Second},
	}
	l.out = transport.NewSender[carrier](&l.tally)
	return l
}

func (l *Link) Name() string { return l.name }

func (l *Link) RetryInterval() time.Duration { return transport.RetryStream }

// Addressed is part of transport.Link.
func (l *Link) Addressed() bool { return false }

func (l *Link) Status() transport.Status { return l.out.Status() }
