package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Listings by the page, for whoever asks for one page at a time: each begins after a
// key, "" or 0 for the first, and ends after limit rows.

// page reads one page in a transaction of its own.
func page[K, T any](ctx context.Context, o *Operator, after func(Tx, K, int) ([]T, error), key K, limit int) (rows []T, err error) {
	err = o.store.View(ctx, func(tx Tx) (err error) {
		rows, err = after(tx, key, limit)
		return err
	})
	return rows, err
}

// withPrefix is a listing of IDs that begin with a prefix, by one of all IDs.
func withPrefix[K ~string, T any](prefix K, one func(Tx, K) (T, error), after func(Tx, K, int) ([]T, error), keyOf func(T) K) func(Tx, K, int) ([]T, error) {
	return func(tx Tx, key K, limit int) (rows []T, err error) {
		if key < prefix { // the prefix itself is the first that has it
			key = prefix
			first, err := one(tx, prefix)
			if err == nil {
				rows = append(rows, first)
			} else if !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
		if limit -= len(rows); limit <= 0 {
			return rows, nil
		}
		more, err := after(tx, key, limit)
		for _, row := range more {
			if !strings.HasPrefix(string(keyOf(row)), string(prefix)) {
				break
			}
			rows = append(rows, row)
		}
		return rows, err
	}
}

// UsersAfter are users whose IDs begin with a prefix, in the order of their IDs.
func (o *Operator) UsersAfter(ctx context.Context, prefix, id cpns.UserID, limit int) ([]UserStatus, error) {
	users := withPrefix(prefix, Tx.User, Tx.UsersAfter, func(u User) cpns.UserID { return u.ID })
	return page(ctx, o, func(tx Tx, id cpns.UserID, limit int) ([]UserStatus, error) {
		rows, err := users(tx, id, limit)
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		return statusOf(tx, rows, o.now())
	}, id, limit)
}

// A GatewayWithKeys is a gateway and its PSK1s, the newest first.
type GatewayWithKeys struct {
	Gateway
	PSK1s []PSK1
}

// GatewaysAfter are gateways whose IDs begin with a prefix, in the order of their IDs.
func (o *Operator) GatewaysAfter(ctx context.Context, prefix, id cpns.GatewayID, limit int) ([]GatewayWithKeys, error) {
	withKeys := func(tx Tx, id cpns.GatewayID, limit int) (all []GatewayWithKeys, err error) {
		gateways, err := withPrefix(prefix, Tx.Gateway, Tx.GatewaysAfter, func(g Gateway) cpns.GatewayID { return g.ID })(tx, id, limit)
		if err != nil {
			return nil, err
		}
		for _, g := range gateways {
			keys, err := tx.PSK1sOf(g.ID)
			if err != nil {
				return nil, err
			}
			all = append(all, GatewayWithKeys{g, keys})
		}
		return all, nil
	}
	return page(ctx, o, withKeys, id, limit)
}

// PNEsAfter are the PNEs that a filter wants, in the order of their Entity IDs.
func (o *Operator) PNEsAfter(ctx context.Context, wanted PNEFilter, e cpns.EntityID, limit int) ([]PNE, error) {
	return page(ctx, o, func(tx Tx, e cpns.EntityID, limit int) ([]PNE, error) { return tx.PNEsAfter(wanted, e, limit) }, e, limit)
}

// InvitationsAfter are invitations in the order of their IDs.
func (o *Operator) InvitationsAfter(ctx context.Context, id string, limit int) ([]Invitation, error) {
	return page(ctx, o, Tx.InvitationsAfter, id, limit)
}

// CredentialsAfter are credentials in the order of their names.
func (o *Operator) CredentialsAfter(ctx context.Context, name string, limit int) ([]Credential, error) {
	return page(ctx, o, Tx.CredentialsAfter, name, limit)
}

// EventsAfter are audit events since a time, the oldest first.
func (o *Operator) EventsAfter(ctx context.Context, seq int64, since time.Time, limit int) ([]Event, error) {
	return page(ctx, o, func(tx Tx, seq int64, limit int) ([]Event, error) { return tx.EventsAfter(seq, since, limit) }, seq, limit)
}
