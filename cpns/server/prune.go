package server

import (
	"context"
	"time"
)

const (
	pruneEvery = time.Minute
	pruneAtOne = 5000 // events in one transaction: gateways wait for its end
)

// pruneUntil removes what has had its time from the store, once a minute.
func (s *Server) pruneUntil(ctx context.Context) {
	ticker := time.NewTicker(s.pruneEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.prune(ctx); err != nil && ctx.Err() == nil && !isAway(err) {
				s.log.Error("pruning the store", "error", err)
			}
		}
	}
}

// prune removes from the store what has had its time, and the oldest events where
// there are too many. Nothing depends on when it last ran: it only keeps the store
// small.
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
		removed := 0
		err := s.store.Tidy(ctx, func(tx Tx) (err error) {
			removed, err = tx.PruneEvents(old, s.auditRows, pruneAtOne)
			return err
		})
		if err != nil || removed < pruneAtOne {
			return err
		}
	}
}
