package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// What an invitation may be. Every proof is tried against all of them, so there are
// not too many; those that ended lately are among them.
const (
	MaxInvitationUses  = 1000
	MaxInvitationValid = 365 * 24 * time.Hour
	maxInvitations     = 1000
)

// Invite makes an invitation for as many gateways as it has uses, and gives the secret
// that goes into its code. One for a gateway of a name has one use.
func (o *Operator) Invite(ctx context.Context, id cpns.GatewayID, uses int, valid time.Duration) (*cpns.EnrolmentSecret, time.Time, error) {
	switch {
	case uses < 1 || uses > MaxInvitationUses:
		return nil, time.Time{}, refused("a code is for 1 to %d gateways, and not for %d", MaxInvitationUses, uses)
	case id != "" && uses != 1:
		return nil, time.Time{}, refused("a code that names a gateway is for one")
	case valid < time.Minute || valid > MaxInvitationValid:
		return nil, time.Time{}, refused("a code is valid for 1 minute to 365 days")
	}
	var secret cpns.EnrolmentSecret
	var name [8]byte
	rand.Read(secret[:])
	rand.Read(name[:])
	now := o.now()
	i := Invitation{ID: hex.EncodeToString(name[:]), Gateway: id, Uses: uses, Created: now, Ends: now.Add(valid)}
	var err error
	if i.Secret, err = o.vault.seal(columnInvitation, i.ID, secret[:]); err != nil {
		return nil, time.Time{}, err
	}
	err = o.updateWith(ctx, i.Secret, func(tx Tx) error {
		if n, err := tx.CountInvitations(); err != nil {
			return err
		} else if n >= maxInvitations { // those that ended lately are not needed
			if err := tx.PruneInvitations(now); err != nil {
				return err
			}
			if n, err = tx.CountInvitations(); err != nil {
				return err
			} else if n >= maxInvitations {
				return refused("there are %d codes that are still valid: make one for several gateways", n)
			}
		}
		if err := tx.AddInvitation(i); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventGatewayInvited, Gateway: id, Detail: fmt.Sprintf("code %s, uses: %d, until %s", i.ID, uses, i.Ends.UTC().Format(time.RFC3339))}))
	})
	return &secret, i.Ends, err
}

// Invitations calls f with every invitation that is kept, in the order of their IDs,
// until f fails.
func (o *Operator) Invitations(ctx context.Context, f func(Invitation) error) error {
	return each(ctx, o.store, Tx.InvitationsAfter, func(i Invitation) string { return i.ID }, f)
}

// Revoke ends an invitation: nobody else comes in by it. Who has come in stays. It
// fails with ErrNotFound where there is none of that ID.
func (o *Operator) Revoke(ctx context.Context, id string) error {
	return o.store.Update(ctx, func(tx Tx) error {
		i, err := tx.Invitation(id)
		if err != nil {
			return err
		}
		if now := o.now(); now.Before(i.Ends) {
			i.Ends = now
		}
		if err := tx.SetInvitation(id, i.Bound, i.Ends); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventCodeRevoked, Gateway: i.Gateway, Detail: "code " + id}))
	})
}

// IsKnown says whether there is a gateway of an ID.
func (o *Operator) IsKnown(ctx context.Context, id cpns.GatewayID) (bool, error) {
	err := o.store.View(ctx, func(tx Tx) error {
		_, err := tx.Gateway(id)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Where gateways reach the server, as far as it is known: the settings that init and
// run leave for invitations.
const (
	settingHost = "server-host"
	settingPort = "server-port"
)

// RememberHost keeps the host name by which gateways reach the server, unless one is
// kept already.
func RememberHost(ctx context.Context, store Store, host string) error {
	return store.Update(ctx, func(tx Tx) error {
		if err := tx.AddSetting(settingHost, []byte(host)); !errors.Is(err, ErrExists) {
			return err
		}
		return nil
	})
}

// RememberPort keeps the port by which gateways reach the server.
func RememberPort(ctx context.Context, store Store, port string) error {
	return store.Update(ctx, func(tx Tx) error { return tx.SetSetting(settingPort, []byte(port)) })
}

// Remembered is the host and the port, "" for what is not known.
func (o *Operator) Remembered(ctx context.Context) (host, port string, err error) {
	err = o.store.View(ctx, func(tx Tx) error {
		for name, to := range map[string]*string{settingHost: &host, settingPort: &port} {
			value, err := tx.Setting(name)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			*to = string(value)
		}
		return nil
	})
	return host, port, err
}
