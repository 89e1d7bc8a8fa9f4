package transport

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Backoff spaces out attempts: the first pause is about Min, each further one
// about twice the one before, none longer than Max. Every pause is drawn at
// random from the upper half of its length, so that the gateways of a
// building that lost power do not come back in step. It is not safe for concurrent
// use.
type Backoff struct {
	Min, Max time.Duration // 0 < Min <= Max

	base time.Duration // of the latest pause; 0 before the first
}

// Next returns the length of the next pause.
func (b *Backoff) Next() time.Duration {
	switch {
	case b.base == 0:
		b.base = b.Min
	case b.base > b.Max/2: // doubling would pass Max, or overflow
		b.base = b.Max
	default:
		b.base *= 2
	}
	half := b.base / 2
	return half + rand.N(b.base-half+1)
}

// Reset makes the next pause the first again.
func (b *Backoff) Reset() { b.base = 0 }

// Wait pauses. It returns ctx's error if that ends first.
func (b *Backoff) Wait(ctx context.Context) error {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
