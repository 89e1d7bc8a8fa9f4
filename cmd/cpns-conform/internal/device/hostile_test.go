package device

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

// on runs the suite on a line at whose other end device does what it likes.
func on(t *testing.T, device func(ctx context.Context, line *end), args ...string) (r report, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ours, theirs := newLine()
		ended := make(chan struct{})
		go func() { defer close(ended); device(ctx, theirs) }()
		begun := time.Now()
		r = tryOn(t, Config{
			Entity: "meter-0001", Gateway: "cpns-conform", TK: make([]byte, 16),
			Carrier:    OverPort(func() (Port, error) { return ours, nil }, 500*time.Millisecond),
			PowerCycle: func(context.Context) error { return errors.New("the relay is gone") },
		}, false, args...)
		took = time.Since(begun)
		cancel()
		theirs.Close()
		<-ended
	})
	return r, took
}

// swallow takes what comes in.
func swallow(ctx context.Context, line *end) {
	for {
		select {
		case <-line.in:
		case <-ctx.Done():
			return
		}
	}
}

// Whatever is at the other end, the run comes to its end in a few minutes, passes nobody
// and remembers little.
func TestHostile(t *testing.T) {
	flood := func(msg func() []byte) func(context.Context, *end) {
		return func(ctx context.Context, line *end) {
			go swallow(ctx, line)
			for ctx.Err() == nil {
				// A line takes so many a second.
				line.Write(wire.Frame(msg()))
				sleep.For(ctx, 10*time.Millisecond)
			}
		}
	}
	hello := wire.Hello{E: "meter-0001", Nonce: make([]byte, 16), Algs: []int64{24}}
	for _, tt := range []struct {
		name   string
		device func(context.Context, *end)
		only   string
		passes int // at most
	}{
		{"silent", swallow, "*", 0},
		{"garbage", flood(func() []byte { return random(300) }), "*", 0},
		{"a flood of hellos", flood(func() []byte {
			hello.Nonce = random(16)
			return hello.Bytes(make([]byte, 16))
		}), "hello-*,stream-*,update-taken", 5}, // what a hello alone can show
		{"a flood of acknowledgements", flood(func() []byte { return wire.Refusal("meter-0001", 1, 1, 1) }), "*", 0},
		{"what was said to it", func(ctx context.Context, line *end) {
			for {
				select {
				case b := <-line.in:
					line.Write(b)
				case <-ctx.Done():
					return
				}
			}
		}, "*", 0},
		{"no zero ever", func(ctx context.Context, line *end) {
			go swallow(ctx, line)
			for ctx.Err() == nil {
				line.Write([]byte("login: login: login: login: login: login: "))
				sleep.For(ctx, time.Millisecond)
			}
		}, "*", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, took := on(t, tt.device, "--only", tt.only)
			if r.Passed > tt.passes || r.Failed == 0 || tt.only == "*" && len(r.Cases) != len(Suite.Cases) {
				t.Errorf("%d passed (%q), %d failed of %d", r.Passed, r.names("pass"), r.Failed, len(r.Cases))
			}
			if took > 15*time.Minute {
				t.Errorf("it took %v", took)
			}
			t.Logf("%d passed %q, %d failed, %d undecided, in %v", r.Passed, r.names("pass"), r.Failed, r.Undecided, took)
		})
	}
}

// A relay that fails, a line that goes, and a stop are nobody's failure.
func TestNotTheDevice(t *testing.T) {
	s := &sloppy{e: "meter-0001", tk: make([]byte, 16)}
	r, _ := on(t, func(ctx context.Context, line *end) { s.power = make(chan chan struct{}); s.live(ctx, line) }, "--only", "power-hello,hello-same")
	if r.Passed != 1 || r.Undecided != 1 || r.Cases[1].Reason != "the relay is gone" {
		t.Errorf("%+v", r)
	}
	r, _ = on(t, func(ctx context.Context, line *end) {
		<-line.in
		line.Close()
	}, "--only", "hello-same")
	if r.Passed != 0 {
		t.Errorf("%+v", r)
	}
}

// The line is opened again once it has gone.
func TestReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		opened := make(chan *end, 8)
		var there atomic.Bool
		there.Store(true)
		c := OverPort(func() (Port, error) {
			if !there.Load() {
				return nil, errors.New("no such device")
			}
			ours, theirs := newLine()
			opened <- theirs
			return ours, nil
		}, time.Second)
		heard := make(chan []byte, 8)
		ended := make(chan error)
		go func() { ended <- c.Run(ctx, func(msg []byte) { heard <- msg }) }()
		first := <-opened
		first.Write(wire.Frame([]byte{1, 2, 3}))
		if msg := <-heard; string(msg) != "\x01\x02\x03" {
			t.Errorf("heard %x", msg)
		}
		synctest.Wait()
		there.Store(false)
		c.(*line).port.Close()
		synctest.Wait()
		if up, detail := c.Up(); up || detail != "the line has gone" {
			t.Errorf("%v, %s", up, detail)
		}
		if err := c.Send(ctx, false, []byte{1}); err == nil {
			t.Error("sent on a line that has gone")
		}
		time.Sleep(time.Second)
		if up, detail := c.Up(); up || detail != "no such device" {
			t.Errorf("%v, %s", up, detail)
		}
		there.Store(true)
		second := <-opened
		second.Write(wire.Frame([]byte{4}))
		<-heard
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
