package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Operator does what the server's operator may do. Every change is in the audit
// log, in the same transaction. It may work on the store of a running Server.
type Operator struct {
	store Store
	vault *vault
	name  string
	now   func() time.Time

	importMost int // rows of one import; 0 for importRows
}

// NewOperator opens a store for the operator of the given name, which the audit
// log shows. It fails with ErrWrongMasterKey where the store was initialised
// under another master key. more are other master keys that it may have been changed from
// or to.
func NewOperator(ctx context.Context, store Store, key *MasterKey, name string, more ...*MasterKey) (*Operator, error) {
	v, err := newVault(key, rand.Reader, more...)
	if err != nil {
		return nil, err
	}
	bound := &boundStore{Store: signingStore{store, v}, check: v.bound}
	if err := bound.bind(ctx); err != nil {
		return nil, err
	}
	return &Operator{store: bound, vault: v, name: name, now: clockOf(store)}, nil
}

// updateWith is Update for what writes a value that was sealed before.
func (o *Operator) updateWith(ctx context.Context, sealed Sealed, f func(Tx) error) error {
	return o.store.Update(ctx, func(tx Tx) error {
		if err := o.vault.confirm(tx, sealed); err != nil {
			return err
		}
		return f(tx)
	})
}

// Now is the time by which the store goes.
func (o *Operator) Now() time.Time { return o.now() }

// event is an audit event of the operator's.
func (o *Operator) event(e Event) Event {
	e.Time = o.now()
	e.Source = "operator " + o.name
	return e
}

// AddUser adds a CPNS User. It fails with ErrExists where there is one of that ID.
func (o *Operator) AddUser(ctx context.Context, id cpns.UserID, hashes *PasswordHashes) error {
	sealed, err := hashes.seal(o.vault, id)
	if err != nil {
		return err
	}
	return o.updateWith(ctx, sealed, func(tx Tx) error {
		if err := tx.AddUser(User{ID: id, PasswordHash: sealed, Created: o.now()}); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventUserAdded, User: id}))
	})
}

// SetPassword changes a user's password and ends the user's locks. It fails with
// ErrNotFound where there is no such user.
func (o *Operator) SetPassword(ctx context.Context, id cpns.UserID, hashes *PasswordHashes) error {
	sealed, err := hashes.seal(o.vault, id)
	if err != nil {
		return err
	}
	return o.updateWith(ctx, sealed, func(tx Tx) error {
		if err := tx.SetPasswordHash(id, sealed); err != nil {
			return err
		}
		if err := tx.RemoveFailures(id); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventPasswordSet, User: id}))
	})
}

// Unlock ends a user's locks at all gateways, and forgets the failures that made them. It
// says false where the user was neither locked out nor slowed: then few failures are
// forgotten, or none. It fails with ErrNotFound where there is no such user.
func (o *Operator) Unlock(ctx context.Context, id cpns.UserID) (changed bool, err error) {
	err = o.store.Update(ctx, func(tx Tx) error {
		u, err := tx.User(id)
		if err != nil {
			return err
		}
		was, err := statusOf(tx, []User{u}, o.now())
		if err != nil {
			return err
		}
		changed = len(was[0].Locks) > 0 || was[0].Slowed
		if err := tx.RemoveFailures(id); err != nil || !changed {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventUserUnlocked, User: id}))
	})
	return changed, err
}

// SetDisabled disables or enables a user. Who is disabled is answered as one who is not
// known; password, locks and PNEs stay, and gateways go on with the sets that they have.
// It says false where the user is so already, and fails with ErrNotFound where there is
// no such user.
func (o *Operator) SetDisabled(ctx context.Context, id cpns.UserID, disabled bool) (changed bool, err error) {
	err = o.store.Update(ctx, func(tx Tx) error {
		changed = false
		u, err := tx.User(id)
		if err != nil || u.Disabled == disabled {
			return err
		}
		if err := tx.SetUserDisabled(id, disabled); err != nil {
			return err
		}
		changed = true
		kind := EventUserEnabled
		if disabled {
			kind = EventUserDisabled
		}
		return tx.AddEvent(o.event(Event{Kind: kind, User: id}))
	})
	return changed, err
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
		owned, err := tx.CountPNEsOf(id)
		if err != nil {
			return err
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

// A SamePSK1Error says that another gateway has the PSK1: each could be the other.
type SamePSK1Error struct{ Gateway cpns.GatewayID }

func (e *SamePSK1Error) Error() string { return fmt.Sprintf("gateway %s has the same PSK1", e.Gateway) }

// AddGateway adds a gateway and the PSK1 that it shares with the server. It fails
// with ErrExists where a gateway has that ID or that identity, and with a
// *SamePSK1Error where another has that PSK1.
func (o *Operator) AddGateway(ctx context.Context, id cpns.GatewayID, identity cpns.PSKIdentity, psk cpns.PSK1) error {
	sealed, err := o.vault.seal(columnPSK1, psk1Row(id, identity), psk)
	if err != nil {
		return err
	}
	tag := o.vault.psk1Tag(psk)
	return o.updateWith(ctx, sealed, func(tx Tx) error {
		_, byID := tx.Gateway(id)
		_, byIdentity := tx.PSK1(identity)
		other, byPSK1 := o.vault.hasPSK1(tx, psk)
		switch {
		case byID == nil || byIdentity == nil:
			return ErrExists
		case byPSK1 == nil:
			return &SamePSK1Error{other.Gateway}
		}
		now := o.now()
		if err := tx.AddGateway(Gateway{ID: id, Created: now}); err != nil {
			return err
		}
		if err := tx.AddPSK1(PSK1{Identity: identity, Gateway: id, Source: SourceFile, Key: sealed, Tag: tag, Created: now}); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventGatewayAdded, Gateway: id}))
	})
}

// AddGatewayIMPI adds a gateway whose PSK1s come from GBA: that of the SIM with an IMPI.
// It fails with ErrExists where a gateway has that ID or that IMPI.
func (o *Operator) AddGatewayIMPI(ctx context.Context, id cpns.GatewayID, impi string) error {
	if err := CheckIMPI(impi); err != nil {
		return err
	}
	return o.store.Update(ctx, func(tx Tx) error {
		if err := tx.AddGateway(Gateway{ID: id, IMPI: impi, Created: o.now()}); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventGatewayAdded, Gateway: id, Detail: "IMPI " + impi}))
	})
}

// SetIMPI makes the SIM with an IMPI that of a gateway: in place of the one before, whose
// PSK1s end at once, or of the PSK1 of a file, which stays good until it is removed. It
// fails with ErrExists where a gateway has that IMPI, and with ErrNotFound where there is
// no gateway of that ID.
func (o *Operator) SetIMPI(ctx context.Context, id cpns.GatewayID, impi string) error {
	if err := CheckIMPI(impi); err != nil {
		return err
	}
	return o.store.Update(ctx, func(tx Tx) error {
		g, err := tx.Gateway(id)
		if err != nil {
			return err
		}
		if g.Key != (cpns.SPKIHash{}) {
			return refused("gateway %s is known by its key, and needs no SIM", id)
		}
		if _, err := tx.GatewayByIMPI(impi); err == nil {
			return ErrExists
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		all, err := tx.PSK1sOf(id)
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.Source == SourceGBA {
				if err := tx.RemovePSK1(p.Identity); err != nil {
					return err
				}
			}
		}
		g.IMPI = impi
		if err := tx.SetGateway(g); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventIMPISet, Gateway: id, Detail: "IMPI " + impi}))
	})
}

// RemoveGateway removes a gateway with its PSK1s: its next request is refused, and
// its key enrols nothing without a person. What was assigned through it stays. It
// fails with ErrNotFound where there is none.
func (o *Operator) RemoveGateway(ctx context.Context, id cpns.GatewayID) error {
	return o.store.Update(ctx, func(tx Tx) error {
		g, err := tx.Gateway(id)
		if err != nil {
			return err
		}
		if err := dropKey(tx, g, o.now()); err != nil {
			return err
		}
		if err := tx.RemoveGateway(id); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventGatewayRemoved, Gateway: id}))
	})
}

// Release makes a PNE nobody's: the next user to ask for its EUKeys becomes its
// owner, with a new epoch. The sets that it was assigned are erased from the
// server. It says false where it was nobody's already, and fails with ErrNotFound where
// the server does not know the PNE.
func (o *Operator) Release(ctx context.Context, e cpns.EntityID) (changed bool, err error) {
	err = o.store.Update(ctx, func(tx Tx) error {
		pne, err := tx.PNE(e)
		if changed = err == nil && pne.Owner != ""; !changed {
			return err
		}
		owner := pne.Owner
		pne.Owner = ""
		if err := tx.SetOwner(pne); err != nil {
			return err
		}
		if err := tx.EraseKeys(e); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventPNEReleased, User: owner, Entity: e, Epoch: pne.Epoch}))
	})
	return changed, err
}

// A NoUserError says that there is no user of that ID.
type NoUserError struct{ User cpns.UserID }

func (e *NoUserError) Error() string { return fmt.Sprintf("there is no user %s", e.User) }

// GiveTo makes a PNE a user's, whoever owned it. The sets of the owner before are
// erased from the server; the next assignment has a new epoch. It says false where the
// PNE is the user's already, and fails with ErrNotFound where the server does not know
// the PNE, and with a *NoUserError where it does not know the user.
func (o *Operator) GiveTo(ctx context.Context, e cpns.EntityID, owner cpns.UserID) (changed bool, err error) {
	err = o.store.Update(ctx, func(tx Tx) error {
		changed = false
		pne, err := tx.PNE(e)
		if err != nil {
			return err
		}
		if _, err := tx.User(owner); errors.Is(err, ErrNotFound) {
			return &NoUserError{owner}
		} else if err != nil {
			return err
		}
		if pne.Owner == owner {
			return nil
		}
		detail := "nobody's before"
		if pne.Owner != "" {
			detail = "of " + string(pne.Owner) + " before"
		}
		pne.Owner, pne.Gateway, pne.Assigned = owner, "", time.Time{}
		if err := errors.Join(tx.SetOwner(pne), tx.EraseKeys(e)); err != nil {
			return err
		}
		changed = true
		return tx.AddEvent(o.event(Event{Kind: EventOwnerSet, User: owner, Entity: e, Epoch: pne.Epoch, Detail: detail}))
	})
	return changed, err
}

// PNE is what the server knows of a PNE. It fails with ErrNotFound where that is
// nothing.
func (o *Operator) PNE(ctx context.Context, e cpns.EntityID) (p PNE, err error) {
	err = o.store.View(ctx, func(tx Tx) (err error) {
		p, err = tx.PNE(e)
		return err
	})
	return p, err
}

// SetTK replaces the Temporary Key of a PNE that was imported with a wrong one.
// Owner, epoch and sets stay; gateways get the new one with their next request.
// It fails with ErrNotFound where the server does not know the PNE.
func (o *Operator) SetTK(ctx context.Context, e cpns.EntityID, tk cpns.TK) error {
	if err := CheckTK(tk); err != nil {
		return err
	}
	if _, err := o.PNE(ctx, e); err != nil { // before all others are looked at
		return err
	}
	if other, err := o.withTK(ctx, digestOf(tk), e); err != nil {
		return err
	} else if other != "" {
		return refused("TK: PNE %s has the same", other)
	}
	sealed, err := o.vault.seal(columnTK, string(e), tk)
	if err != nil {
		return err
	}
	return o.updateWith(ctx, sealed, func(tx Tx) error {
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

// Gateways calls f with every gateway and its PSK1s, the newest first, in the order
// of the gateways' IDs, until f fails.
func (o *Operator) Gateways(ctx context.Context, f func(Gateway, []PSK1) error) error {
	return each(ctx, o.store, Tx.GatewaysAfter, func(g Gateway) cpns.GatewayID { return g.ID }, func(g Gateway) error {
		var keys []PSK1
		err := o.store.View(ctx, func(tx Tx) (err error) {
			keys, err = tx.PSK1sOf(g.ID)
			return err
		})
		if err != nil {
			return err
		}
		return f(g, keys)
	})
}

// PNEs calls f with every PNE that a filter wants, in the order of their Entity IDs,
// until f fails.
func (o *Operator) PNEs(ctx context.Context, wanted PNEFilter, f func(PNE) error) error {
	after := func(tx Tx, e cpns.EntityID, limit int) ([]PNE, error) { return tx.PNEsAfter(wanted, e, limit) }
	return each(ctx, o.store, after, func(p PNE) cpns.EntityID { return p.Entity }, f)
}

// Audit calls f with every audit event since a time, the oldest first, until f
// fails.
func (o *Operator) Audit(ctx context.Context, since time.Time, f func(Event) error) error {
	after := func(tx Tx, seq int64, limit int) ([]Event, error) { return tx.EventsAfter(seq, since, limit) }
	return each(ctx, o.store, after, func(e Event) int64 { return e.Seq }, f)
}

// pageRows are the rows that a listing reads at a time.
const pageRows = 500

// each calls f with every row of a listing, after the transaction that read it.
func each[K, T any](ctx context.Context, store Store, after func(tx Tx, key K, limit int) ([]T, error), keyOf func(T) K, f func(T) error) error {
	var key K
	for {
		var page []T
		err := store.View(ctx, func(tx Tx) (err error) {
			page, err = after(tx, key, pageRows)
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range page {
			if err := f(row); err != nil {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
		key = keyOf(page[len(page)-1])
	}
}
