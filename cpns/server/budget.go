package server

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// What keeps a server available, for another listener beside it.

// A Budget limits the requests of each key: so many a second, with bursts of more.
type Budget[K comparable] struct{ l *limiter[K] }

// NewBudget makes a budget that fills at rate up to burst and remembers kept keys.
func NewBudget[K comparable](rate, burst float64, kept int) *Budget[K] {
	return &Budget[K]{newLimiter[K](rate, burst, kept)}
}

// Take charges k for one request, or returns how long k has to wait before.
func (b *Budget[K]) Take(k K, now time.Time) time.Duration { return b.l.take(k, now) }

// Owes returns how long k has to wait, without charging it.
func (b *Budget[K]) Owes(k K, now time.Time) time.Duration {
	r, wait := b.l.reserve(k, now, 1)
	if r != nil {
		r.settle(now, 0)
	}
	return wait
}

// SourceOf is the key whose budget pays for requests from an address.
func SourceOf(addr netip.Addr) netip.Prefix { return sourceOf(addr) }

// LimitConnections gives a listener the limits of connlimit.go: a connection that carried
// a request marked by Proved is never displaced. The http.Server has to use WithConnection
// as its ConnContext.
func LimitConnections(ln net.Listener) net.Listener {
	return newLimitListener(ln, nil, nil, func(error) {})
}

// WithConnection is the ConnContext of an http.Server on LimitConnections.
func WithConnection(ctx context.Context, c net.Conn) context.Context { return withConn(ctx, c) }

// Proved marks the connection of a request as one of somebody who is known.
func Proved(ctx context.Context) { proved(ctx) }
