package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := newLimiter[string](2, 5, 10)
	for n := range 5 {
		if d := l.take("a", now); d != 0 {
			t.Fatalf("request %d of the burst waits %v", n+1, d)
		}
	}
	if d := l.take("a", now); d != 500*time.Millisecond {
		t.Errorf("after the burst: wait %v, want 500ms", d)
	}
	if d := l.take("b", now); d != 0 {
		t.Errorf("another key waits %v", d)
	}
	now = now.Add(500 * time.Millisecond)
	if d := l.take("a", now); d != 0 {
		t.Errorf("after the wait it was told: wait %v", d)
	}
	now = now.Add(500 * time.Millisecond)
	r, _ := l.reserve("a", now, 1e9)
	if _, d := l.reserve("a", now, 1); d != 3*time.Second {
		t.Errorf("in the deepest debt: wait %v, want 3s", d)
	}
	if _, d := l.reserve("a", now.Add(-time.Hour), 1); d != 3*time.Second {
		t.Errorf("with the clock set back: wait %v, want 3s", d)
	}
	r.settle(now, 1e9)
	now = now.Add(time.Hour)
	for range 5 {
		if d := l.take("a", now); d != 0 {
			t.Errorf("after an hour: wait %v", d)
		}
	}
	if d := l.take("a", now); d == 0 {
		t.Error("an hour saved more than the burst")
	}
}

// A limiter keeps no more keys than it is told, and forgets those with the most
// tokens first.
func TestLimiterBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const size = 8
	l := newLimiter[int](1, 10, size)
	for k := range size - 1 {
		r, _ := l.reserve(k, now, 20)
		r.settle(now, 20)
	}
	for k := range 10_000 {
		l.take(1000+k, now)
	}
	if got := len(l.buckets); got != size {
		t.Errorf("keeps %d keys, want %d", got, size)
	}
	for k := range size - 1 {
		if l.take(k, now) == 0 {
			t.Errorf("the debt of %d is forgotten", k)
		}
	}
}

// Whatever is reserved at once, it is no more than there is; what is given back is
// there again, and who waits for it gets it.
func TestLimiterReserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter[string](1, 100, 10)
		now := time.Now()
		still := func() time.Time { return now }
		var held []*reservation[string]
		for len(held) < 100 {
			r, d := l.reserve("a", now, 20)
			if r == nil {
				if d != time.Second {
					t.Errorf("with nothing left: wait %v, want 1s", d)
				}
				break
			}
			held = append(held, r)
		}
		if len(held) != 5 {
			t.Fatalf("%d reservations of 20 out of 100", len(held))
		}
		const waiting = 3
		got := make(chan *reservation[string], waiting)
		for range waiting {
			go func() {
				r, _ := l.reserveOrWait(t.Context(), "a", still, 20, waiting)
				got <- r
			}()
		}
		synctest.Wait()
		if r, d := l.reserveOrWait(t.Context(), "a", still, 20, waiting); r != nil || d == 0 {
			t.Error("one more than may wait has waited")
		}
		held[0].settle(now, 20) // given nothing back: all go on waiting
		synctest.Wait()
		if len(got) != 0 {
			t.Error("reserved what was not there")
		}
		held[1].settle(now, 1)
		first := <-got
		synctest.Wait()
		if len(got) != 0 {
			t.Error("two reservations for what one gave back")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r, d := l.reserveOrWait(ctx, "a", still, 20, waiting); r != nil || d == 0 {
			t.Error("waited longer than the context")
		}
		// Once nothing is under way any more nobody waits.
		for _, r := range append(held[2:], first) {
			r.settle(now, 20)
		}
		for range waiting - 1 {
			if r := <-got; r != nil {
				t.Error("reserved what was not there")
			}
		}
		if b := l.buckets["a"]; b.reserved != 0 || b.waiting != 0 {
			t.Errorf("left over: %+v", b)
		}
	})
}

// What anybody can write into the log is bounded, each kind for itself.
func TestLogNoise(t *testing.T) {
	var log bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &Server{
		log:   slog.New(slog.NewTextHandler(&log, nil)),
		now:   func() time.Time { return now },
		noise: newLimiter[string](noiseRate, noiseBurst, len(noises)),
		tally: new(tally),
	}
	for range 1000 {
		s.logNoise(noiseRefused)
		fmt.Fprintln(noiseWriter{s}, "http: TLS handshake error")
	}
	for _, kind := range []string{noiseRefused, noiseConnection} {
		if got := strings.Count(log.String(), kind); got != noiseBurst {
			t.Errorf("%s: %d lines, want %d", kind, got, noiseBurst)
		}
	}
	now = now.Add(time.Second)
	for range 1000 {
		s.logNoise(noiseRefused)
	}
	if got := strings.Count(log.String(), noiseRefused); got != noiseBurst+noiseRate {
		t.Errorf("a second later: %d lines, want %d", got, noiseBurst+noiseRate)
	}
}

func TestSourceOf(t *testing.T) {
	tests := []struct{ addr, want string }{
		{"192.0.2.7", "192.0.2.7/32"},
		{"::ffff:192.0.2.7", "192.0.2.7/32"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1::/56"},
		{"2001:db8:1:1ff:3:4:5:6", "2001:db8:1:100::/56"},
		{"fe80::1%eth0", "fe80::/56"},
	}
	for _, tt := range tests {
		if got := sourceOf(netip.MustParseAddr(tt.addr)).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.addr, got, tt.want)
		}
	}
	if got := sourceOf(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: got %s", got)
	}
}
