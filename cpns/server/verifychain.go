package server

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Whoever can write to the database, and has no master key, cannot change, add, remove
// or reorder what is in the audit log without VerifyAudit telling which event it was.
// There are three exceptions: what is not under a seal yet, a few seconds' worth, can be
// removed without a trace; the newest seals can be cut off together with their events,
// which shows by a Head that was noted before; and whoever has the master key can write
// the whole log anew, which shows by a Head too.

// An Audited is what the audit log was found to be.
type Audited struct {
	Seals, Events int64 // that are there, and sealed
	Head          Head  // of the last seal; its Number is 0 where nothing is sealed
	Unsealed      int   // events that have come since

	Removed       int64     // events that had had their time, before the first seal there
	RemovedBefore time.Time // those sealed until then

	Unsigned                    int // events without a MAC: an older program's, or nobody knows whose
	FirstUnsigned, LastUnsigned int64

	Broken int   // places
	First  int64 // the number of the first event that is broken
}

// VerifyAudit reads the whole audit log and tells broken of what is not as it was
// written, by the number of the event. A head that was noted has to be in it, unless its
// number is 0. It says what it found, and fails where it could not look.
func (o *Operator) VerifyAudit(ctx context.Context, noted Head, broken func(seq int64, what string)) (*Audited, error) {
	v := &verification{ctx: ctx, store: o.store, noted: noted, strays: make(map[int64]bool)}
	v.broken = func(seq int64, what string) {
		if v.found.Broken++; v.found.First == 0 || seq < v.found.First {
			v.found.First = seq
		}
		broken(seq, what)
	}
	err := o.store.View(ctx, func(tx Tx) (err error) {
		if v.key, err = o.vault.findAuditKey(tx); err != nil {
			return err
		}
		v.anchor, err = anchorOf(tx)
		return err
	})
	if errors.Is(err, ErrNotFound) { // nothing has been added since an older program made it
		v.key, err = new(auditKey), nil
	}
	if err != nil {
		return nil, err
	}
	if err := v.run(); err != nil {
		return nil, fmt.Errorf("verifying the audit log: %w", err)
	}
	return &v.found, nil
}

// A verification goes along the chain and the events at the same time.
type verification struct {
	ctx    context.Context
	store  Store
	key    *auditKey
	anchor anchor
	noted  Head
	found  Audited
	broken func(int64, string)

	strays map[int64]bool // events that were not under the seal that covers their numbers, and may be under a later one
}

func (v *verification) run() error {
	a := &v.anchor
	if a.Number > 0 {
		if mac := v.key.anchorMAC(a); !hmac.Equal(mac[:], a.MAC) {
			v.broken(a.Upto+1, "what is recorded of the removed events before it was changed")
		}
		v.found.Removed, v.found.RemovedBefore = a.Total, time.UnixMilli(a.Before).UTC()
	}
	before := a.seal()
	seen := v.noted.Number <= a.Number // what was noted before that is over
	const sealsAtOnce = 20
	for n := a.Number; ; {
		var page []Seal
		err := v.store.View(v.ctx, func(tx Tx) (err error) {
			page, err = tx.SealsAfter(n, sealsAtOnce)
			return err
		})
		if err != nil {
			return err
		}
		for _, s := range page {
			if err := v.seal(&before, &s); err != nil {
				return err
			}
			if s.Number == v.noted.Number {
				if seen = true; s.Head() != v.noted {
					v.broken(before.Upto+1, fmt.Sprintf("the log up to seal %d is another one than when its head was noted", s.Number))
				}
			}
			before, n = s, s.Number
			v.found.Seals++
		}
		if len(page) == 0 {
			break
		}
	}
	if v.found.Seals > 0 {
		v.found.Head = before.Head()
	}
	if !seen {
		v.broken(before.Upto+1, fmt.Sprintf("the log ends with seal %d, and seal %d was noted: it was cut off, or is an older copy", before.Number, v.noted.Number))
	}
	for _, seq := range slices.Sorted(maps.Keys(v.strays)) {
		v.broken(seq, "it is under no seal: it came when the events beside it had long been sealed")
	}
	return v.unsealed(before.Upto)
}

const notWritten = "neither a server nor an operator wrote it so"

// seal checks a seal and what is under it.
func (v *verification) seal(before, s *Seal) error {
	first := before.Upto + 1
	if s.Number != before.Number+1 {
		v.broken(first, fmt.Sprintf("the seals %d to %d are missing", before.Number+1, s.Number-1))
	} else if mac := v.key.sealMAC(s, before.MAC); !hmac.Equal(mac[:], s.MAC) {
		v.broken(first, fmt.Sprintf("seal %d, over the events up to %d, was changed, or does not follow from the one before", s.Number, s.Upto))
	}
	entries, err := s.entries()
	if err != nil {
		v.broken(first, fmt.Sprintf("seal %d: %v", s.Number, err))
		return nil
	}
	sealed := make(map[int64][entryMAC]byte, len(entries))
	var late []int64
	from := s.Upto
	for _, e := range entries {
		sealed[e.seq] = e.mac
		if e.seq <= before.Upto {
			late = append(late, e.seq)
		} else {
			from = min(from, e.seq-1)
		}
	}
	if s.Number == before.Number+1 { // else what is before is under a seal that is missing
		from = before.Upto
	}
	err = v.events(from, s.Upto, late, func(e *Event) {
		want, ok := sealed[e.Seq]
		if !ok && e.signed() && !v.key.wrote(e) {
			v.broken(e.Seq, notWritten)
			return
		}
		if !ok {
			if len(v.strays) < gapMost {
				v.strays[e.Seq] = true
			}
			return
		}
		delete(sealed, e.Seq)
		delete(v.strays, e.Seq)
		mac := v.key.eventMAC(e)
		switch {
		case !hmac.Equal(mac[:entryMAC], want[:]):
			v.broken(e.Seq, "it was changed")
			return
		case !e.signed():
			v.found.Unsigned++
			if v.found.FirstUnsigned == 0 {
				v.found.FirstUnsigned = e.Seq
			}
			v.found.LastUnsigned = e.Seq
		}
		v.found.Events++
	})
	if err != nil {
		return err
	}
	for _, seq := range slices.Sorted(maps.Keys(sealed)) {
		v.broken(seq, "it was removed")
	}
	return nil
}

// events calls f with the events after one number up to another, and with some before.
func (v *verification) events(after, upto int64, late []int64, f func(*Event)) error {
	for {
		var page []Event
		err := v.store.View(v.ctx, func(tx Tx) (err error) {
			if len(late) > 0 {
				page, err = tx.EventsAt(late)
				return err
			}
			page, err = tx.EventsAfter(after, time.Time{}, pageRows)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if len(late) == 0 && e.Seq > upto {
				return nil
			}
			f(&e)
		}
		if len(late) > 0 {
			late = nil
			continue
		}
		if len(page) < pageRows {
			return nil
		}
		after = page[len(page)-1].Seq
	}
}

// unsealed looks at what is behind the last seal.
func (v *verification) unsealed(upto int64) error {
	const all = 1<<63 - 1
	return v.events(upto, all, nil, func(e *Event) {
		if e.signed() && !v.key.wrote(e) {
			v.broken(e.Seq, notWritten)
			return
		}
		v.found.Unsealed++
	})
}
