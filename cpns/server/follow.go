package server

import (
	"context"
	"errors"
	"time"
)

const followEvery = time.Second

// A Log is where audit events are read from as they come: a store, or the server that
// has it.
type Log interface {
	Now() time.Time
	// Audit calls f with every event since a time, the oldest first.
	Audit(ctx context.Context, since time.Time, f func(Event) error) error
	// Settled says how far the log is sealed.
	Settled(ctx context.Context) (Settled, error)
	// Look calls f with what the log is at the moment.
	Look(ctx context.Context, f func(LogPages) error) error
	// IsAway says whether an error is that of a log that may come back.
	IsAway(error) bool
}

// LogPages are what there is of [Events] to be read.
type LogPages interface {
	EventsAfter(seq int64, since time.Time, limit int) ([]Event, error)
	EventsAt(seqs []int64) ([]Event, error)
}

// Settled says which events there are for good: those up to a number, but for some that
// may still come, ascending.
type Settled struct {
	Upto    int64
	Missing []int64
}

// Follow calls f with every audit event since a time, and with each that comes, until ctx
// ends or f fails. An event comes within a second or two of its being there, also where
// others with higher numbers, however many, were there before. While the log is away,
// away is told why, once each time, and with nil when it is back.
func Follow(ctx context.Context, log Log, since time.Time, f func(Event) error, away func(error)) error {
	settled, err := log.Settled(ctx)
	if err != nil {
		return err
	}
	t := tail{upto: settled.Upto}
	for _, seq := range settled.Missing { // what may still come is waited for by this clock
		t.missing = append(t.missing, gap{seq, log.Now().Unix()})
	}
	if err := sealedSince(ctx, log, since, &t, f); err != nil {
		return err
	}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for isThere := true; ; {
		next, page := t.clone(), []Event(nil)
		err := log.Look(ctx, func(pages LogPages) (err error) {
			next = t.clone()
			page, err = next.read(pages, log.Now(), pageRows)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !log.IsAway(err):
			return err
		case (err == nil) != isThere:
			isThere = err == nil
			away(err)
		}
		if err == nil {
			for _, e := range page {
				if !e.Time.Before(since) {
					if err := f(e); err != nil {
						return err
					}
				}
			}
			t = next
			if len(page) >= pageRows {
				continue // there are more
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sealedSince calls f with the events that a tail has behind it.
func sealedSince(ctx context.Context, log Log, since time.Time, t *tail, f func(Event) error) error {
	still := make(map[int64]bool)
	for _, g := range t.missing {
		still[g.seq] = true
	}
	errBeyond := errors.New("beyond what is sealed")
	err := log.Audit(ctx, since, func(e Event) error {
		switch {
		case e.Seq > t.upto:
			return errBeyond
		case still[e.Seq]:
			return nil
		}
		return f(e)
	})
	if err == errBeyond {
		return nil
	}
	return err
}

// Follow is [Follow] of the store's log.
func (o *Operator) Follow(ctx context.Context, since time.Time, f func(Event) error, away func(error)) error {
	return Follow(ctx, o, since, f, away)
}

// Settled says how far the log is sealed.
func (o *Operator) Settled(ctx context.Context) (s Settled, err error) {
	var t tail
	err = o.store.View(ctx, func(tx Tx) error {
		last, err := lastSeal(tx)
		if err != nil {
			return err
		}
		missing, err := tx.Setting(tailSetting)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		t = tail{upto: last.Upto}
		return t.unpack(missing)
	})
	s.Upto = t.upto
	for _, g := range t.missing {
		s.Missing = append(s.Missing, g.seq)
	}
	return s, err
}

// Look calls f with the log in one state of the store.
func (o *Operator) Look(ctx context.Context, f func(LogPages) error) error {
	return o.store.View(ctx, func(tx Tx) error { return f(tx) })
}

// IsAway says whether an error is that of a store that may come back.
func (o *Operator) IsAway(err error) bool { return isAway(err) }

// EventsAt are the events of some numbers, as many as there are.
func (o *Operator) EventsAt(ctx context.Context, seqs []int64) (rows []Event, err error) {
	err = o.store.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.EventsAt(seqs)
		return err
	})
	return rows, err
}
