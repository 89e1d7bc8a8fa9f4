package settling

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestWait(t *testing.T) {
	storm := make(chan struct{}, 100)
	for range cap(storm) {
		storm <- struct{}{}
	}
	closed := make(chan struct{})
	close(closed)
	tests := []struct {
		name    string
		d       time.Duration
		changed <-chan struct{}
		want    Why
		lasts   time.Duration
	}{
		{"nobody tells", 5 * time.Second, nil, Due, 5 * time.Second},
		{"no change", 5 * time.Second, make(chan struct{}), Due, 5 * time.Second},
		{"a storm of changes", 5 * time.Second, storm, Changed, Time},
		{"closed", 5 * time.Second, closed, Deaf, 0},
		{"for ever", -1, nil, Ended, time.Hour},
		{"for ever, a change", -1, storm, Changed, Time},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				changed := tt.changed
				if tt.name == "no change" { // of this bubble, so that its time goes on
					changed = make(chan struct{})
				}
				begin := time.Now()
				got := Wait(ctx, tt.d, changed)
				if lasted := time.Since(begin); got != tt.want || lasted != tt.lasts {
					t.Errorf("got %v after %v, want %v after %v", got, lasted, tt.want, tt.lasts)
				}
			})
		})
	}
}
