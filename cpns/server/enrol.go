package server

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
)

const (
	pendingRetry     = 30 * time.Second // what a gateway is told to wait that waits for a person
	pendingPerSource = 50
	pendingInAll     = 1000
)

// serveEnrolment: a gateway's key, and what it says of itself -> what it is called, or
// that it waits for a person (docs/protocol.md, section 8).
func (s *Server) serveEnrolment(w http.ResponseWriter, r *http.Request) {
	v := s.visitOf(r)
	out, err := s.enrolment(w, r, v)
	switch {
	case err != nil:
	case out.approved != "":
		s.settle(v, false)
		proved(r.Context())
		anchors := s.anchors()
		err = reply(w, http.StatusOK, struct {
			GatewayID cpns.GatewayID `json:"gateway_id"`
			CA        string         `json:"ca"`
			Pins      []string       `json:"pins"`
		}{out.approved, string(anchors.CA), anchors.pins()})
	default:
		s.settle(v, true)
		w.Header().Set("Retry-After", seconds(pendingRetry))
		err = reply(w, http.StatusAccepted, struct {
			Fingerprint string `json:"fingerprint"`
		}{out.pending})
	}
	if err != nil {
		s.fail(w, v, err)
	}
}

// enrolled is what came of an enrolment: one of the two is not empty.
type enrolled struct {
	approved cpns.GatewayID // what the gateway is called
	pending  string         // its fingerprint
}

func (s *Server) enrolment(w http.ResponseWriter, r *http.Request, v *visit) (*enrolled, error) {
	if err := checkPost(r); err != nil {
		return nil, err
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return nil, &problem{status: http.StatusUnsupportedMediaType, detail: "an enrolment has the type application/json and no encoding"}
	}
	p, err := peerOf(r)
	if err != nil {
		return nil, err
	}
	body, err := readBody(w, r, cpns.MaxEnrolmentBody)
	if err != nil {
		return nil, err
	}
	req, err := parseEnrolment(body)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	if g, err := s.gatewayOf(ctx, p.key); err == nil {
		return &enrolled{approved: g.ID}, nil // approved before: the answer may have been lost
	} else if !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("finding the gateway: %w", err)
	}
	invitation, err := s.invitationOf(ctx, p, req.proof)
	if err != nil {
		return nil, err
	}
	if invitation == nil && v.stake == nil && v.owes > 0 {
		// Nothing shows that it is more than a stranger: it writes nothing down.
		return nil, &problem{status: http.StatusTooManyRequests, detail: "this address sent too many requests", retryAfter: v.owes}
	}
	e := enrolment{peer: p, req: req, invitation: invitation, source: v.from.String(), network: sourceOf(v.from).String()}
	var out *enrolled
	err = s.store.Update(ctx, func(tx Tx) (err error) {
		out, err = e.run(tx, s.now())
		return err
	})
	if _, isProblem := errors.AsType[*problem](err); err != nil && !isProblem {
		return nil, fmt.Errorf("enrolling a gateway: %w", err)
	}
	if err == nil && out.approved != "" {
		s.log.Info("gateway enrolled", "gateway", out.approved, "fingerprint", p.key.Fingerprint(), "remote", v.from)
	}
	return out, err
}

// invitationOf finds the invitation whose secret made a proof on this connection; nil
// for none. All are tried, so that time tells nothing of which it is.
func (s *Server) invitationOf(ctx context.Context, p *peer, proof []byte) (*Invitation, error) {
	if proof == nil {
		return nil, nil
	}
	exported, err := p.export(cpns.ExporterEnrolment, nil, cpns.ExporterSize)
	if err != nil {
		return nil, fmt.Errorf("exporting for an enrolment: %w", err)
	}
	var found *Invitation
	err = each(ctx, s.store, Tx.InvitationsAfter, func(i Invitation) string { return i.ID }, func(i Invitation) error {
		secret, err := s.vault.open(columnInvitation, i.ID, i.Secret)
		if err != nil {
			return err
		}
		defer clear(secret)
		if len(secret) != len(cpns.EnrolmentSecret{}) {
			return fmt.Errorf("the secret of invitation %s has %d bytes", i.ID, len(secret))
		}
		want := cpns.EnrolmentProof((*cpns.EnrolmentSecret)(secret), p.key, (*[cpns.ExporterSize]byte)(exported))
		if hmac.Equal(want[:], proof) {
			found = &i
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("finding the invitation: %w", err)
	}
	return found, nil
}

// An enrolment is one run within its transaction.
type enrolment struct {
	peer       *peer
	req        *enrolmentRequest
	invitation *Invitation // whose secret was proved, nil for none
	source     string      // the address
	network    string
}

// run takes the gateway in, or puts it on the list of those who wait for a person:
// without a good proof, and wherever the server knows the gateway ID or the serial
// number with another key, or the key as that of a gateway that was removed.
func (e *enrolment) run(tx Tx, now time.Time) (*enrolled, error) {
	key := e.peer.key
	if g, err := tx.GatewayByKey(key); err == nil {
		return &enrolled{approved: g.ID}, nil
	} else if !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	before, err := tx.Enrolment(key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	known := err == nil
	if before.State == EnrolmentRefused {
		return nil, &problem{status: http.StatusForbidden, kind: cpns.ProblemEnrolmentRefused, detail: "the server's operator has refused the gateway " + key.Fingerprint()}
	}
	if e.req.proof != nil && e.invitation == nil {
		return nil, &problem{status: http.StatusForbidden, kind: cpns.ProblemEnrolmentRefused, detail: "the proof is of no code that this server knows, or was made for another connection than the one that key " + key.Fingerprint() + " came on, as where something on the way ends TLS"}
	}
	is := Enrolment{
		Key: key, State: EnrolmentPending, Gateway: e.req.id, Was: before.Was, Invitation: before.Invitation,
		Model: e.req.model, Serial: e.req.serial, MACs: e.req.macs, Source: e.network, First: now, Last: now,
	}
	if before.State == EnrolmentPending {
		is.First = before.First
	}
	if e.invitation != nil {
		if err := e.present(tx, &is, now); err != nil {
			return nil, err
		}
		conflicts, err := conflictsOf(tx, is)
		if err != nil {
			return nil, err
		}
		if len(conflicts) == 0 {
			return e.approve(tx, is, now)
		}
	}
	if before.State == EnrolmentPending && same(before, is) && now.Sub(before.Last).Abs() < seenEvery {
		return &enrolled{pending: key.Fingerprint()}, nil
	}
	if !known {
		if err := tx.DisplacePending(is.Source, pendingPerSource, pendingInAll); err != nil {
			return nil, err
		}
	}
	return &enrolled{pending: key.Fingerprint()}, tx.SetEnrolment(is)
}

// present checks the invitation that was proved. What waits on it already does so
// also once it has ended.
func (e *enrolment) present(tx Tx, is *Enrolment, now time.Time) error {
	i, err := tx.Invitation(e.invitation.ID)
	if err != nil {
		return err
	}
	if is.Invitation != i.ID {
		if !now.Before(i.Ends) {
			return &problem{status: http.StatusForbidden, kind: cpns.ProblemCodeExpired, detail: "the code has expired: the server's operator makes a new one"}
		}
		if i.Bound >= i.Uses {
			return &problem{status: http.StatusForbidden, kind: cpns.ProblemCodeUsed, detail: "the code has been used by another gateway: the server's operator makes a new one"}
		}
	}
	is.Invitation = i.ID
	if i.Gateway != "" {
		is.Gateway = i.Gateway
	}
	return nil
}

// approve takes the gateway in that proved to have the secret, and binds that to its
// key.
func (e *enrolment) approve(tx Tx, is Enrolment, now time.Time) (*enrolled, error) {
	i, err := tx.Invitation(is.Invitation)
	if err != nil {
		return nil, err
	}
	if i.Bound >= i.Uses || !now.Before(i.Ends) {
		// It waited, and what it waited for went away after the code had ended.
		return &enrolled{pending: is.Key.Fingerprint()}, tx.SetEnrolment(is)
	}
	g, err := takeIn(tx, is, now)
	if err != nil {
		return nil, err
	}
	return &enrolled{approved: g.ID}, tx.AddEvent(Event{
		Time: now, Kind: EventGatewayEnrolled, Gateway: g.ID, Source: e.source, Detail: "key " + is.Key.Fingerprint(),
	})
}

// takeIn makes a new gateway of an enrolment.
func takeIn(tx Tx, is Enrolment, now time.Time) (Gateway, error) {
	use, err := useOf(tx, is.Invitation)
	if err != nil {
		return Gateway{}, err
	}
	g := Gateway{ID: is.Gateway, Key: is.Key, Invitation: use, Model: is.Model, Serial: is.Serial, Created: now}
	if g.ID == "" {
		if g.ID, err = freeID(tx, is.Key); err != nil {
			return g, err
		}
	}
	if err := tx.AddGateway(g); err != nil {
		return g, err
	}
	return g, ended(tx, is)
}

// ended removes an enrolment whose key became a gateway's.
func ended(tx Tx, is Enrolment) error {
	if err := tx.RemoveEnrolment(is.Key); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// useOf counts one more gateway that an invitation has approved, and returns its ID; or
// "" where there is none, or all its uses are taken by others who came first: then it
// was a person alone who took this one in.
func useOf(tx Tx, invitation string) (string, error) {
	i, err := tx.Invitation(invitation)
	if errors.Is(err, ErrNotFound) || err == nil && i.Bound >= i.Uses {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return i.ID, tx.SetInvitation(i.ID, i.Bound+1, i.Ends)
}

// freeID is a gateway ID for a key that nobody gave one: of the beginning of its
// fingerprint, as much as it takes.
func freeID(tx Tx, key cpns.SPKIHash) (cpns.GatewayID, error) {
	text := strings.ToLower(key.Fingerprint())
	for _, groups := range []int{2, 4, 8} {
		id := cpns.GatewayID("gw-" + text[:groups*5-1])
		if _, err := tx.Gateway(id); errors.Is(err, ErrNotFound) {
			return id, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", ErrExists
}

// same reports whether a repeat says nothing new.
func same(a, b Enrolment) bool {
	return a.Gateway == b.Gateway && a.Invitation == b.Invitation && a.Model == b.Model && a.Serial == b.Serial &&
		a.Source == b.Source && strings.Join(a.MACs, " ") == strings.Join(b.MACs, " ")
}
