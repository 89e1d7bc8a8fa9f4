package server

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Two budgets keep the server available. A source address pays for what it sends
// that does not prove to be a gateway's current request: before PSK1 has
// authenticated the sender, the identity in a request is only a claim, and
// nobody may spend another's budget by claiming. A gateway pays for what it
// proved to have sent. Many gateways share an address, behind a router or a
// balancer, and share it with strangers: so what an address owes decides only
// how its refused requests are answered, never whether a request is looked at.
//
// Both are reserved before the work and settled after it: however many requests
// are under way at once, together they get no more than there was.
const (
	sourceRate  = 5  // refused requests a second and source address
	sourceBurst = 50 //
	sourcesKept = 16384

	gatewayRate    = 20 // requests a second and gateway
	gatewayBurst   = 100
	gatewaysKept   = 16384
	gatewayWaiting = 64 // requests of one gateway that wait for others of its own to be settled

	noiseRate  = 10 // log lines a second of each kind that anybody can cause
	noiseBurst = 100

	// A refused user authentication costs as much as this many requests: a
	// gateway fails once a second, which bounds the failures that are kept.
	// Until it is known how a request ends, it is taken to fail.
	failureCost = 20
)

// A limiter gives every key a budget: a token bucket that fills at rate tokens a
// second up to burst. It keeps size keys, and those with reservations; when it is
// full, the one of a few that has the most tokens is forgotten and starts afresh.
type limiter[K comparable] struct {
	wholeRate, wholeBurst float64 // of all servers of the store together
	size                  int

	mu          sync.Mutex
	rate, burst float64 // of this one
	buckets     map[K]*bucket
}

type bucket struct {
	tokens   float64 // down to -burst: a debt that must be waited out
	at       time.Time
	reserved int           // reservations that are not settled
	waiting  int           // who waits for one of them
	settled  chan struct{} // closed when the next is settled; nil while nobody waits
}

func newLimiter[K comparable](rate, burst float64, size int) *limiter[K] {
	return &limiter[K]{wholeRate: rate, wholeBurst: burst, rate: rate, burst: burst, size: size, buckets: make(map[K]*bucket)}
}

// divide makes the budgets this server's share of what n servers give together.
func (l *limiter[K]) divide(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.burst = l.wholeRate/float64(n), max(l.wholeBurst/float64(n), 1)
}

// counts are how many keys have a bucket, and how many of those have to wait.
func (l *limiter[K]) counts(now time.Time) (all, exhausted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.buckets {
		if b.tokens+max(now.Sub(b.at).Seconds(), 0)*l.rate < 1 {
			exhausted++
		}
	}
	return len(l.buckets), exhausted
}

// A reservation is what was taken from a budget for work whose price shows at its
// end.
type reservation[K comparable] struct {
	l    *limiter[K]
	key  K
	cost float64
}

// reserve takes cost tokens from k, unless k has to wait: then it says how long,
// and returns nil.
func (l *limiter[K]) reserve(k K, now time.Time, cost float64) (*reservation[K], time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.filled(k, now)
	if missing := 1 - b.tokens; missing > 0 {
		return nil, time.Duration(missing / l.rate * float64(time.Second))
	}
	b.tokens = max(b.tokens-cost, -l.burst)
	b.reserved++
	return &reservation[K]{l, k, cost}, 0
}

// reserveOrWait reserves as reserve does, but while other reservations of k are
// not settled, and may give something back, it waits for them, until ctx ends.
func (l *limiter[K]) reserveOrWait(ctx context.Context, k K, now func() time.Time, cost float64, most int) (*reservation[K], time.Duration) {
	for {
		r, wait := l.reserve(k, now(), cost)
		if r != nil {
			return r, 0
		}
		settled := l.awaitSettled(k, most)
		if settled == nil {
			return nil, wait
		}
		select {
		case <-settled:
			l.stopWaiting(k)
		case <-ctx.Done():
			l.stopWaiting(k)
			return nil, wait
		}
	}
}

// awaitSettled is closed when a reservation of k is settled. It is nil where there
// is none, or where most are waiting already.
func (l *limiter[K]) awaitSettled(k K, most int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[k]
	if b == nil || b.reserved == 0 || b.waiting >= most {
		return nil
	}
	if b.settled == nil {
		b.settled = make(chan struct{})
	}
	b.waiting++
	return b.settled
}

func (l *limiter[K]) stopWaiting(k K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets[k].waiting-- // it is not forgotten while somebody waits
}

// settle ends the reservation: price is what the work costs after all.
func (r *reservation[K]) settle(now time.Time, price float64) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.filled(r.key, now)
	b.tokens = min(b.tokens+r.cost-price, l.burst)
	b.reserved--
	if b.settled != nil {
		close(b.settled)
		b.settled = nil
	}
}

// take charges k for one thing, unless it has to wait: then it says how long.
func (l *limiter[K]) take(k K, now time.Time) time.Duration {
	r, wait := l.reserve(k, now, 1)
	if r != nil {
		r.settle(now, 1)
	}
	return wait
}

// filled is the bucket of k with what it has now. l.mu is held.
func (l *limiter[K]) filled(k K, now time.Time) *bucket {
	b := l.buckets[k]
	if b == nil {
		if len(l.buckets) >= l.size {
			l.forgetOne(now)
		}
		b = &bucket{tokens: l.burst, at: now}
		l.buckets[k] = b
		return b
	}
	// A clock that was set back gives nothing, and takes nothing.
	b.tokens = min(b.tokens+max(now.Sub(b.at).Seconds(), 0)*l.rate, l.burst)
	b.at = now
	return b
}

// forgetOne removes the fullest of a few buckets that the map's order offers and
// that nobody needs. l.mu is held.
func (l *limiter[K]) forgetOne(now time.Time) {
	const looks = 8
	var fullest K
	most, seen, found := 0.0, 0, false
	for k, b := range l.buckets {
		if seen++; seen > looks && found {
			break
		}
		if b.reserved > 0 || b.waiting > 0 {
			continue
		}
		if t := b.tokens + max(now.Sub(b.at).Seconds(), 0)*l.rate; !found || t > most {
			fullest, most, found = k, t, true
		}
	}
	if found {
		delete(l.buckets, fullest)
	}
}

// sourceOf is the address that pays for what comes from addr: an IPv4 address, or
// the /56 network of an IPv6 address, which is what one household or site has to
// itself at the least.
func sourceOf(addr netip.Addr) netip.Prefix { return prefixOf(addr, 32, 56) }

// prefixOf is the network of addr with the number of bits for its kind. All that
// is no address shares one.
func prefixOf(addr netip.Addr, bits4, bits6 int) netip.Prefix {
	addr = addr.Unmap()
	bits := bits4
	if addr.Is6() {
		bits = bits6
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
