package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
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
	l.charge("a", now, 1e9)
	if d := l.wait("a", now); d != 3*time.Second {
		t.Errorf("in the deepest debt: wait %v, want 3s", d)
	}
	if d := l.wait("a", now.Add(-time.Hour)); d != 3*time.Second {
		t.Errorf("with the clock set back: wait %v, want 3s", d)
	}
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
		l.charge(k, now, 20)
	}
	for k := range 10_000 {
		l.charge(1000+k, now, 1)
	}
	if got := len(l.buckets); got != size {
		t.Errorf("keeps %d keys, want %d", got, size)
	}
	for k := range size - 1 {
		if l.wait(k, now) == 0 {
			t.Errorf("the debt of %d is forgotten", k)
		}
	}
}

// What anybody can write into the log is bounded, each kind for itself.
func TestLogNoise(t *testing.T) {
	var log bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &Server{
		log:   slog.New(slog.NewTextHandler(&log, nil)),
		now:   func() time.Time { return now },
		noise: newLimiter[string](noiseRate, noiseBurst, len(noises)),
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
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64"},
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
