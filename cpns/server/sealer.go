package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	sealEvery   = 5 * time.Second
	sealRows    = 500 // events under one seal, and more where some came late
	headLogged  = time.Hour
	tailSetting = "audit-missing" // the numbers that were not there at the last seal
)

// sealUntil seals what was added to the audit log, every few seconds, until ctx ends.
// Of several servers one does so at a time, by the lock of Tidy.
func (s *Server) sealUntil(ctx context.Context) {
	s.regularly(ctx, s.sealEvery, "sealing the audit log", s.sealEvents)
}

// sealEvents seals all that can be seen.
func (s *Server) sealEvents(ctx context.Context) error {
	for {
		var of *sealing
		err := s.store.Tidy(ctx, func(tx Tx) (err error) {
			of, err = s.sealSome(tx)
			return err
		})
		if err != nil {
			return err
		}
		if of == nil { // another server does it
			return nil
		}
		s.tally.sealedAt.Store(s.now().UnixMilli())
		s.tally.forged.Add(uint64(len(of.forged)))
		s.tally.sealed.Add(uint64(len(of.events)))
		for _, e := range of.forged {
			s.log.Error("an event of the audit log was not written by a server or an operator, and is not sealed: see audit --verify", "number", e.Seq)
		}
		if len(of.events) > 0 {
			s.sealed(of)
		}
		if !of.more {
			return nil
		}
	}
}

// sealed tells of a new seal. Its head is logged once in a while: a log that lies
// elsewhere shows that the audit log was cut off.
func (s *Server) sealed(of *sealing) {
	if s.tellSealed != nil {
		s.tellSealed(of.seal, of.events)
	}
	if now := s.passed(); s.headAt == 0 || now-s.headAt >= headLogged {
		s.headAt = max(now, 1)
		s.log.Info("audit log sealed", "head", of.seal.Head().String(), "events", of.seal.Total)
	}
}

// A sealing is what one transaction has sealed.
type sealing struct {
	seal   Seal
	events []Event
	forged []Event
	more   bool // there are others to seal
}

// sealSome puts a seal on the next events, if there are any.
func (s *Server) sealSome(tx Tx) (*sealing, error) {
	k, err := s.vault.findAuditKey(tx)
	if errors.Is(err, ErrNotFound) {
		if k, err = s.vault.addAuditKey(tx); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	before, err := lastSeal(tx)
	if err != nil {
		return nil, err
	}
	t := tail{upto: before.Upto}
	was, err := tx.Setting(tailSetting)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if err := t.unpack(was); err != nil {
		return nil, err
	}
	now := s.now()
	found, err := t.read(tx, now, s.sealRows)
	if err != nil {
		return nil, err
	}
	of := &sealing{more: len(found) >= s.sealRows}
	next := Seal{Number: before.Number + 1, Time: time.UnixMilli(now.UnixMilli()).UTC(), Upto: t.upto, Total: before.Total}
	for _, e := range found {
		// What an older program wrote has no MAC: it is sealed as it was found, and
		// audit --verify counts it.
		if e.signed() && !k.wrote(&e) {
			of.forged = append(of.forged, e)
			continue
		}
		next.Entries = appendEntry(next.Entries, k, &e)
		next.Total++
		of.events = append(of.events, e)
	}
	if len(found) == 0 {
		return of, s.keepMissing(tx, was, &t)
	}
	mac := k.sealMAC(&next, before.MAC)
	next.MAC = mac[:]
	of.seal = next
	if err := tx.AddSeal(next); err != nil {
		return nil, fmt.Errorf("adding seal %d: %w", next.Number, err)
	}
	return of, s.keepMissing(tx, was, &t)
}

// keepMissing records which numbers are still to come, where that has changed.
func (s *Server) keepMissing(tx Tx, was []byte, t *tail) error {
	if packed := t.pack(); !bytes.Equal(packed, was) {
		return tx.SetSetting(tailSetting, packed)
	}
	return nil
}
