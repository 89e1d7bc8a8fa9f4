package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Operator does what the server's operator may do. Every change is in the audit
// log, in the same transaction. It may work on the store of a running Server.
type Operator struct {
	store Store
	vault *vault
	name  string
}

// NewOperator opens a store for the operator of the given name, which the audit
// log shows. It fails with ErrWrongMasterKey where the store was initialised
// under another master key.
func NewOperator(ctx context.Context, store Store, key *MasterKey, name string) (*Operator, error) {
	v, err := openVault(ctx, store, key, rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Operator{store: store, vault: v, name: name}, nil
}

// event is an audit event of the operator's.
func (o *Operator) event(e Event) Event {
	e.Time = time.Now()
	e.Source = "operator " + o.name
	return e
}

// AddUser adds a CPNS User. It fails with ErrExists where there is one of that ID.
func (o *Operator) AddUser(ctx context.Context, id cpns.UserID, hash *cpns.PasswordHash) error {
	sealed, err := o.vault.seal(columnPasswordHash, string(id), hash[:])
	if err != nil {
		return err
	}
	return o.store.Update(ctx, func(tx Tx) error {
		if err := tx.AddUser(User{ID: id, PasswordHash: sealed, Created: time.Now()}); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventUserAdded, User: id}))
	})
}

// SetPassword changes a user's password and ends the user's locks. It fails with
// ErrNotFound where there is no such user.
func (o *Operator) SetPassword(ctx context.Context, id cpns.UserID, hash *cpns.PasswordHash) error {
	sealed, err := o.vault.seal(columnPasswordHash, string(id), hash[:])
	if err != nil {
		return err
	}
	return o.store.Update(ctx, func(tx Tx) error {
		if err := tx.SetPasswordHash(id, sealed); err != nil {
			return err
		}
		if err := tx.RemoveFailures(id); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventPasswordSet, User: id}))
	})
}

// An OwnsError says that a user cannot be removed while PNEs are theirs: another
// person who gets the same ID later would own them.
type OwnsError struct {
	User cpns.UserID
	PNEs int
}

func (e *OwnsError) Error() string {
	return fmt.Sprintf("user %s owns PNEs, %d in all", e.User, e.PNEs)
}

// RemoveUser removes a user who owns no PNE; otherwise it fails with an
// *OwnsError, and with ErrNotFound where there is no such user.
func (o *Operator) RemoveUser(ctx context.Context, id cpns.UserID) error {
	return o.store.Update(ctx, func(tx Tx) error {
		owned := 0
		for _, err := range tx.PNEsOf(id) {
			if err != nil {
				return err
			}
			owned++
		}
		if owned > 0 {
			return &OwnsError{User: id, PNEs: owned}
		}
		if err := tx.RemoveUser(id); err != nil {
			return err
		}
		if err := tx.RemoveFailures(id); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventUserRemoved, User: id}))
	})
}

// AddGateway adds a gateway and the PSK1 that it shares with the server. It fails
// with ErrExists where a gateway has that ID or that identity.
func (o *Operator) AddGateway(ctx context.Context, id cpns.GatewayID, identity cpns.PSKIdentity, psk cpns.PSK1) error {
	sealed, err := o.vault.seal(columnPSK1, string(id), psk)
	if err != nil {
		return err
	}
	return o.store.Update(ctx, func(tx Tx) error {
		if err := tx.AddGateway(Gateway{ID: id, Identity: identity, PSK1: sealed, Created: time.Now()}); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventGatewayAdded, Gateway: id}))
	})
}

// RemoveGateway removes a gateway: its next request is refused. What was
// assigned through it stays. It fails with ErrNotFound where there is none.
func (o *Operator) RemoveGateway(ctx context.Context, id cpns.GatewayID) error {
	return o.store.Update(ctx, func(tx Tx) error {
		if err := tx.RemoveGateway(id); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventGatewayRemoved, Gateway: id}))
	})
}

// Release makes a PNE nobody's: the next user to ask for its EUKeys becomes its
// owner, with a new epoch. The sets that it was assigned are erased from the
// server. It fails with ErrNotFound where the server does not know the PNE.
func (o *Operator) Release(ctx context.Context, e cpns.EntityID) error {
	return o.store.Update(ctx, func(tx Tx) error {
		pne, err := tx.PNE(e)
		if err != nil {
			return err
		}
		if err := tx.SetOwner(e, "", pne.Epoch); err != nil {
			return err
		}
		if err := tx.EraseKeys(e); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventPNEReleased, User: pne.Owner, Entity: e, Epoch: pne.Epoch}))
	})
}

// SetTK replaces the Temporary Key of a PNE that was imported with a wrong one.
// Owner, epoch and sets stay; gateways get the new one with their next request.
// It fails with ErrNotFound where the server does not know the PNE.
func (o *Operator) SetTK(ctx context.Context, e cpns.EntityID, tk cpns.TK) error {
	sealed, err := o.vault.seal(columnTK, string(e), tk)
	if err != nil {
		return err
	}
	return o.store.Update(ctx, func(tx Tx) error {
		if err := tx.SetTK(e, sealed); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventTKSet, Entity: e}))
	})
}

// RemovePNE removes a PNE with its Temporary Key and its sets, whoever owns it.
// Imported again it is nobody's, and its epochs go on. It fails with ErrNotFound
// where the server does not know the PNE.
func (o *Operator) RemovePNE(ctx context.Context, e cpns.EntityID) error {
	return o.store.Update(ctx, func(tx Tx) error {
		pne, err := tx.PNE(e)
		if err != nil {
			return err
		}
		if err := tx.RemovePNE(e); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventPNERemoved, User: pne.Owner, Entity: e, Epoch: pne.Epoch}))
	})
}

// Users calls f with every user, in the order of their IDs, until f fails.
func (o *Operator) Users(ctx context.Context, f func(User) error) error {
	return each(ctx, o.store, Tx.AllUsers, f)
}

// Gateways calls f with every gateway, in the order of their IDs, until f fails.
func (o *Operator) Gateways(ctx context.Context, f func(Gateway) error) error {
	return each(ctx, o.store, Tx.AllGateways, f)
}

// PNEs calls f with every PNE, in the order of their Entity IDs, until f fails.
func (o *Operator) PNEs(ctx context.Context, f func(PNE) error) error {
	return each(ctx, o.store, Tx.AllPNEs, f)
}

// Audit calls f with every audit event since a time, the oldest first, until f
// fails.
func (o *Operator) Audit(ctx context.Context, since time.Time, f func(Event) error) error {
	events := func(tx Tx) iter.Seq2[Event, error] { return tx.EventsSince(since) }
	return each(ctx, o.store, events, f)
}

// each calls f with every row of a listing.
func each[T any](ctx context.Context, store Store, rows func(Tx) iter.Seq2[T, error], f func(T) error) error {
	return store.View(ctx, func(tx Tx) error {
		for row, err := range rows(tx) {
			if err != nil {
				return err
			}
			if err := f(row); err != nil {
				return err
			}
		}
		return nil
	})
}
