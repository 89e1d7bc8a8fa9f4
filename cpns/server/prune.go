package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	pruneEvery = time.Minute
	pruneAtOne = 10 // seals in one transaction with their events: gateways wait for its end
)

// pruneUntil removes expired data from the store once a minute, until ctx ends.
func (s *Server) pruneUntil(ctx context.Context) {
	s.regularly(ctx, s.pruneEvery, "pruning the store", s.prune)
}

// regularly calls do again and again until ctx ends. It logs errors, except that the store
// is away, which is logged elsewhere.
func (s *Server) regularly(ctx context.Context, every time.Duration, what string, do func(context.Context) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := do(ctx); err != nil && ctx.Err() == nil && !isAway(err) {
				s.log.Error(what, "error", err)
			}
		}
	}
}

// prune removes expired data from the store, and the oldest events if there are too many.
// It only keeps the store small: nothing depends on when it last ran.
func (s *Server) prune(ctx context.Context) error {
	now := s.now()
	var old time.Time // before which events are too old; none is while the clock is not to be trusted
	if s.clock.steady(now, s.passed()) {
		old = now.Add(-AuditKept)
		err := s.store.Tidy(ctx, func(tx Tx) error {
			if err := tx.PruneFailures(now.Add(-failuresKept)); err != nil {
				return err
			}
			if err := tx.PruneClaims(now.Add(-claimDay)); err != nil {
				return err
			}
			if err := tx.PruneReplicas(now.Add(-replicaKept)); err != nil {
				return err
			}
			if err := tx.PruneAnswers(now.Add(-AnswerKept), answersKept); err != nil {
				return err
			}
			return pruneStep0(tx, now)
		})
		if err != nil {
			return err
		}
	}
	for {
		more := false
		err := s.store.Tidy(ctx, func(tx Tx) (err error) {
			more, err = s.pruneEvents(tx, old)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
}

// pruneEvents removes the events under the first seals, where they are older than that
// or there are too many, with the seals. An anchor stays, which the next seal follows.
// It says whether there may be more.
func (s *Server) pruneEvents(tx Tx, old time.Time) (bool, error) {
	k, err := s.vault.findAuditKey(tx)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	last, err := lastSeal(tx)
	if err != nil {
		return false, err
	}
	from, err := anchorOf(tx)
	if err != nil {
		return false, err
	}
	before := from.seal()
	seals, err := tx.SealsAfter(before.Number, pruneAtOne)
	if err != nil {
		return false, err
	}
	removed := 0
	for _, seal := range seals {
		many := last.Total-before.Total > int64(s.auditRows)
		if !many && !seal.Time.Before(old) || seal.Number == last.Number {
			break
		}
		entries, err := seal.entries()
		if err != nil {
			return false, fmt.Errorf("seal %d of the audit log: %w", seal.Number, err)
		}
		seqs := make([]int64, len(entries))
		for n, e := range entries {
			seqs[n] = e.seq
		}
		if err := tx.RemoveEvents(seqs); err != nil {
			return false, err
		}
		if err := tx.RemoveSeal(seal.Number); err != nil {
			return false, err
		}
		removed++
		before = seal
	}
	if removed == 0 {
		return false, nil
	}
	text, err := k.anchorAt(&before)
	if err != nil {
		return false, err
	}
	return removed == len(seals), tx.SetSetting(anchorSetting, text)
}
