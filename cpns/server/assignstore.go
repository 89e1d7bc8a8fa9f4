package server

import (
	"errors"
	"time"

	"cpns.example.net/pngw/cpns"
)

// A request for an assignment reads and writes the store by data, not by calls, so that
// a store can do both for many requests at once. An Inquiry says what a request needs to
// read, Findings are the result, and an Outcome says what to write.

// An Inquiry is what an answer to a request depends on.
type Inquiry struct {
	Identity cpns.PSKIdentity
	Gateway  cpns.GatewayID
	User     cpns.UserID
	Entity   cpns.EntityID
	RandPNGW [cpns.RandSize]byte
	Tag      Tag // of the request

	Locks  Window // of the user's failures at the gateway
	Slowed Window // of those at all gateways
	Claims Window // of the user's claims through the gateway
}

// A Window is a span of time, after Since and not after Until, and how many entries of it
// are wanted at most, 1 at least.
type Window struct {
	Since, Until time.Time
	Limit        int
}

// Findings are what the store has found for an Inquiry.
type Findings struct {
	PSK1     PSK1        // of the identity; its Identity is "" where there is none
	Seen     time.Time   // when the gateway was seen last
	User     User        // its ID is "" where there is none
	Failures []time.Time // in Locks, the newest first, at most its limit
	Failed   bool        // the user has failed at the gateway by this very request
	Slowed   int         // failures in Slowed, up to its limit
	PNE      PNE         // its Entity is "" where there is none
	Earlier  Assignment  // under the RAND_PNGW; its Entity is "" where there is none

	// Claimed is the time of the claim that, counted from the newest one, reaches the
	// limit; zero if there are fewer. It is only set if nobody owns the PNE.
	Claimed time.Time
}

// An Outcome is what a request changes in the store. Fields that are nil or zero change
// nothing.
type Outcome struct {
	Seen       time.Time   // that the gateway was seen
	UserSeen   time.Time   // that the user was
	Failure    *Failure    // of the user at the gateway of the Inquiry
	Claim      *Claim      // likewise
	Assignment *Assignment // of the PNE of the Inquiry, under its RAND_PNGW
	PNE        *PNE        // what SetOwner makes of it, with an Assignment
	Prune      time.Time   // past assignments of the PNE from before, as PruneAssignments
	Event      *Event
}

// Answer answers within a transaction that no other runs beside: it finds, decides, and
// writes.
func (q *Inquiry) Answer(tx Tx, decide func(*Findings) (*Outcome, error)) error {
	f, err := q.Find(tx)
	if err != nil {
		return err
	}
	o, err := decide(f)
	if err != nil {
		return err
	}
	return o.Write(tx, q)
}

// Find finds within a transaction what an Inquiry asks for.
func (q *Inquiry) Find(tx Tx) (*Findings, error) {
	f := new(Findings)
	var err error
	if f.PSK1, err = found(tx.PSK1(q.Identity)); err != nil {
		return nil, err
	}
	g, err := found(tx.Gateway(q.Gateway))
	if err != nil {
		return nil, err
	}
	f.Seen = g.Seen
	if f.User, err = found(tx.User(q.User)); err != nil {
		return nil, err
	}
	if f.Failures, err = tx.FailuresAt(q.User, q.Gateway, q.Locks.Since, q.Locks.Until, q.Locks.Limit); err != nil {
		return nil, err
	}
	if f.Slowed, err = tx.CountFailures(q.User, q.Slowed.Since, q.Slowed.Until, q.Slowed.Limit); err != nil {
		return nil, err
	}
	if f.Failed, err = tx.HasFailed(q.User, q.Gateway, q.Tag); err != nil {
		return nil, err
	}
	if f.Earlier, err = found(tx.AssignmentByRandom(&q.RandPNGW)); err != nil {
		return nil, err
	}
	if f.PNE, err = found(tx.PNE(q.Entity)); err != nil {
		return nil, err
	}
	if f.PNE.Entity != "" && f.PNE.Owner == "" {
		claims, err := tx.ClaimsAt(q.User, q.Gateway, q.Claims.Since, q.Claims.Until, q.Claims.Limit)
		if err != nil {
			return nil, err
		}
		if len(claims) >= q.Claims.Limit {
			f.Claimed = claims[q.Claims.Limit-1]
		}
	}
	return f, nil
}

func found[T any](v T, err error) (T, error) {
	if errors.Is(err, ErrNotFound) {
		var none T
		return none, nil
	}
	return v, err
}

// Write writes within the transaction in which it was found what an Outcome is.
func (o *Outcome) Write(tx Tx, q *Inquiry) error {
	if !o.Seen.IsZero() {
		if err := tx.SetSeen(q.Gateway, o.Seen); err != nil {
			return err
		}
	}
	if !o.UserSeen.IsZero() {
		if err := tx.SetUserSeen(q.User, o.UserSeen); err != nil {
			return err
		}
	}
	if o.Failure != nil {
		if err := tx.AddFailure(*o.Failure); err != nil {
			return err
		}
	}
	if o.Claim != nil {
		if err := tx.AddClaim(*o.Claim); err != nil {
			return err
		}
	}
	if o.Assignment != nil {
		if err := tx.AddAssignment(*o.Assignment); err != nil {
			return err
		}
	}
	if o.PNE != nil {
		if err := tx.SetOwner(*o.PNE); err != nil {
			return err
		}
	}
	if !o.Prune.IsZero() {
		if err := tx.PruneAssignments(q.Entity, o.Prune); err != nil {
			return err
		}
	}
	if o.Event != nil {
		return tx.AddEvent(*o.Event)
	}
	return nil
}
