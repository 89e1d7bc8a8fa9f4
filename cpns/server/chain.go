package server

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The audit log is chained: every few seconds one of the servers puts the new events
// under a seal, whose MAC includes the seal before. Assignments do not wait for that:
// events that several servers add at the same time have no order until they
// are sealed. verifychain.go says what the chain protects from.

// A Seal is a link of the chain: a few hundred events, in the order in which they were
// found.
type Seal struct {
	Number  int64 // from 1, without gaps
	Time    time.Time
	Upto    int64  // the highest number of an event under this seal and those before
	Total   int64  // events under this seal and all before it, removed ones too
	Entries []byte // of each event: its number, 8 bytes, and the first 16 of its MAC
	MAC     []byte // over all of this and the MAC of the seal before
}

const (
	entryMAC  = 16
	entrySize = 8 + entryMAC
)

// An entry is an event under a seal.
type entry struct {
	seq int64
	mac [entryMAC]byte
}

func appendEntry(b []byte, k *auditKey, e *Event) []byte {
	mac := k.eventMAC(e)
	return append(binary.BigEndian.AppendUint64(b, uint64(e.Seq)), mac[:entryMAC]...)
}

// entries are those of the seal.
func (s *Seal) entries() (all []entry, err error) {
	if len(s.Entries)%entrySize != 0 {
		return nil, errors.New("it is cut off")
	}
	for b := s.Entries; len(b) > 0; b = b[entrySize:] {
		all = append(all, entry{int64(binary.BigEndian.Uint64(b)), [entryMAC]byte(b[8:entrySize])})
	}
	return all, nil
}

// sealMAC is what the MAC of s has to be, behind a seal whose MAC is before.
func (k *auditKey) sealMAC(s *Seal, before []byte) Tag {
	return k.mac("seal 1", string(before), number(s.Number), number(s.Time.UnixMilli()), number(s.Upto), number(s.Total), string(s.Entries))
}

// A Head names a seal, and with it all events under this seal and those before. With a
// copy that is kept elsewhere one can detect that the log's end was removed, or that an
// older state of the log was restored.
type Head struct {
	Number int64
	MAC    [16]byte
}

// Head is the head of the log that ends with this seal.
func (s *Seal) Head() (h Head) {
	h.Number = s.Number
	copy(h.MAC[:], s.MAC)
	return h
}

func (h Head) String() string { return fmt.Sprintf("%d:%x", h.Number, h.MAC) }

// ParseHead reads what String wrote.
func ParseHead(text string) (h Head, err error) {
	n, mac, _ := strings.Cut(text, ":")
	if h.Number, err = strconv.ParseInt(n, 10, 64); err == nil && h.Number > 0 {
		var raw []byte
		if raw, err = hex.DecodeString(mac); err == nil && len(raw) == len(h.MAC) {
			h.MAC = [16]byte(raw)
			return h, nil
		}
	}
	return h, errors.New("want what audit --verify shows: a number, a colon and 32 hex digits")
}

// An anchor is what remains of seals that were removed with their events: the last of
// them, without its entries. The next seal follows it.
type anchor struct {
	Number int64  `json:"number"`
	Upto   int64  `json:"upto"`
	Total  int64  `json:"total"`
	Before int64  `json:"before"` // milliseconds since 1970: its time
	Chain  []byte `json:"chain"`  // its MAC
	MAC    []byte `json:"mac"`    // over all of this
}

const anchorSetting = "audit-anchor"

func (k *auditKey) anchorMAC(a *anchor) Tag {
	return k.mac("anchor 1", number(a.Number), number(a.Upto), number(a.Total), number(a.Before), string(a.Chain))
}

// anchorAt makes the anchor of a seal that is removed.
func (k *auditKey) anchorAt(s *Seal) ([]byte, error) {
	a := anchor{Number: s.Number, Upto: s.Upto, Total: s.Total, Before: s.Time.UnixMilli(), Chain: s.MAC}
	mac := k.anchorMAC(&a)
	a.MAC = mac[:]
	return json.Marshal(a)
}

// anchorOf is the store's anchor. The zero value precedes the first seal.
func anchorOf(tx Settings) (a anchor, err error) {
	raw, err := tx.Setting(anchorSetting)
	if errors.Is(err, ErrNotFound) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	if err != nil {
		return a, fmt.Errorf("reading the anchor of the audit log: %w", err)
	}
	return a, nil
}

// seal is the anchor as the seal that the first one there follows.
func (a *anchor) seal() Seal {
	return Seal{Number: a.Number, Time: time.UnixMilli(a.Before).UTC(), Upto: a.Upto, Total: a.Total, MAC: a.Chain}
}

// lastSeal is the newest seal, or the anchor if there is none.
func lastSeal(tx Tx) (Seal, error) {
	s, err := tx.LastSeal()
	if errors.Is(err, ErrNotFound) {
		var a anchor
		a, err = anchorOf(tx)
		s = a.seal()
	}
	return s, err
}
