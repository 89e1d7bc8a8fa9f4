package server

import (
	"testing"
	"time"
)

// n servers give together what one gives.
func TestBudgetsAreDivided(t *testing.T) {
	now := time.Now()
	for _, n := range []int{1, 2, 3, 10} {
		total := 0
		for range n {
			l := newLimiter[string](20, 100, 10)
			l.divide(n)
			for l.take("gw", now) == 0 {
				total++
			}
			// What was left of a larger share is cut down to the share.
			fresh := newLimiter[string](20, 100, 10)
			fresh.take("gw", now)
			fresh.divide(n)
			more := 1
			for fresh.take("gw", now) == 0 {
				more++
			}
			if most := 100/n + 1; more > most {
				t.Errorf("%d servers: %d at once after one has had %d", n, more, most)
			}
		}
		if total > 100 || total < 100-n {
			t.Errorf("%d servers: %d at once, want 100", n, total)
		}
		refilled := 0
		for range n {
			l := newLimiter[string](20, 100, 10)
			l.divide(n)
			for l.take("gw", now) == 0 {
			}
			for l.take("gw", now.Add(time.Second)) == 0 {
				refilled++
			}
		}
		if refilled > 20+n || refilled < 20-2*n { // parts of a request are kept
			t.Errorf("%d servers: %d in a second, want 20", n, refilled)
		}
		s := slowed{waiting: nil}
		if s.divide(n); s.most != max(slowedPerGateway/n, 1) {
			t.Errorf("%d servers: %d slowed requests may wait", n, s.most)
		}
	}
}
