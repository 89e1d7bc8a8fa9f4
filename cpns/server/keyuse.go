package server

import (
	"bytes"
	"context"
	"errors"
	"time"

	"cpns.example.net/pngw/cpns"
)

// A gateway has at most one PSK1 from TLS or GBA that it has used, and one newer one.
// If the answer with the newer one was lost, the next one replaces it.
const (
	oldPSK1Kept = 10 * time.Minute // after the next one was first used
	seenEvery   = time.Minute      // how exactly the last request of a gateway and of a user is recorded
)

// good reports whether a PSK1 is not over.
func (p *PSK1) good(now time.Time) bool { return p.Ends.IsZero() || now.Before(p.Ends) }

// psk1Row is the row key that a PSK1 is sealed for.
func psk1Row(g cpns.GatewayID, id cpns.PSKIdentity) string { return string(g) + " " + string(id) }

// same reports whether a PSK1 that the store has now is the one that a request opened
// under: the gateway may have been removed since, or have lost it. One that was sealed
// anew since is not the same: see foundAgain.
func (p *PSK1) same(has PSK1, now time.Time) bool {
	return has.Identity == p.Identity && has.Gateway == p.Gateway && bytes.Equal(has.Key, p.Key) && has.good(now)
}

// usePSK1 records that a first request opened under a PSK1, which has the key psk, and
// returns it as it is then, unless the gateway was removed or has lost that PSK1 since:
// then it fails with errUnauthorized.
func (s *Server) usePSK1(ctx context.Context, p PSK1, psk cpns.PSK1) (PSK1, error) {
	p, err := s.firstUseOf(ctx, p)
	if !errors.Is(err, errUnauthorized) {
		return p, err
	}
	if p, err = s.foundAgain(ctx, p, psk); err != nil || !p.Used.IsZero() {
		return p, err
	}
	return s.firstUseOf(ctx, p)
}

func (s *Server) firstUseOf(ctx context.Context, p PSK1) (used PSK1, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		used = p
		has, err := tx.PSK1(p.Identity)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		now := s.now()
		if err != nil || !p.same(has, now) {
			return errUnauthorized
		}
		if !has.Used.IsZero() {
			used = has
			return nil
		}
		if has.IsBeside() {
			used, err = s.changePlaces(tx, has, now)
			return err
		}
		used.Used = now
		return s.firstUse(tx, has, now)
	})
	return used, err
}

// isSeen reports whether a gateway that was seen last at a time is to be recorded as seen
// now.
func isSeen(last, now time.Time) bool { return now.Sub(last).Abs() >= seenEvery }

// firstUse marks a PSK1 as used. The first use of a PSK1 from TLS invalidates a PSK1 from
// a file, and removes the gateway's SIM. The first use of one from TLS or GBA also makes
// the previous one expire soon.
func (s *Server) firstUse(tx Tx, p PSK1, now time.Time) error {
	if err := tx.SetPSK1Times(p.Identity, now, p.Ends); err != nil || p.Source == SourceFile {
		return err
	}
	if p.Source == SourceTLS {
		if err := dropSIM(tx, p.Gateway); err != nil {
			return err
		}
	}
	all, err := tx.PSK1sOf(p.Gateway)
	if err != nil {
		return err
	}
	for _, other := range all {
		switch {
		case other.Identity == p.Identity:
			continue
		case other.Source == SourceFile && p.Source != SourceTLS:
			continue
		case other.Source != SourceTLS && p.Source == SourceTLS:
			err = errors.Join(tx.RemovePSK1(other.Identity), tx.AddEvent(Event{Time: now, Kind: EventPSK1Ended, Gateway: p.Gateway, Source: "server"}))
		case !other.Created.After(p.Created) && (other.Ends.IsZero() || other.Ends.After(now.Add(oldPSK1Kept))):
			err = tx.SetPSK1Times(other.Identity, other.Used, now.Add(oldPSK1Kept))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dropSIM removes a gateway's SIM, so that it gets no more PSK1s from it.
func dropSIM(tx Tx, id cpns.GatewayID) error {
	g, err := tx.Gateway(id)
	if err != nil || g.IMPI == "" {
		return err
	}
	g.IMPI = ""
	return tx.SetGateway(g)
}

// addPSK1 gives a gateway a PSK1 from TLS or GBA. Of its other ones from TLS or GBA, only
// the newest that it has used is kept, or else the newest. A PSK1 from a file is kept.
func addPSK1(tx Tx, p PSK1) error {
	all, err := tx.PSK1sOf(p.Gateway)
	if err != nil {
		return err
	}
	var kept *PSK1
	for n := range all {
		if all[n].Source != SourceFile && (kept == nil || kept.Used.IsZero() && !all[n].Used.IsZero()) {
			kept = &all[n]
		}
	}
	for n := range all {
		if all[n].Source != SourceFile && &all[n] != kept {
			if err := tx.RemovePSK1(all[n].Identity); err != nil {
				return err
			}
		}
	}
	return tx.AddPSK1(p)
}

// dropKey removes a gateway's key: its PSK1s become invalid, and the key can enrol again
// only with a person's approval. If the gateway has got no PSK1 yet, its invitation can
// be used once more.
func dropKey(tx Tx, g Gateway, now time.Time) error {
	if g.Key == (cpns.SPKIHash{}) {
		return nil
	}
	all, err := tx.PSK1sOf(g.ID)
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := tx.RemovePSK1(p.Identity); err != nil {
			return err
		}
	}
	if !g.Fetched {
		if err := unuse(tx, g.Invitation); err != nil {
			return err
		}
	}
	return tx.SetEnrolment(Enrolment{
		Key: g.Key, State: EnrolmentRemoved, Was: g.ID, Model: g.Model, Serial: g.Serial, First: g.Created, Last: now,
	})
}

// unuse makes an invitation usable once more.
func unuse(tx Tx, invitation string) error {
	i, err := tx.Invitation(invitation)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.SetInvitation(invitation, max(i.Bound-1, 0), i.Ends)
}

// What is kept of step 0, and for how long.
const (
	pendingKept     = 30 * 24 * time.Hour // since the gateway last asked
	invitationsKept = 90 * 24 * time.Hour // after they ended, so that people are told so
)

func pruneStep0(tx Tx, now time.Time) error {
	return errors.Join(
		tx.PrunePSK1s(now.Add(-oldPSK1Kept)),
		tx.PruneEnrolments(now.Add(-pendingKept), now.Add(-AuditKept)),
		tx.PruneInvitations(now.Add(-invitationsKept)),
	)
}

// gatewayOf finds the gateway that a key is known of.
func (s *Server) gatewayOf(ctx context.Context, key cpns.SPKIHash) (g Gateway, err error) {
	err = s.store.View(ctx, func(tx Tx) (err error) {
		g, err = tx.GatewayByKey(key)
		return err
	})
	return g, err
}
