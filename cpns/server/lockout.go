package server

import (
	"context"
	"sync"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/sleep"
)

// Guessing passwords is bounded in two ways, both by the failures in the store,
// so that a restart forgives nothing, and both alike for users that exist and
// users that don't, so that they tell nothing.
//
// A user who fails 10 times at one gateway within 15 minutes is locked there,
// and only there, for 15 minutes after the last failure: a gateway cannot lock
// people out elsewhere. A user who fails more often than one gateway alone could
// make happen is slowed at every gateway: by at most 2 seconds a request, which a
// person who knows the password hardly notices.
const (
	lockFailures  = 10
	failureWindow = 15 * time.Minute
	lockTime      = 15 * time.Minute

	slowestDelay = 2 * time.Second
	firstDelay   = 100 * time.Millisecond
	// With this many failures the delay has reached its most: counting ends.
	failuresCounted = lockFailures + 6

	// A gateway may have this many slowed requests waiting; the next ones get
	// 429. The bound is a gateway's own, so that one that sends many at once
	// takes no place from another.
	slowedPerGateway = 4

	// Servers on one store may have clocks that differ by this much: what one
	// wrote into the future of another counts. What lies further ahead was
	// written under a clock that was wrong.
	replicaSkew = time.Minute

	// A lock ends at most this long after the first failure that made it.
	failuresKept = failureWindow + lockTime
)

// lockedUntil says when the lock of a user at a gateway ends, by the failures there,
// the newest first; a time that is not after now means that there is none.
func lockedUntil(times []time.Time) time.Time {
	// These ten made a lock if the first and the last are near enough. While it
	// lasts none is added.
	if len(times) < lockFailures {
		return time.Time{}
	}
	newest, oldest := times[0], times[lockFailures-1]
	if newest.Sub(oldest) > failureWindow {
		return time.Time{}
	}
	return newest.Add(lockTime)
}

// delayFor is how long a request of a user waits who failed so often at all
// gateways together within the failure window.
func delayFor(failures int) time.Duration {
	if failures <= lockFailures {
		return 0
	}
	return min(firstDelay<<(failures-lockFailures-1), slowestDelay)
}

// slowed counts the requests that wait, by gateway.
type slowed struct {
	mu      sync.Mutex
	most    int // of one gateway, at this server
	waiting map[cpns.GatewayID]int
}

// divide sets the bound to this server's share, one n-th of what all servers allow.
func (s *slowed) divide(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(slowedPerGateway/n, 1)
}

// wait sleeps for d. It returns false at once if the gateway has too many
// requests waiting, and the context's error if that ends first.
func (s *slowed) wait(ctx context.Context, g cpns.GatewayID, d time.Duration) (bool, error) {
	if d == 0 {
		return true, nil
	}
	if !s.enter(g) {
		return false, nil
	}
	defer s.leave(g)
	if err := sleep.For(ctx, d); err != nil {
		return false, err
	}
	return true, nil
}

// count is how many wait.
func (s *slowed) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, waiting := range s.waiting {
		n += waiting
	}
	return n
}

func (s *slowed) enter(g cpns.GatewayID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[g] >= s.most {
		return false
	}
	s.waiting[g]++
	return true
}

func (s *slowed) leave(g cpns.GatewayID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[g]--; s.waiting[g] == 0 {
		delete(s.waiting, g)
	}
}
