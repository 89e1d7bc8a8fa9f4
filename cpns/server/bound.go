package server

import (
	"context"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/internal/sleep"
)

// A boundStore is a store that is used only after it has been shown to belong to the
// master key. That is checked again whenever the last check is stateKept ago, because the
// master key may have been changed meanwhile. The server may start before its store: it
// waits for a database that is away, or still empty.
type boundStore struct {
	Store
	check func(Tx) error
	last  atomic.Pointer[time.Time] // when the check was begun that succeeded last
}

func (b *boundStore) bind(ctx context.Context) error {
	now := time.Now()
	if last := b.last.Load(); last != nil && now.Sub(*last) < stateKept {
		return nil
	}
	if err := b.Store.View(ctx, b.check); err != nil {
		return err
	}
	b.last.Store(&now)
	return nil
}

func (b *boundStore) View(ctx context.Context, f func(Tx) error) error {
	if err := b.bind(ctx); err != nil {
		return err
	}
	return b.Store.View(ctx, f)
}

func (b *boundStore) Update(ctx context.Context, f func(Tx) error) error {
	if err := b.bind(ctx); err != nil {
		return err
	}
	return b.Store.Update(ctx, f)
}

func (b *boundStore) Assign(ctx context.Context, q *Inquiry, decide func(*Findings) (*Outcome, error)) error {
	if err := b.bind(ctx); err != nil {
		return err
	}
	return b.Store.Assign(ctx, q, decide)
}

func (b *boundStore) Tidy(ctx context.Context, f func(Tx) error) error {
	if err := b.bind(ctx); err != nil {
		return err
	}
	return b.Store.Tidy(ctx, f)
}

// How long a server waits between attempts to reach a store that is away.
const (
	awayFirst = 500 * time.Millisecond
	awayMost  = 15 * time.Second
)

// Await returns when the store can be reached and belongs to the master key. It fails with
// ErrWrongMasterKey if it belongs to another one, with any other error that waiting cannot
// mend, and when ctx ends. It logs each time that the store is away.
func (s *Server) Await(ctx context.Context) error {
	for wait := awayFirst; ; wait = min(2*wait, awayMost) {
		looking, cancel := context.WithTimeout(ctx, answerTime)
		err := s.store.bind(looking)
		cancel()
		if err == nil && wait > awayFirst {
			s.log.Info("the database is there")
		}
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if !isAway(err) {
			return err
		}
		s.log.Error("waiting for the database, and answering 503 meanwhile", "error", err, "next", wait)
		if err := sleep.For(ctx, wait); err != nil {
			return err
		}
	}
}
