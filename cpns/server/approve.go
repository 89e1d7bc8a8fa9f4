package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
)

// A Conflict is a reason why a gateway is admitted only by a person.
type Conflict struct {
	Gateway cpns.GatewayID // that is known with another key, or was with this one
	Reason  string
}

// conflictsOf returns what the server knows that contradicts an enrolment.
func conflictsOf(tx Tx, e Enrolment) ([]Conflict, error) {
	var all []Conflict
	if e.Was != "" {
		all = append(all, Conflict{e.Was, fmt.Sprintf("its key was gateway %s, which was removed", e.Was)})
	}
	if e.Gateway != "" {
		g, err := tx.Gateway(e.Gateway)
		if err == nil {
			reason := fmt.Sprintf("gateway %s is known with another key", g.ID)
			switch {
			case g.Key != (cpns.SPKIHash{}):
			case g.IMPI != "":
				reason = fmt.Sprintf("gateway %s is known by its SIM", g.ID)
			default:
				reason = fmt.Sprintf("gateway %s is known with a PSK1 from a file", g.ID)
			}
			all = append(all, Conflict{g.ID, reason})
		} else if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	if e.Serial == "" {
		return all, nil
	}
	const shown = 3
	others, err := tx.GatewaysBySerial(e.Serial, shown)
	if err != nil {
		return nil, err
	}
	for _, g := range others {
		if g.Key != e.Key && g.ID != e.Gateway {
			all = append(all, Conflict{g.ID, fmt.Sprintf("gateway %s has the same serial number and another key", g.ID)})
		}
	}
	return all, nil
}

// A ConflictError says that a gateway is not approved as if it were new: the server
// knows another key of it.
type ConflictError struct{ Conflicts []Conflict }

func (e *ConflictError) Error() string {
	reasons := make([]string, len(e.Conflicts))
	for n, c := range e.Conflicts {
		reasons[n] = c.Reason
	}
	return strings.Join(reasons, ", ")
}

// A KnownKeyError says that a key is a gateway's already.
type KnownKeyError struct{ Gateway cpns.GatewayID }

func (e *KnownKeyError) Error() string { return fmt.Sprintf("it is gateway %s already", e.Gateway) }

// ErrSeveral says that more than one pending gateway has a serial number.
var ErrSeveral = errors.New("several pending gateways have this serial number")

// Pending calls f with every gateway that waits for approval, and with its conflicts,
// the oldest first, until f fails.
func (o *Operator) Pending(ctx context.Context, f func(Enrolment, []Conflict) error) error {
	pending, err := o.enrolments(ctx, func(e Enrolment) bool { return e.State == EnrolmentPending })
	if err != nil {
		return err
	}
	slices.SortStableFunc(pending, func(a, b Enrolment) int { return a.First.Compare(b.First) })
	for _, e := range pending {
		var conflicts []Conflict
		err := o.store.View(ctx, func(tx Tx) (err error) {
			conflicts, err = conflictsOf(tx, e)
			return err
		})
		if err != nil {
			return err
		}
		if err := f(e, conflicts); err != nil {
			return err
		}
	}
	return nil
}

// enrolments are those that wanted says.
func (o *Operator) enrolments(ctx context.Context, wanted func(Enrolment) bool) (all []Enrolment, err error) {
	err = each(ctx, o.store, Tx.EnrolmentsAfter, func(e Enrolment) cpns.SPKIHash { return e.Key }, func(e Enrolment) error {
		if wanted(e) {
			all = append(all, e)
		}
		return nil
	})
	return all, err
}

// byFingerprint is the enrolment of the key with a fingerprint. It fails with a
// *KnownKeyError where that is a gateway's, and with ErrNotFound where it is unknown.
func (o *Operator) byFingerprint(ctx context.Context, fingerprint string) (e Enrolment, err error) {
	first, last, err := cpns.KeysOf(fingerprint)
	if err != nil {
		return Enrolment{}, ErrNotFound
	}
	err = o.store.View(ctx, func(tx Tx) error {
		if e, err = tx.Enrolment(first); err == nil || !errors.Is(err, ErrNotFound) {
			return err
		}
		found, err := tx.EnrolmentsAfter(first, 1)
		if err != nil {
			return err
		}
		if len(found) > 0 && found[0].Key.Fingerprint() == fingerprint {
			e = found[0]
			return nil
		}
		g, err := tx.GatewayByKeys(first, last)
		if err == nil {
			err = &KnownKeyError{g.ID}
		}
		return err
	})
	if err != nil {
		return Enrolment{}, err
	}
	return e, nil
}

// An Approval is a person's decision to admit a gateway.
type Approval struct {
	Fingerprint string         // in the form that cpns.ParseFingerprint gives; or else
	Serial      string         // of the only pending gateway that says it; with a fingerprint: what it has to say, "" for anything
	ID          cpns.GatewayID // what it is called; "" for what it asked for, or else of its fingerprint
	Replace     bool           // it takes the place of a gateway that is known with another key
}

// Approved is the result of an Approval.
type Approved struct {
	Gateway     cpns.GatewayID
	Fingerprint string
	Replaced    bool
	WasRefused  bool // it was told so, and may not ask again by itself
}

// Approve admits a gateway, also one that was refused or removed before. It fails
// with ErrNotFound if no such gateway has enrolled, with ErrSeveral if several have the
// serial number, with a *KnownKeyError if it has been admitted already, and
// with a *ConflictError if it would replace another and Replace is not set.
func (o *Operator) Approve(ctx context.Context, a Approval) (Approved, error) {
	is, err := o.find(ctx, a)
	if err != nil {
		return Approved{}, err
	}
	out := Approved{Fingerprint: is.Key.Fingerprint()}
	err = o.store.Update(ctx, func(tx Tx) error {
		now := o.now()
		is, err := tx.Enrolment(is.Key) // it may have changed since
		if err != nil {
			return err
		}
		out.WasRefused = is.State == EnrolmentRefused
		if is.Gateway, err = nameFor(tx, is, a); err != nil {
			return err
		}
		kind, detail := EventGatewayApproved, "key "+out.Fingerprint
		old, err := tx.Gateway(is.Gateway)
		switch {
		case err == nil:
			out.Replaced, kind = true, EventGatewayReplaced
			err = replaceKey(tx, old, is, now)
		case errors.Is(err, ErrNotFound):
			old, err = takeIn(tx, is, now)
		}
		if err != nil {
			return err
		}
		out.Gateway = old.ID
		return tx.AddEvent(o.event(Event{Kind: kind, Gateway: old.ID, Detail: detail}))
	})
	return out, err
}

// nameFor is the gateway ID that an approval gives: "" if one is to be generated. It is
// that of another gateway only if the approval says that it replaces it.
func nameFor(tx Tx, is Enrolment, a Approval) (cpns.GatewayID, error) {
	if a.ID != "" { // also beside another of the same serial number
		is.Gateway, is.Serial = a.ID, ""
	}
	conflicts, err := conflictsOf(tx, is)
	if err != nil {
		return "", err
	}
	// Not those of a gateway that is gone: a person may take its removal back.
	var failed error
	conflicts = slices.DeleteFunc(conflicts, func(c Conflict) bool {
		_, err := tx.Gateway(c.Gateway)
		gone := errors.Is(err, ErrNotFound)
		if !gone {
			failed = errors.Join(failed, err)
		}
		return gone || a.ID != "" && c.Gateway != a.ID
	})
	switch {
	case failed != nil:
		return "", failed
	case len(conflicts) == 0:
		if is.Gateway == "" {
			is.Gateway = is.Was
		}
		return is.Gateway, nil
	case !a.Replace:
		return "", &ConflictError{conflicts}
	}
	named := func(c Conflict) bool { return c.Gateway == is.Gateway }
	another := func(c Conflict) bool { return c.Gateway != conflicts[0].Gateway }
	switch {
	case slices.ContainsFunc(conflicts, named):
		return is.Gateway, nil
	case slices.ContainsFunc(conflicts, another):
		return "", &ConflictError{conflicts} // whose place?
	}
	return conflicts[0].Gateway, nil
}

// find is the enrolment that an approval is about.
func (o *Operator) find(ctx context.Context, a Approval) (Enrolment, error) {
	if a.Fingerprint != "" {
		e, err := o.byFingerprint(ctx, a.Fingerprint)
		if err == nil && a.Serial != "" && hint(a.Serial) != e.Serial {
			return e, refused("its board says the serial number %q, and not %q", e.Serial, a.Serial)
		}
		return e, err
	}
	found, err := o.enrolments(ctx, func(e Enrolment) bool {
		return e.State == EnrolmentPending && e.Serial != "" && e.Serial == hint(a.Serial)
	})
	switch {
	case err != nil:
		return Enrolment{}, err
	case len(found) == 0:
		return Enrolment{}, ErrNotFound
	case len(found) > 1:
		return Enrolment{}, ErrSeveral
	}
	return found[0], nil
}

// replaceKey replaces a gateway's key by that of an enrolment. A PSK1 from a file and the
// gateway's SIM stay valid until a PSK1 from TLS is used.
func replaceKey(tx Tx, g Gateway, is Enrolment, now time.Time) error {
	if err := dropKey(tx, g, now); err != nil {
		return err
	}
	use, err := useOf(tx, is.Invitation)
	if err != nil {
		return err
	}
	g.Key, g.Invitation, g.Fetched, g.Model, g.Serial = is.Key, use, false, is.Model, is.Serial
	if err := tx.SetGateway(g); err != nil {
		return err
	}
	return ended(tx, is)
}

// Refuse rejects a gateway that waits for approval. It fails with ErrNotFound if none
// with that fingerprint has enrolled, and with a *KnownKeyError if it has been admitted.
func (o *Operator) Refuse(ctx context.Context, fingerprint string) error {
	is, err := o.byFingerprint(ctx, fingerprint)
	if err != nil {
		return err
	}
	return o.store.Update(ctx, func(tx Tx) error {
		is, err := tx.Enrolment(is.Key)
		if err != nil {
			return err
		}
		is.State, is.Last = EnrolmentRefused, o.now()
		if err := tx.SetEnrolment(is); err != nil {
			return err
		}
		return tx.AddEvent(o.event(Event{Kind: EventGatewayRefused, Detail: "key " + fingerprint}))
	})
}
