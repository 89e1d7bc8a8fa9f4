//go:build usb && cgo

package usb

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/google/gousb"
)

const available = true

// controlLimit is how long a device may take to answer a control request.
const controlLimit = time.Second

// A bulk is a claimed interface in the making, or made.
type bulk struct {
	name string
	node string // its file

	dev    *gousb.Device
	config *gousb.Config
	intf   *gousb.Interface
	in     *gousb.InEndpoint
	out    *gousb.OutEndpoint
	target target
}

func (b *bulk) String() string { return b.name }

// packetSize is what read asks for. It is one packet and not more: a transfer
// ends when it is full or a packet is short, so a device whose frame ends with a full
// packet, and that sends no empty one after it, would leave a longer transfer waiting.
func (b *bulk) packetSize() int { return b.target.in.packet }

func (b *bulk) read(ctx context.Context, p []byte) (int, error) {
	n, err := b.in.ReadContext(ctx, p)
	return n, b.explain(ctx, err)
}

func (b *bulk) write(ctx context.Context, p []byte) (int, error) {
	n, err := b.out.WriteContext(ctx, p)
	return n, b.explain(ctx, err)
}

// CLEAR_FEATURE(ENDPOINT_HALT), USB 2.0, 9.4.1.
const (
	toEndpoint   = 0x02 // bmRequestType: host to device, standard, endpoint
	clearFeature = 0x01
	endpointHalt = 0
)

// clearHalt asks the device itself, because gousb does not offer libusb's clear
// halt. What is lost by that is the host's own data toggle: some host controllers
// then take the next packet for a repeated one. It may cost a frame, which is sent
// again when no answer comes, as after any fault on the way.
func (b *bulk) clearHalt(in bool) error {
	e := b.target.out
	if in {
		e = b.target.in
	}
	_, err := b.dev.Control(toEndpoint, clearFeature, endpointHalt, uint16(e.address), nil)
	return b.explain(context.Background(), err)
}

// explain turns err into one of ours.
func (b *bulk) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, gousb.TransferCancelled) {
		return ctx.Err()
	}
	return &deviceError{b.name, b.node, translate(err)}
}

// close gives the device back, in the order in which gousb insists on it.
func (b *bulk) close() {
	if b.intf != nil {
		b.intf.Close() // the kernel's driver gets it back, if there was one
	}
	if b.config != nil {
		b.config.Close()
	}
	if b.dev != nil {
		b.dev.Close()
	}
	b.intf, b.config, b.dev = nil, nil, nil
}

// translate turns an error of gousb into one of ours. Some of them arrive as text
// only.
func translate(err error) error {
	for _, known := range []struct{ theirs, ours error }{
		{gousb.ErrorAccess, fs.ErrPermission},
		{gousb.ErrorBusy, errBusy},
		{gousb.ErrorNoDevice, errGone},
		{gousb.TransferNoDevice, errGone},
		{gousb.ErrorPipe, errStalled},
		{gousb.TransferStall, errStalled},
	} {
		if errors.Is(err, known.theirs) || strings.HasSuffix(err.Error(), known.theirs.Error()) {
			return known.ours
		}
	}
	return err
}
