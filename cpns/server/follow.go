package server

import (
	"context"
	"errors"
	"time"
)

const followEvery = time.Second

// Follow calls f with every audit event since a time, and with each that comes, until ctx
// ends or f fails. An event comes within a second or two of its being there, also where
// others with higher numbers were there before. While the database is away, away is
// told why, once each time, and with nil when it is back.
func (o *Operator) Follow(ctx context.Context, since time.Time, f func(Event) error, away func(error)) error {
	var t tail
	err := o.store.View(ctx, func(tx Tx) error {
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
	if err != nil {
		return err
	}
	for n := range t.missing { // what may still come is waited for by this clock
		t.missing[n].since = o.now().Unix()
	}
	if err := o.sealedSince(ctx, since, &t, f); err != nil {
		return err
	}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for isThere := true; ; {
		next, page := t.clone(), []Event(nil)
		err := o.store.View(ctx, func(tx Tx) (err error) {
			next = t.clone()
			page, err = next.read(tx, o.now(), pageRows)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !isAway(err):
			return err
		case (err == nil) != isThere:
			isThere = err == nil
			away(err)
		}
		for _, e := range page {
			if !e.Time.Before(since) {
				if err := f(e); err != nil {
					return err
				}
			}
		}
		if err == nil {
			t = next
		}
		if len(page) >= pageRows {
			continue // there are more
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sealedSince calls f with the events that a tail has behind it.
func (o *Operator) sealedSince(ctx context.Context, since time.Time, t *tail, f func(Event) error) error {
	still := make(map[int64]bool)
	for _, g := range t.missing {
		still[g.seq] = true
	}
	errBeyond := errors.New("beyond what is sealed")
	err := o.Audit(ctx, since, func(e Event) error {
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
