package agent

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// silent is a source whose server says nothing: each question takes its time and fails.
type silent struct{ asked atomic.Int32 }

func (*silent) Name() string { return "silent" }

func (s *silent) PSK1(ctx context.Context) (*PSK, error) {
	s.asked.Add(1)
	select {
	case <-time.After(30 * time.Second):
		return nil, &PSKWaitError{Reason: "no answer"}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// TestPSKFailsForAllAtOnce: requests that wait while one of them asks share its failure,
// and do not ask one after the other: the last of fifty would be told after 25 minutes.
func TestPSKFailsForAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(silent)
		k := newPSKKeeper(s, time.Now, slog.New(slog.DiscardHandler))
		begun := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := k.get(t.Context()); !waitsForPSK(err) || time.Since(begun) > 30*time.Second {
					t.Errorf("told after %v: %v", time.Since(begun), err)
				}
			})
		}
		all.Wait()
		if n := s.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}

		// One that comes later asks anew; one that gives up while it asks leaves its
		// failure to nobody.
		ctx, giveUp := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { _, err := k.get(ctx); first <- err }()
		synctest.Wait()
		second := make(chan error, 1)
		go func() { _, err := k.get(t.Context()); second <- err }()
		synctest.Wait()
		giveUp()
		if err := <-first; waitsForPSK(err) {
			t.Errorf("who gave up: %v", err)
		}
		if err := <-second; !waitsForPSK(err) {
			t.Errorf("who did not: %v", err)
		}
		if n := s.asked.Load(); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
	})
}
