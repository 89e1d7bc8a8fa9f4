package usb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cpns.example.net/pngw/internal/sleep"
	"cpns.example.net/pngw/transport"
)

// A device is an open interface with its two bulk endpoints.
type device interface {
	fmt.Stringer // "1209:0001 at 1-1.2, serial number 7"

	// read waits for one packet and returns its size, which may be 0. p has room
	// for packetSize bytes.
	read(ctx context.Context, p []byte) (int, error)
	packetSize() int

	// write hands over all of p. Part of it may have gone out when it fails.
	write(ctx context.Context, p []byte) (int, error)

	// clearHalt makes an endpoint that has stalled usable again.
	clearHalt(in bool) error

	// close is called once nobody reads or writes.
	close()
}

const (
	// maxStalls is how often in a row a device may stall before it is given up,
	// until the next look.
	maxStalls = 5

	// writeLimit is how long a device may take for a frame.
	writeLimit = 5 * time.Second
)

// A stream is an open device as a stream of bytes.
type stream struct {
	dev    device
	stalls int                // in a row, when reading
	again  transport.Backoff  // after a stall
	put    func([]byte) error // what frames writes with, by whoever has the Link's turn
	frames *transport.FrameWriter
}

func newStream(dev device) *stream {
	s := &stream{dev: dev, again: transport.Backoff{Min: 10 * time.Millisecond, Max: time.Second}}
	s.frames = transport.NewFrameWriter(writerFunc(func(p []byte) error { return s.put(p) }))
	return s
}

// read reads a packet, and clears stalls on the way.
func (s *stream) read(ctx context.Context, p []byte) (int, error) {
	for {
		n, err := s.dev.read(ctx, p)
		if !errors.Is(err, errStalled) {
			if err == nil {
				s.stalls = 0
				s.again.Reset()
			}
			return n, err
		}
		if s.stalls++; s.stalls > maxStalls {
			return n, err
		}
		if err := sleep.For(ctx, s.again.Next()); err != nil {
			return n, err
		}
		if err := s.dev.clearHalt(true); err != nil {
			return n, fmt.Errorf("clearing a halt: %w", err)
		}
	}
}

// writeFrame writes one frame. It gives up when ctx ends or the device takes too
// long, and then the device may have part of the frame; the next frame's
// 0x00 ends that. A frame on which the device stalled is not repeated here:
// whoever sent it does that when no answer comes.
func (s *stream) writeFrame(ctx context.Context, msg []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	s.put = func(p []byte) error {
		_, err := s.dev.write(ctx, p)
		if errors.Is(err, errStalled) {
			err = errors.Join(err, s.dev.clearHalt(false))
		}
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.frames.WriteFrame(msg)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// A writerFunc is a function that writes all or fails.
type writerFunc func([]byte) error

var _ io.Writer = writerFunc(nil)

func (f writerFunc) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A fruitless counts packets that have not made a message, and slows the reading
// of a device that sends nothing else: empty packets without end, or junk at the
// speed of the bus, may not keep the processor busy.
type fruitless struct {
	packets int
	pause   transport.Backoff
}

// fruitlessFree is how many packets there may be to a message at full speed: the
// longest frame in the smallest packets, of 8 bytes, takes half of them.
const fruitlessFree = 2 * transport.MaxFrame / 8

// count counts a packet. It pauses if that is called for, and returns ctx's error
// if that ends.
func (f *fruitless) count(ctx context.Context) error {
	if f.packets++; f.packets <= fruitlessFree {
		return nil
	}
	if f.pause.Max == 0 {
		f.pause = transport.Backoff{Min: time.Millisecond, Max: 100 * time.Millisecond}
	}
	return sleep.For(ctx, f.pause.Next())
}

func (f *fruitless) reset() { *f = fruitless{} }
