// Package settling is how links wait for a device that is not there.
package settling

import (
	"context"
	"time"
)

// Time is how long a device gets to become usable after a change: it appears
// before udev or hotplug scripts have set its group.
const Time = 100 * time.Millisecond

// Why a wait ended.
type Why int

// The reasons.
const (
	Ended   Why = iota // the context ended
	Due                // the time is over
	Changed            // devices have changed, and had time to settle
	Deaf               // nobody tells of changes any more: the channel is closed
)

// Wait waits until d is over, until shortly after something was received from
// changed, or until ctx ends. A negative d is never over; a nil channel never
// tells anything.
func Wait(ctx context.Context, d time.Duration, changed <-chan struct{}) Why {
	var due <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
		return Ended
	case <-due:
		return Due
	case _, open := <-changed:
		if !open {
			return Deaf
		}
	}
	// Further changes may be coming; they can neither hurry nor put off the next
	// look.
	settle := time.NewTimer(Time)
	defer settle.Stop()
	select {
	case <-ctx.Done():
		return Ended
	case <-settle.C:
		return Changed
	}
}
