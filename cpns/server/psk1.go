package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns"
)

// How long a PSK1 from TLS is good.
const (
	DefaultPSK1Lifetime = 7 * 24 * time.Hour
	minPSK1Lifetime     = time.Minute
	maxPSK1Lifetime     = 365 * 24 * time.Hour
)

// CheckPSK1Lifetime says what is wrong with a lifetime, if anything is.
func CheckPSK1Lifetime(d time.Duration) error {
	if d < minPSK1Lifetime || d > maxPSK1Lifetime || d%time.Second != 0 {
		return fmt.Errorf("a PSK1 is good for 1 minute to 365 days, in whole seconds, and not for %v", d)
	}
	return nil
}

const identityBytes = 16 // of a PSK1 from TLS, at random

// servePSK1: a gateway that is known by its key -> a PSK1, which neither side sends
// (docs/protocol.md, section 8).
func (s *Server) servePSK1(w http.ResponseWriter, r *http.Request) {
	v := s.visitOf(r)
	out, err := s.givePSK1(w, r, v)
	if err == nil {
		err = reply(w, http.StatusOK, out)
	}
	if err != nil {
		s.fail(w, v, err)
	}
}

// psk1Answer is what a gateway is told of its PSK1.
type psk1Answer struct {
	Identity     cpns.PSKIdentity `json:"identity"`
	Lifetime     int64            `json:"lifetime"` // seconds
	Confirmation string           `json:"confirmation"`
	Pins         []string         `json:"pins,omitempty"`
}

func (s *Server) givePSK1(w http.ResponseWriter, r *http.Request, v *visit) (*psk1Answer, error) {
	if err := checkPost(r); err != nil {
		return nil, err
	}
	p, err := peerOf(r)
	if err != nil {
		return nil, err
	}
	if body, err := readBody(w, r, cpns.MaxRequestBody); err != nil {
		return nil, err
	} else if len(body) > 0 {
		return nil, &problem{status: http.StatusBadRequest, detail: "a request for a PSK1 has an empty body"}
	}
	ctx := r.Context()
	g, err := s.gatewayOf(ctx, p.key)
	if errors.Is(err, ErrNotFound) {
		return nil, s.whyUnknown(ctx, p.key)
	}
	if err != nil {
		return nil, fmt.Errorf("finding the gateway: %w", err)
	}
	s.settle(v, false)
	proved(ctx)
	// A PSK1 is written down, as a failure is: a gateway gets one a second.
	budget, wait := s.gateways.reserveOrWait(ctx, g.ID, s.now, failureCost, gatewayWaiting)
	if budget == nil {
		return nil, &problem{status: http.StatusTooManyRequests, detail: "this gateway sends too many requests", retryAfter: wait, gateway: g.ID}
	}
	defer func() { budget.settle(s.now(), failureCost) }()
	out, err := s.newPSK1(ctx, p, v.from.String())
	if err != nil {
		return nil, err
	}
	s.log.Info("PSK1 given", "gateway", g.ID, "identity", out.Identity, "remote", v.from)
	return out, nil
}

// newPSK1 makes the PSK1 of the connection and keeps it, unless the gateway was
// removed meanwhile.
func (s *Server) newPSK1(ctx context.Context, p *peer, source string) (*psk1Answer, error) {
	var raw [identityBytes]byte
	if _, err := io.ReadFull(s.rand, raw[:]); err != nil {
		return nil, fmt.Errorf("drawing an identity: %w", err)
	}
	id := cpns.PSKIdentity(cpns.Base64.EncodeToString(raw[:]))
	exported, err := p.export(cpns.ExporterPSK1, cpns.PSK1Context(p.key, id), cpns.ExporterSize)
	if err != nil {
		return nil, fmt.Errorf("exporting PSK1: %w", err)
	}
	psk := cpns.PSK1(exported)
	defer clear(psk)
	err = s.store.Update(ctx, func(tx Tx) error {
		g, err := tx.GatewayByKey(p.key)
		if err != nil {
			return err
		}
		sealed, err := s.vault.seal(columnPSK1, psk1Row(g.ID, id), psk)
		if err != nil {
			return err
		}
		now := s.now()
		if !g.Fetched {
			g.Fetched = true
			if err := tx.SetGateway(g); err != nil {
				return err
			}
		}
		if isSeen(g.Seen, now) {
			if err := tx.SetSeen(g.ID, now); err != nil {
				return err
			}
		}
		if err := addPSK1(tx, PSK1{
			Identity: id, Gateway: g.ID, Source: SourceTLS, Key: sealed, Tag: s.vault.psk1Tag(psk),
			Created: now, Ends: now.Add(s.psk1Lifetime),
		}); err != nil {
			return err
		}
		return tx.AddEvent(Event{Time: now, Kind: EventPSK1Given, Gateway: g.ID, Source: source})
	})
	if errors.Is(err, ErrNotFound) {
		return nil, s.whyUnknown(ctx, p.key)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping a PSK1: %w", err)
	}
	confirmation := cpns.Confirmation(psk, id)
	return &psk1Answer{
		Identity: id, Lifetime: int64(s.psk1Lifetime / time.Second),
		Confirmation: cpns.Base64.EncodeToString(confirmation[:]), Pins: s.anchors().pins(),
	}, nil
}

// whyUnknown tells a gateway why its key is not one that gets a PSK1.
func (s *Server) whyUnknown(ctx context.Context, key cpns.SPKIHash) error {
	var e Enrolment
	err := s.store.View(ctx, func(tx Tx) (err error) {
		e, err = tx.Enrolment(key)
		return err
	})
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return fmt.Errorf("finding the enrolment: %w", err)
	case err == nil && e.State == EnrolmentPending:
		return &problem{status: http.StatusForbidden, kind: cpns.ProblemGatewayPending, detail: "the gateway " + key.Fingerprint() + " waits for the server's operator to approve it"}
	case err == nil && e.State == EnrolmentRemoved:
		return &problem{status: http.StatusForbidden, kind: cpns.ProblemGatewayRemoved, detail: "the gateway " + key.Fingerprint() + " has been removed by the server's operator"}
	}
	return &problem{status: http.StatusForbidden, kind: cpns.ProblemGatewayUnknown, detail: "no gateway is known by the key " + key.Fingerprint() + ": it has to enrol first"}
}
