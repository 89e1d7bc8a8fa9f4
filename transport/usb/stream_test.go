package usb

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/transport"
)

// A script is a device that does what it is told to.
type script struct {
	reading func(n int) ([]byte, error) // the n-th read, from 0; nil, nil is an empty packet
	writing func(p []byte) error        // nil takes everything

	reads, cleared, clearedOut atomic.Int64
}

func (s *script) String() string  { return "a scripted device" }
func (s *script) packetSize() int { return 64 }
func (s *script) close()          {}

func (s *script) read(ctx context.Context, p []byte) (int, error) {
	data, err := s.reading(int(s.reads.Add(1) - 1))
	if errors.Is(err, errWait) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return copy(p, data), err
}

func (s *script) write(ctx context.Context, p []byte) (int, error) {
	err := s.writing(p)
	if errors.Is(err, errWait) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return len(p), err
}

func (s *script) clearHalt(in bool) error {
	if in {
		s.cleared.Add(1)
	} else {
		s.clearedOut.Add(1)
	}
	return nil
}

// errWait makes a scripted device wait for its caller's context.
var errWait = errors.New("wait")

// live runs a Link on the device in a bubble of synctest, and calls during.
func live(t *testing.T, s *script, during func(l *Link, ups, messages *atomic.Int64)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := newLink(Config{Name: "usb"}, func(*match) (device, error) { return s, nil })
		if err != nil {
			t.Fatal(err)
		}
		var ups, messages atomic.Int64
		done := make(chan error)
		go func() {
			done <- l.Run(ctx, transport.Handler{
				Up:      func() { ups.Add(1) },
				Message: func(transport.Message) { messages.Add(1) },
			})
		}()
		synctest.Wait()
		during(l, &ups, &messages)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestEmptyPackets has a device send nothing, as fast as it is asked; in between it
// sends a message.
func TestEmptyPackets(t *testing.T) {
	frame := transport.EncodeFrame(nil, []byte("message"))
	s := &script{reading: func(n int) ([]byte, error) {
		if n%1000 == 999 {
			return frame, nil
		}
		return nil, nil
	}}
	live(t, s, func(l *Link, ups, messages *atomic.Int64) {
		time.Sleep(time.Hour)
		// Paused up to 100 ms, about 13 a second, but for the free ones.
		if got := s.reads.Load(); got > 70_000 {
			t.Errorf("%d reads in an hour: a device that sends nothing keeps the processor busy", got)
		}
		if got := messages.Load(); got < 40 {
			t.Errorf("%d messages got through in an hour", got)
		}
		if ups.Load() != 1 || l.Status().State != transport.Up {
			t.Errorf("came up %d times, status %+v", ups.Load(), l.Status())
		}
	})
}

// TestJunk is the same with packets full of noise.
func TestJunk(t *testing.T) {
	junk := []byte(strings.Repeat("\xaa", 63) + "\x00")
	s := &script{reading: func(int) ([]byte, error) { return junk, nil }}
	live(t, s, func(l *Link, ups, _ *atomic.Int64) {
		time.Sleep(time.Hour)
		if got := s.reads.Load(); got > 70_000 {
			t.Errorf("%d reads in an hour: a device that sends junk keeps the processor busy", got)
		}
		if got := l.Status(); got.State != transport.Up || got.Dropped == 0 {
			t.Errorf("status %+v", got)
		}
	})
}

// TestFullSpeed holds that messages are never slowed, in packets of any size.
func TestFullSpeed(t *testing.T) {
	for _, size := range []int{8, 64} {
		frame := transport.EncodeFrame(nil, make([]byte, transport.MaxMessage))
		var packets [][]byte
		for len(frame) > 0 {
			n := min(size, len(frame))
			packets, frame = append(packets, frame[:n]), frame[n:]
		}
		s := &script{reading: func(n int) ([]byte, error) {
			if n < 100*len(packets) {
				return packets[n%len(packets)], nil
			}
			return nil, errWait
		}}
		live(t, s, func(_ *Link, _, messages *atomic.Int64) {
			if got := messages.Load(); got != 100 { // without time having passed
				t.Errorf("packets of %d bytes: %d messages at once, want 100", size, got)
			}
		})
	}
}

// TestStallClears has a device stall now and then, also in mid-frame.
func TestStallClears(t *testing.T) {
	frame := transport.EncodeFrame(nil, []byte("message"))
	s := &script{reading: func(n int) ([]byte, error) {
		switch n {
		case 0, 2, 3:
			return nil, errStalled
		case 1:
			return frame[:4], nil
		case 4:
			return frame[4:], nil
		}
		return nil, errWait
	}}
	live(t, s, func(l *Link, ups, messages *atomic.Int64) {
		time.Sleep(10 * time.Second)
		if messages.Load() != 1 || ups.Load() != 1 || s.cleared.Load() != 3 {
			t.Errorf("%d messages, up %d times, %d halts cleared; want 1, 1, 3", messages.Load(), ups.Load(), s.cleared.Load())
		}
	})
}

// TestStallsForEver has a device that only stalls: it is given up, tried again at
// long intervals, and said to stall.
func TestStallsForEver(t *testing.T) {
	s := &script{reading: func(int) ([]byte, error) { return nil, errStalled }}
	live(t, s, func(l *Link, ups, _ *atomic.Int64) {
		time.Sleep(time.Hour)
		if got := s.cleared.Load(); got > 10_000 {
			t.Errorf("%d halts cleared in an hour", got)
		}
		if got := ups.Load(); got < 100 {
			t.Errorf("tried %d times in an hour", got)
		}
		for l.Status().State == transport.Up {
			time.Sleep(10 * time.Millisecond)
		}
		if got := l.Status().Detail; !strings.Contains(got, "stalls") {
			t.Errorf("detail is %q", got)
		}
	})
}

// TestUnplugInMidFrame holds that half a frame of one connection is nothing to the
// next.
func TestUnplugInMidFrame(t *testing.T) {
	frame := transport.EncodeFrame(nil, []byte("message"))
	s := &script{reading: func(n int) ([]byte, error) {
		switch n {
		case 0:
			return frame[:5], nil
		case 1:
			return nil, errGone
		case 2:
			return frame, nil
		}
		return nil, errWait
	}}
	live(t, s, func(l *Link, ups, messages *atomic.Int64) {
		time.Sleep(10 * time.Second)
		if got := l.Status(); messages.Load() != 1 || ups.Load() != 2 || got.Dropped != 0 {
			t.Errorf("%d messages, up %d times, status %+v", messages.Load(), ups.Load(), got)
		}
	})
}

// TestWrite has a device that stalls, takes nothing, and then behaves.
func TestWrite(t *testing.T) {
	var fault error
	var wrote []byte
	s := &script{
		reading: func(int) ([]byte, error) { return nil, errWait },
		writing: func(p []byte) error { wrote = append([]byte(nil), p...); return fault },
	}
	live(t, s, func(l *Link, _, _ *atomic.Int64) {
		ctx := context.Background()
		fault = errStalled
		if err := l.Send(ctx, "", []byte("message")); !errors.Is(err, errStalled) || s.clearedOut.Load() != 1 {
			t.Errorf("Send to a device that stalls: %v, %d halts cleared", err, s.clearedOut.Load())
		}
		fault = errWait
		begin := time.Now()
		err := l.Send(ctx, "", []byte("message"))
		if err == nil || !strings.Contains(err.Error(), "takes no bytes") || time.Since(begin) != writeLimit {
			t.Errorf("Send to a device that takes nothing: %v after %v", err, time.Since(begin))
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		if err := l.Send(short, "", []byte("message")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send whose context ends: %v", err)
		}
		cancel()
		fault = io.ErrUnexpectedEOF
		if err := l.Send(ctx, "", []byte("message")); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Send that fails: %v", err)
		}
		fault = nil
		if err := l.Send(ctx, "", []byte("message")); err != nil {
			t.Error(err)
		}
		// The 0x00 before it ends the frame that was cut short.
		if want := transport.EncodeFrame(nil, []byte("message")); string(wrote) != string(want) {
			t.Errorf("wrote % x, want % x", wrote, want)
		}
		if got := l.Status().Sent; got != 1 {
			t.Errorf("%d sent, want 1", got)
		}
	})
}
