// Package sleep is a time.Sleep that a context can end.
package sleep

import (
	"context"
	"time"
)

// For returns nil once d has passed, or ctx.Err() as soon as ctx ends. If d is zero or
// negative it returns at once.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
