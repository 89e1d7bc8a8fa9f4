package server

import (
	"context"
	"errors"
	"time"
)

// How long, and how many, answers are kept for whoever asks again.
const (
	AnswerKept  = 24 * time.Hour
	answersKept = 100_000
)

// ErrKeyReused says that an idempotency key was used for another request before.
var ErrKeyReused = errors.New("this idempotency key was used for another request")

// Once does something at most once for a caller (the ID of a credential) and an
// idempotency key that the caller chose: everything that do changes, and the record of its
// answer, are one transaction. The same request under the same key gets the recorded
// answer and changes nothing. Once fails with ErrKeyReused if the key was used for another
// request. Failures are not recorded.
//
// do gets an Operator for that transaction, and is called again if the transaction has to
// be repeated. It must not take long, because the transaction blocks others.
func (o *Operator) Once(ctx context.Context, caller, key string, request []byte, do func(*Operator) ([]byte, error)) (answer []byte, again bool, err error) {
	content := appendFields([]byte("CPNS admin request"), caller, key, string(request))
	err = o.store.Update(ctx, func(tx Tx) error {
		answer, again = nil, false
		before, err := tx.Answer(caller, key)
		switch {
		case err == nil && !o.vault.isTag(before.Request, content):
			return ErrKeyReused
		case err == nil:
			again = true
			answer, err = o.vault.open(columnAnswer, answerRow(caller, key), before.Answer)
			return err
		case !errors.Is(err, ErrNotFound):
			return err
		}
		within := *o
		within.store = joined{o.store, tx}
		if answer, err = do(&within); err != nil {
			return err
		}
		sealed, err := o.vault.seal(columnAnswer, answerRow(caller, key), answer)
		if err != nil {
			return err
		}
		return tx.AddAnswer(Answer{Caller: caller, Key: key, Request: o.vault.requestTag(content), Answer: sealed, Created: o.now()})
	})
	return answer, again, err
}

func answerRow(caller, key string) string { return string(appendFields(nil, caller, key)) }

// joined makes all transactions part of one that is under way.
type joined struct {
	Store
	tx Tx
}

func (j joined) View(_ context.Context, f func(Tx) error) error   { return f(j.tx) }
func (j joined) Update(_ context.Context, f func(Tx) error) error { return f(j.tx) }
func (j joined) Tidy(_ context.Context, f func(Tx) error) error   { return f(j.tx) }
func (j joined) Assign(_ context.Context, q *Inquiry, decide func(*Findings) (*Outcome, error)) error {
	return q.Answer(j.tx, decide)
}

// As is the operator under the name of the one who asks.
func (o *Operator) As(name string) *Operator {
	other := *o
	other.name = name
	return &other
}

// Operator is the operator of the server's store, also of one that is away at the moment.
func (s *Server) Operator() *Operator {
	return &Operator{store: s.store, vault: s.vault, now: s.now}
}
