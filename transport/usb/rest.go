package usb

import (
	"context"
	"errors"
	"time"

	"cpns.example.net/pngw/internal/settling"
	"cpns.example.net/pngw/transport"
)

// looks is how often a device that is not there is looked for after a change
// before the Link rests until the next: with pauses that double, for some
// seconds, which is what a slow device needs to be read by the kernel.
const looks = 5

// A rest is the time between two sessions, and what is remembered over it.
type rest struct {
	poll, patient transport.Backoff
	changed       <-chan struct{} // nil once nothing wakes us
	looked        int             // times since the latest change
}

// wait waits until the next look is due, or ctx ends. err is what ended the last
// session and lasted how long that was.
func (r *rest) wait(ctx context.Context, err error, lasted time.Duration) {
	// Only a device that stayed for a while has earned a quick look again: one
	// that fails as soon as it is open must not be opened all the time.
	if lasted > r.poll.Max {
		r.fresh()
	}
	if r.changed == nil {
		settling.Wait(ctx, r.poll.Next(), nil)
		return
	}
	due := time.Duration(-1)
	r.looked++
	// A device that is not there makes itself known when it comes. What else may
	// be wrong with one, such as its group, is put right without a word to us.
	if !errors.Is(err, errNotFound) || r.looked < looks {
		due = r.patient.Next()
	}
	switch settling.Wait(ctx, due, r.changed) {
	case settling.Deaf:
		r.changed = nil
		settling.Wait(ctx, r.poll.Next(), nil)
	case settling.Changed:
		r.fresh()
	}
}

// fresh makes the next looks quick ones.
func (r *rest) fresh() {
	r.poll.Reset()
	r.patient.Reset()
	r.looked = 0
}
