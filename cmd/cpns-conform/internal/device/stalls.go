package device

import (
	"context"
	"sync"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
)

// stalled calls f, and measures by how much at most this machine lets a program wait
// meanwhile that wants to run: what the kit's own clock says of a device is no surer than
// that, and a device that runs on this machine waits as long.
func stalled(f func()) (most time.Duration) {
	const step = 2 * time.Millisecond
	done := make(chan struct{})
	var measuring sync.WaitGroup
	measuring.Go(func() {
		for {
			begun := time.Now()
			select {
			case <-done:
				return
			case <-time.After(step):
				most = max(most, time.Since(begun)-step)
			}
		}
	})
	func() { // f may end the case by a panic
		defer measuring.Wait()
		defer close(done)
		f()
	}()
	return most
}

// stalledFor says that a machine stood still for too long to tell whether something came
// within limit.
func stalledFor(stall, limit time.Duration) bool { return stall >= limit/10 }

// inTime fails the case where an answer took longer than limit. On a machine that stood
// still meanwhile it is tried again, a few times: what was late may have been the machine.
func (b *Bench) inTime(ctx context.Context, t *conform.T, limit time.Duration, expected string, try func() time.Duration) {
	for again := 0; ; again++ {
		var took time.Duration
		stall := stalled(func() { took = try() })
		switch {
		case took <= limit:
			return
		case !stalledFor(stall, limit):
			t.Fail(expected, "one after "+took.String())
		case again == 2 || ctx.Err() != nil:
			t.Undecided("this machine is too busy to tell: it stood still for %v; the answer took %v", stall, took)
		}
	}
}
