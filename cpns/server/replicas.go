package server

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Several servers may answer from one store, behind a balancer that gives a gateway's
// requests to any of them. What they have to hold together lies in the store:
// assignments, owners, failures and locks, first claims, PSK1s. What is counted in
// memory, the budgets, is divided: each server says every ten seconds that it is
// there, and gives a share of each budget, one by the number of those that did so
// lately. One that begins takes its share at once, the others make room for it within
// ten seconds; one that ends is missed after a while.
const (
	replicaEvery = 10 * time.Second
	replicaKept  = 35 * time.Second // without a word of it
	leaveTime    = 2 * time.Second  // that a server may take to say that it ends
)

// countUntil says that this server is there, and divides the budgets, until ctx ends.
func (s *Server) countUntil(ctx context.Context) {
	ticker := time.NewTicker(replicaEvery)
	defer ticker.Stop()
	for {
		if err := s.countReplicas(ctx); err != nil && ctx.Err() == nil && !isAway(err) {
			s.log.Error("counting the servers", "error", err)
		}
		select {
		case <-ctx.Done():
			s.leave(ctx)
			return
		case <-ticker.C:
		}
	}
}

// enter is done before a server answers its first request: it has to be among those of
// its store, or a change of the master key would not wait for it, and to know how that
// stands after.
func (s *Server) enter(ctx context.Context) error {
	if s.entered.Load() || !s.serving.Load() {
		return nil
	}
	if err := s.countReplicas(ctx); err != nil {
		return err
	}
	s.store.last.Store(nil)
	if err := s.store.bind(ctx); err != nil {
		return err
	}
	s.entered.Store(true)
	return nil
}

// afterEntering is a handler that answers once the server has entered.
func (s *Server) afterEntering(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.enter(r.Context()); err != nil {
			s.fail(w, s.visitOf(r), err)
			return
		}
		h(w, r)
	}
}

// leave says that this server is there no more. Where that fails it is missed later.
func (s *Server) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	err := s.store.Update(ctx, func(tx Tx) error { return tx.RemoveReplica(s.replica.ID) })
	if err != nil && !errors.Is(err, ErrNotFound) && !isAway(err) {
		s.log.Error("leaving the list of servers", "error", err)
	}
}

// learnNext takes up a master key that is going to be the next one.
func (s *Server) learnNext() {
	if s.nextKey == nil {
		return
	}
	key, err := s.nextKey()
	if err == nil && key != nil {
		err = s.vault.learn(key)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != s.keyErr {
		s.log.Error("reading the next master key", "error", err)
	}
	s.keyErr = text
}

func (s *Server) countReplicas(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s.counting.Lock()
	defer s.counting.Unlock()
	s.learnNext()
	n := 0
	err := s.store.Update(ctx, func(tx Tx) (err error) {
		now := s.now()
		is := s.replica
		is.Seen, is.Keys = now, s.vault.keyIDs()
		if err := tx.SetReplica(is); err != nil {
			return err
		}
		n, err = tx.CountReplicas(now.Add(-replicaKept))
		return err
	})
	if err != nil {
		return err // the last number holds
	}
	s.divide(n)
	return nil
}

// Replicas counts the servers that answer from the store: those that were there in the
// last while.
func (o *Operator) Replicas(ctx context.Context) (n int, err error) {
	err = o.store.View(ctx, func(tx Tx) (err error) {
		n, err = tx.CountReplicas(o.now().Add(-replicaKept))
		return err
	})
	return n, err
}

// divide gives this server its share of the budgets that n servers have together.
func (s *Server) divide(n int) {
	n = max(n, 1)
	s.tally.replicas.Store(int64(n))
	s.sources.divide(n)
	s.gateways.divide(n)
	s.bootstraps.divide(n)
	s.slowed.divide(n)
}

// isAway reports whether an error is that of a store that may come back.
func isAway(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}
