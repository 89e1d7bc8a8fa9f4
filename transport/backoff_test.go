package transport

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 10 * time.Second}
	for round := range 2 {
		for i, base := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
			got, most := b.Next(), base*time.Second
			if got < most/2 || got > most {
				t.Errorf("round %d, pause %d is %v, want %v to %v", round, i, got, most/2, most)
			}
		}
		b.Reset()
	}
}

func TestBackoffDoesNotOverflow(t *testing.T) {
	b := Backoff{Min: time.Second, Max: math.MaxInt64}
	for range 100 {
		if got := b.Next(); got <= 0 {
			t.Fatalf("pause of %v", got)
		}
	}
}

func TestBackoffIsJittered(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 100 {
		b := Backoff{Min: time.Second, Max: time.Second}
		seen[b.Next()] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 gateways pause for %d different times, want nearly 100", len(seen))
	}
}

func TestBackoffWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Min: time.Second, Max: time.Minute}
		start := time.Now()
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 500*time.Millisecond || d > time.Second {
			t.Errorf("waited %v", d)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start = time.Now()
		if err := b.Wait(ctx); err != context.Canceled {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v after the context ended", d)
		}
	})
}
