package sleep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	tests := []struct {
		name     string
		deadline time.Duration // of the context
		d        time.Duration
		passed   time.Duration
		err      error
	}{
		{"passes", time.Hour, time.Minute, time.Minute, nil},
		{"context ends first", time.Second, time.Minute, time.Second, context.DeadlineExceeded},
		{"nothing to wait for", time.Hour, 0, 0, nil},
		{"negative", time.Hour, -time.Minute, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				begun := time.Now()
				if err := For(ctx, tt.d); !errors.Is(err, tt.err) {
					t.Errorf("got %v, want %v", err, tt.err)
				}
				if passed := time.Since(begun); passed != tt.passed {
					t.Errorf("%v passed, want %v", passed, tt.passed)
				}
			})
		})
	}
}

func TestForEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := For(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
