package server

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// What keeps a server available, for another listener beside it.

// A Budget gives every key so many requests a second, and more for a moment.
type Budget[K comparable] struct{ l *limiter[K] }

// NewBudget makes a budget that fills at rate up to burst and remembers kept keys.
func NewBudget[K comparable](rate, burst float64, kept int) *Budget[K] {
	return &Budget[K]{newLimiter[K](rate, burst, kept)}
}

// Take charges k for one request, unless k has to wait: then it says how long.
func (b *Budget[K]) Take(k K, now time.Time) time.Duration { return b.l.take(k, now) }

// Owes says how long k has to wait, without charging it.
func (b *Budget[K]) Owes(k K, now time.Time) time.Duration {
	r, wait := b.l.reserve(k, now, 1)
	if r != nil {
		r.settle(now, 0)
	}
	return wait
}

// SourceOf is who pays for what comes from an address.
func SourceOf(addr netip.Addr) netip.Prefix { return sourceOf(addr) }

// LimitConnections gives a listener the limits of connlimit.go: what carried a request
// that Proved marked keeps its place. WithConnection is the ConnContext of its server.
func LimitConnections(ln net.Listener) net.Listener {
	return newLimitListener(ln, nil, nil, func(error) {})
}

// WithConnection is the ConnContext of an http.Server on LimitConnections.
func WithConnection(ctx context.Context, c net.Conn) context.Context { return withConn(ctx, c) }

// Proved marks the connection of a request as one of somebody who is known.
func Proved(ctx context.Context) { proved(ctx) }
