package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
)

// A PSK1 from a file is replaced by another one with the same identity, so that only the
// file changes at the gateway. Until the gateway has the new one, and for a while after,
// both are valid: the one in use, and the one "beside" it, which the store keeps under the
// identity followed by a mark that no identity contains. When a request opens under the
// PSK1 beside, the gateway has the new file: the two then change places, and the old one
// expires shortly after, because a request that was sealed under it may be repeated.
const besideMark = " beside"

// Beside is where the store has the other PSK1 of an identity.
func Beside(id cpns.PSKIdentity) cpns.PSKIdentity { return id + besideMark }

// named is the identity that a gateway says of a PSK1.
func named(id cpns.PSKIdentity) cpns.PSKIdentity {
	return cpns.PSKIdentity(strings.TrimSuffix(string(id), besideMark))
}

// psk1Moves is how often a PSK1 is looked for again while a request is answered.
const psk1Moves = 4

// IsBeside reports whether a PSK1 has not been used yet, or is not used any more, while
// another goes by the same identity.
func (p *PSK1) IsBeside() bool { return named(p.Identity) != p.Identity }

// Named is the identity that the gateway says.
func (p *PSK1) Named() cpns.PSKIdentity { return named(p.Identity) }

// DefaultOverlap is how long the PSK1 before goes on where the new one is not used, and
// MaxOverlap the most that it may.
const (
	DefaultOverlap = 7 * 24 * time.Hour
	MaxOverlap     = 365 * 24 * time.Hour
)

// CheckOverlap says what is wrong with an overlap, if anything is.
func CheckOverlap(d time.Duration) error {
	if d < 0 || d > MaxOverlap {
		return fmt.Errorf("the PSK1 before goes on for 0 to %d days", MaxOverlap/(24*time.Hour))
	}
	return nil
}

// RekeyGateway gives a gateway another PSK1. A gateway with a PSK1 from a file gets psk,
// under the same identity, and may use either one until overlap has passed, or until
// shortly after it has used the new one. For a gateway with PSK1s from TLS or GBA, psk is
// nil: its PSK1 expires after overlap at the latest, and it then agrees on the next one by
// itself. It reports whether a PSK1 that the gateway was given before and has not used is
// void now. It fails with ErrNotFound if there is no such gateway, and with a
// *SamePSK1Error if a gateway already has that PSK1.
func (o *Operator) RekeyGateway(ctx context.Context, id cpns.GatewayID, psk cpns.PSK1, overlap time.Duration) (voided bool, err error) {
	if err := CheckOverlap(overlap); err != nil {
		return false, refused("%v", err)
	}
	err = o.store.Update(ctx, func(tx Tx) error {
		voided = false
		g, err := tx.Gateway(id)
		if err != nil {
			return err
		}
		all, err := tx.PSK1sOf(id)
		if err != nil {
			return err
		}
		now := o.now()
		ends := now.Add(overlap)
		byItself := g.Key != (cpns.SPKIHash{}) || g.IMPI != ""
		switch {
		case byItself && psk != nil:
			return refused("gateway %s agrees on its PSK1s by itself: it takes none from a file", id)
		case byItself:
			for _, p := range all {
				if p.Source != SourceFile && (p.Ends.IsZero() || p.Ends.After(ends)) {
					if err := tx.SetPSK1Times(p.Identity, p.Used, ends); err != nil {
						return err
					}
				}
			}
		case psk == nil:
			return refused("gateway %s has its PSK1 from a file: it needs another file", id)
		default:
			for _, p := range all {
				voided = voided || p.Source == SourceFile && p.IsBeside() && p.Used.IsZero()
			}
			if err := o.addBeside(tx, all, id, psk, now, ends); err != nil {
				return err
			}
		}
		detail := "the PSK1 before ends by " + ends.UTC().Format(time.RFC3339)
		if voided {
			detail += ", and one that was not used is void"
		}
		return tx.AddEvent(o.event(Event{Kind: EventGatewayRekeyed, Gateway: id, Detail: detail}))
	})
	return voided, err
}

// addBeside adds a PSK1 beside the one that a gateway has from a file, in place of one
// that is there beside it already.
func (o *Operator) addBeside(tx Tx, all []PSK1, g cpns.GatewayID, psk cpns.PSK1, now, ends time.Time) error {
	switch other, err := o.vault.hasPSK1(tx, psk); {
	case err == nil:
		return &SamePSK1Error{other.Gateway}
	case !errors.Is(err, ErrNotFound):
		return err
	}
	identity := cpns.PSKIdentity(g)
	for _, p := range all {
		if p.Source != SourceFile {
			continue
		}
		identity = p.Named()
		var err error
		switch ended := !p.Ends.IsZero() && !p.Ends.After(now); {
		case p.IsBeside():
			err = tx.RemovePSK1(p.Identity)
		case !ended: // one that has ended, and is still there, does not come back
			err = tx.SetPSK1Times(p.Identity, p.Used, ends)
		}
		if err != nil {
			return err
		}
	}
	return o.vault.putPSK1(tx, PSK1{Identity: Beside(identity), Gateway: g, Source: SourceFile, Created: now}, psk)
}

// putPSK1 seals a key and adds it as a PSK1.
func (v *vault) putPSK1(tx Tx, p PSK1, psk cpns.PSK1) error {
	var err error
	if p.Key, err = v.seal(columnPSK1, psk1Row(p.Gateway, p.Identity), psk); err != nil {
		return err
	}
	p.Tag = v.psk1Tag(psk)
	return tx.AddPSK1(p)
}

// changePlaces lets a PSK1 that was beside another, and has been used, take the other's
// place. It returns it as it is then.
func (s *Server) changePlaces(tx Tx, p PSK1, now time.Time) (PSK1, error) {
	psk, err := s.vault.open(columnPSK1, psk1Row(p.Gateway, p.Identity), p.Key)
	if err != nil {
		return p, err
	}
	defer clear(psk)
	if err := tx.RemovePSK1(p.Identity); err != nil {
		return p, err
	}
	before, err := tx.PSK1(p.Named())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return p, err
	}
	if err == nil {
		if err := s.makeWay(tx, before, now); err != nil {
			return p, err
		}
	}
	p.Identity, p.Used, p.Ends = p.Named(), now, time.Time{}
	if err := s.vault.putPSK1(tx, p, psk); err != nil {
		return p, err
	}
	if p, err = tx.PSK1(p.Identity); err != nil {
		return p, err
	}
	return p, tx.AddEvent(Event{Time: now, Kind: EventPSK1Replaced, Gateway: p.Gateway, Source: "server"})
}

// makeWay puts a PSK1 beside the one that comes into its place, where it ends soon.
func (s *Server) makeWay(tx Tx, p PSK1, now time.Time) error {
	if err := tx.RemovePSK1(p.Identity); err != nil || !p.good(now) {
		return err
	}
	psk, err := s.vault.open(columnPSK1, psk1Row(p.Gateway, p.Identity), p.Key)
	if err != nil {
		return err
	}
	defer clear(psk)
	if soon := now.Add(oldPSK1Kept); p.Ends.IsZero() || p.Ends.After(soon) {
		p.Ends = soon
	}
	if p.Used.IsZero() { // it is never to come back by being used for the first time
		p.Used = now
	}
	p.Identity = Beside(p.Identity)
	return s.vault.putPSK1(tx, p, psk)
}

// lookUp finds the PSK1s that an identity names: the one in use, and the one beside it.
// One that is not there, or is over, has no identity. It says whether there is one at all.
func lookUp(tx Tx, id cpns.PSKIdentity, now time.Time) (all [2]PSK1, known bool, err error) {
	for n, at := range []cpns.PSKIdentity{id, Beside(id)} {
		p, err := found(tx.PSK1(at))
		if err != nil {
			return all, false, err
		}
		known = known || p.Identity != ""
		if p.good(now) {
			all[n] = p
		}
	}
	return all, known, nil
}

// foundAgain is the PSK1 that has a key, after it was not where it had been: it may have
// changed places with the other one of its identity, or the master key may have been
// changed.
func (s *Server) foundAgain(ctx context.Context, under PSK1, psk cpns.PSK1) (PSK1, error) {
	var all [2]PSK1
	err := s.store.View(ctx, func(tx Tx) (err error) {
		all, _, err = lookUp(tx, under.Named(), s.now())
		return err
	})
	if err != nil {
		return under, err
	}
	for _, p := range all {
		if p.Identity == "" || p.Gateway != under.Gateway || p.Source != under.Source {
			continue
		}
		has, err := s.vault.open(columnPSK1, psk1Row(p.Gateway, p.Identity), p.Key)
		if err != nil {
			return under, err
		}
		same := subtle.ConstantTimeCompare(has, psk) == 1
		clear(has)
		if same {
			return p, nil
		}
	}
	return under, errUnauthorized
}
