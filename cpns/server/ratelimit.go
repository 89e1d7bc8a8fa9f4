package server

import (
	"net/netip"
	"sync"
	"time"
)

// Two budgets keep the server available. A source address pays for what it sends
// that does not prove to be a gateway's current request: before PSK1 has
// authenticated the sender, the identity in a request is only a claim, and
// nobody may spend another's budget by claiming. A gateway pays for what it
// proved to have sent. So gateways behind one address don't share a budget while
// they behave, and a captured request, sent again and again after its time, is
// paid for by the address it comes from.
const (
	sourceRate  = 5  // refused requests a second and source address
	sourceBurst = 50 //
	sourcesKept = 16384

	gatewayRate  = 20 // requests a second and gateway
	gatewayBurst = 100
	gatewaysKept = 16384

	noiseRate  = 10 // log lines a second of each kind that anybody can cause
	noiseBurst = 100

	// A refused user authentication costs as much as this many requests: a
	// gateway fails once a second, which bounds the failures that are kept.
	failureCost = 20
)

// A limiter gives every key a budget: a token bucket that fills at rate tokens a
// second up to burst. It keeps at most size keys; when it is full, the one of a
// few that has the most tokens is forgotten and starts afresh.
type limiter[K comparable] struct {
	rate, burst float64
	size        int

	mu      sync.Mutex
	buckets map[K]bucket
}

type bucket struct {
	tokens float64 // down to -burst: a debt that must be waited out
	at     time.Time
}

func newLimiter[K comparable](rate, burst float64, size int) *limiter[K] {
	return &limiter[K]{rate: rate, burst: burst, size: size, buckets: make(map[K]bucket)}
}

// wait says how long k has to wait before its next request, 0 for not at all.
func (l *limiter[K]) wait(k K, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := 1 - l.tokens(k, now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / l.rate * float64(time.Second))
}

// charge takes cost tokens from k.
func (l *limiter[K]) charge(k K, now time.Time, cost float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tokens := max(l.tokens(k, now)-cost, -l.burst)
	if _, known := l.buckets[k]; !known && len(l.buckets) >= l.size {
		l.forgetOne(now)
	}
	l.buckets[k] = bucket{tokens: tokens, at: now}
}

// take charges k for one request, unless it has to wait: then it says how long.
func (l *limiter[K]) take(k K, now time.Time) time.Duration {
	if d := l.wait(k, now); d > 0 {
		return d
	}
	l.charge(k, now, 1)
	return 0
}

// tokens is what k has now. l.mu is held.
func (l *limiter[K]) tokens(k K, now time.Time) float64 {
	b, known := l.buckets[k]
	if !known {
		return l.burst
	}
	// A clock that was set back gives nothing, and takes nothing.
	return min(b.tokens+max(now.Sub(b.at).Seconds(), 0)*l.rate, l.burst)
}

// forgetOne removes the fullest of a few buckets that the map's order offers.
// l.mu is held.
func (l *limiter[K]) forgetOne(now time.Time) {
	const looks = 8
	var fullest K
	most, seen := -l.burst-1, 0
	for k := range l.buckets {
		if t := l.tokens(k, now); t > most {
			fullest, most = k, t
		}
		if seen++; seen == looks {
			break
		}
	}
	delete(l.buckets, fullest)
}

// sourceOf is the address that pays for what comes from addr: an IPv4 address,
// or the /64 network of an IPv6 address, which one sender has as a whole.
func sourceOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all of those share one budget
	}
	return p
}
