package device

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
	"cpns.example.net/pngw/transport"
)

// looked is what the first look at a line says, at whose other end device does what it
// likes, and how long that took. The kit looks for meter-0001.
func looked(t *testing.T, device func(ctx context.Context, line *end)) (said string, took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ours, theirs := newLine()
		ended := make(chan struct{})
		go func() { defer close(ended); device(ctx, theirs) }()
		b := New(ctx, Config{
			Entity: "meter-0001", Gateway: "cpns-conform", TK: make([]byte, 16), Ask: "is it on?",
			Carrier: OverPort(func() (Port, error) { return ours, nil }, 500*time.Millisecond),
		})
		if err := b.WaitUp(ctx, time.Second); err != nil {
			t.Error(err)
		}
		begun := time.Now()
		warning, err := b.Look(ctx)
		said, took = warning, time.Since(begun)
		if err != nil {
			said = "stop: " + err.Error()
		}
		cancel()
		b.Close()
		theirs.Close()
		<-ended
	})
	return said, took
}

// answering is a device that answers each message by what answer makes of it, nil for
// nothing.
func answering(answer func(msg []byte) []byte) func(context.Context, *end) {
	return func(ctx context.Context, line *end) {
		var frames transport.Deframer
		for {
			select {
			case b := <-line.in:
				frames.Feed(b, func(msg []byte) {
					if reply := answer(msg); reply != nil {
						line.Write(reply)
					}
				})
			case <-ctx.Done():
				return
			}
		}
	}
}

// TestLook: the first look stops where no case could be tried, and says what to look at.
// A device that is wrong is left to the cases.
func TestLook(t *testing.T) {
	hello := func(e string, tk byte) []byte {
		h := wire.Hello{E: e, Nonce: make([]byte, 16), Algs: []int64{24}}
		return wire.Frame(h.Bytes(append(make([]byte, 15), tk)))
	}
	always := func(reply []byte) func(context.Context, *end) {
		return answering(func([]byte) []byte { return reply })
	}
	const none = "stop: no hello from meter-0001 within 6 s"
	for _, tt := range []struct {
		name   string
		device func(context.Context, *end)
		says   string
		took   time.Duration
	}{
		{"good", always(hello("meter-0001", 0)), "", 0},
		{"silent", swallow, none + ": is it on?", lookLimit},
		{"another speed", always([]byte(strings.Repeat("\xf0\x0f\x00", 20))), none + ", but 40 bytes that are no frame: is --baud right?", lookLimit},
		{"another device", answering(func(msg []byte) []byte {
			if !slices.Equal(msg, wire.Identify("")) {
				return nil
			}
			return hello("meter-0002", 0)
		}), "stop: heard a hello of meter-0002, not of meter-0001: which of them is it, and is it on?", lookLimit},
		{"another beside it", always(slices.Concat(hello("meter-0002", 0), hello("meter-0001", 0))), "", 0},
		{"an echo", answering(wire.Frame), none + ", only what was sent to it: is the adapter's echo off, and is the device on?", lookLimit},
		{"another TK", always(hello("meter-0001", 1)), "its hello is not under the key of --tk-file: is that its TK?", 0},
		{"its name written wrongly", always(hello("meter-0001\x00", 0)), "", lookLimit},
		{"no hello but something else", always(wire.Frame(wire.Refusal("meter-0001", 1, 1, 1))), "", lookLimit},
		{"a flood", func(ctx context.Context, line *end) {
			go swallow(ctx, line)
			for ctx.Err() == nil {
				line.Write(hello("meter-0002", 0))
				sleep.For(ctx, 10*time.Millisecond)
			}
		}, "stop: heard a hello of meter-0002, not of meter-0001: which of them is it, and is it on?", lookLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if said, took := looked(t, tt.device); said != tt.says || took != tt.took {
				t.Errorf("after %v:\n%s\nwant after %v:\n%s", took, said, tt.took, tt.says)
			}
		})
	}
}

// TestNoise: a case that hears bytes, and no message, says so.
func TestNoise(t *testing.T) {
	r, _ := on(t, answering(func([]byte) []byte { return []byte("\x00login: \x00") }), "--only", "hello-bytes")
	if len(r.Cases) != 1 || r.Cases[0].Seen != "7 bytes that are no frame: is --baud right?" {
		t.Errorf("%+v", r.Cases)
	}
	r, _ = on(t, swallow, "--only", "hello-bytes")
	if len(r.Cases) != 1 || r.Cases[0].Seen != "nothing" {
		t.Errorf("%+v", r.Cases)
	}
}
