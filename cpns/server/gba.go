package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"cpns.example.net/pngw/cpns"
)

// A BSF is the bootstrapping server of a 3GPP operator (TS 29.309): package bsf.
type BSF interface {
	// Retrieve asks for the PSK1 that a B-TID names. It fails with ErrNotFound
	// where the BSF knows none; every other error means that it did not say.
	Retrieve(ctx context.Context, id cpns.PSKIdentity) (*Bootstrapped, error)
}

// Bootstrapped is what a BSF says of a B-TID.
type Bootstrapped struct {
	Key  cpns.PSK1 // Ks_NAF
	IMPI string    // whose SIM it was
	Ends time.Time
}

// What strangers can make the BSF work is bounded: a B-TID is only a claim.
const (
	bootstrapRate    = 1 // questions a second and source address
	bootstrapBurst   = 20
	bootstrapsAtOnce = 16
	bootstrapTime    = 5 * time.Second
	bootstrapRetry   = 10 * time.Second // what a gateway is told to wait while the BSF is down

	unknownKept = 30 * time.Second // that a B-TID is unknown, or its IMPI no gateway's
	unknowns    = 4096

	maxIMPI = 255
)

// CheckIMPI says what is wrong with an IMPI, if anything is.
func CheckIMPI(impi string) error {
	user, realm, _ := strings.Cut(impi, "@")
	if user == "" || realm == "" || len(impi) > maxIMPI || strings.Trim(impi, printable) != "" {
		return fmt.Errorf("an IMPI is USER@REALM, at most %d bytes of printable ASCII without space", maxIMPI)
	}
	return nil
}

// printable is what identities are made of.
var printable = func() string {
	var b strings.Builder
	for c := byte(0x21); c <= 0x7e; c++ {
		b.WriteByte(c)
	}
	return b.String()
}()

// isBTID reports whether an identity can be a B-TID, base64(RAND)@BSF.
func isBTID(id cpns.PSKIdentity) bool { return strings.Contains(string(id), "@") }

// bootstrapped asks the BSF for the PSK1 of a B-TID that the store does not know, and
// keeps it until it ends. It fails with ErrNotFound where there is none, or none of a
// gateway's, and with a problem where that cannot be told.
func (s *Server) bootstrapped(ctx context.Context, v *visit, id cpns.PSKIdentity) (PSK1, error) {
	now := s.now()
	if s.unknown.has(id, now) {
		return PSK1{}, ErrNotFound
	}
	if wait := s.bootstraps.take(sourceOf(v.from), now); wait > 0 {
		return PSK1{}, &problem{status: http.StatusTooManyRequests, detail: "this address bootstraps too often", retryAfter: wait}
	}
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	default:
		return PSK1{}, errBSF
	}
	got, err := s.retrieve(ctx, id)
	if errors.Is(err, ErrNotFound) {
		s.unknown.add(id, now)
		return PSK1{}, ErrNotFound
	}
	if err != nil {
		if ctx.Err() == nil {
			s.logNoise(noiseBSF, "error", err, "remote", v.from)
		}
		return PSK1{}, errBSF
	}
	defer clear(got.Key)
	p, err := s.keepBootstrapped(ctx, id, got, v.from)
	if errors.Is(err, ErrNotFound) {
		s.logNoise(noiseRefused, "detail", "no gateway has the IMPI "+got.IMPI, "remote", v.from)
		s.unknown.add(id, now)
	}
	return p, err
}

// errBSF is the operator's trouble: the gateway's address pays nothing for it.
var errBSF = &problem{
	status:     http.StatusServiceUnavailable,
	detail:     "the bootstrapping server cannot be asked at the moment: send the same request again",
	retryAfter: bootstrapRetry,
}

func (s *Server) retrieve(ctx context.Context, id cpns.PSKIdentity) (*Bootstrapped, error) {
	ctx, cancel := context.WithTimeout(ctx, bootstrapTime)
	defer cancel()
	got, err := s.bsf.Retrieve(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, err := cpns.ParsePSK1(got.Key); err != nil {
		return nil, err
	}
	if !got.Ends.After(s.now()) {
		return nil, ErrNotFound
	}
	return got, nil
}

// keepBootstrapped keeps a PSK1 from GBA for the gateway that has the IMPI.
func (s *Server) keepBootstrapped(ctx context.Context, id cpns.PSKIdentity, got *Bootstrapped, from netip.Addr) (p PSK1, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		g, err := tx.GatewayByIMPI(got.IMPI)
		if err != nil {
			return err
		}
		if p, err = tx.PSK1(id); err == nil || !errors.Is(err, ErrNotFound) {
			return err // another request was quicker
		}
		sealed, err := s.vault.seal(columnPSK1, psk1Row(g.ID, id), got.Key)
		if err != nil {
			return err
		}
		now := s.now()
		p = PSK1{Identity: id, Gateway: g.ID, Source: SourceGBA, Key: sealed, Tag: s.vault.psk1Tag(got.Key), Created: now, Ends: got.Ends}
		if err := addPSK1(tx, p); err != nil {
			return err
		}
		return tx.AddEvent(Event{Time: now, Kind: EventPSK1Given, Gateway: g.ID, Source: from.String(), Detail: "by GBA"})
	})
	return p, err
}

// unknown remembers for a while which B-TIDs there is nothing to say about.
type unknown struct {
	mu    sync.Mutex
	until map[cpns.PSKIdentity]time.Time
}

func (u *unknown) has(id cpns.PSKIdentity, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	until, ok := u.until[id]
	return ok && now.Before(until) && until.Sub(now) <= unknownKept
}

// add remembers one. Where there is no room those that are over go, or else any.
func (u *unknown) add(id cpns.PSKIdentity, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.until == nil {
		u.until = make(map[cpns.PSKIdentity]time.Time)
	}
	if len(u.until) >= unknowns {
		for other, until := range u.until {
			if !now.Before(until) {
				delete(u.until, other)
			}
		}
	}
	for other := range u.until {
		if len(u.until) < unknowns {
			break
		}
		delete(u.until, other)
	}
	u.until[id] = now.Add(unknownKept)
}
