package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Every event of the audit log has a MAC from the moment when it is added, so that
// somebody who can write to the database but does not have the master key can neither
// change an event nor add one. Each store has a random MAC key, sealed like every other
// secret; it stays the same when the master key is replaced.
const auditKeySetting = "audit-key"

// An auditKey is the key of the audit log's MACs.
type auditKey [sha256.Size]byte

// mac computes the MAC over fields, the first of which says what they are.
func (k *auditKey) mac(fields ...string) Tag { return tagOf(k[:], appendFields(nil, fields...)) }

// eventMAC is the MAC of an event without its number, which the store gives later.
func (k *auditKey) eventMAC(e *Event) Tag {
	return k.mac("event 1", number(e.Time.UnixMilli()), string(e.Kind), string(e.User), string(e.Entity), string(e.Gateway),
		number(int64(e.Epoch)), e.Source, e.Detail)
}

// signed reports whether the event has a MAC at all.
func (e *Event) signed() bool { return e.MAC != Tag{} }

// wrote reports whether the event's MAC is valid, so that a holder of the key wrote it.
func (k *auditKey) wrote(e *Event) bool {
	want := k.eventMAC(e)
	return hmac.Equal(want[:], e.MAC[:])
}

func number(n int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

// addAuditKey makes the key of a new store.
func (v *vault) addAuditKey(tx Tx) (*auditKey, error) {
	k := new(auditKey)
	rand.Read(k[:])
	sealed, err := v.seal(columnAuditKey, auditKeySetting, k[:])
	if err != nil {
		return nil, err
	}
	return k, tx.AddSetting(auditKeySetting, sealed)
}

// findAuditKey returns the store's audit key. It fails with ErrNotFound if an older
// program made the store and no event has been added since.
func (v *vault) findAuditKey(tx Tx) (*auditKey, error) {
	if k := v.audit.Load(); k != nil {
		return k, nil
	}
	sealed, err := tx.Setting(auditKeySetting)
	if err != nil {
		return nil, err
	}
	plain, err := v.open(columnAuditKey, auditKeySetting, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(plain) != len(auditKey{}) {
		return nil, fmt.Errorf("the key of the audit log has %d bytes", len(plain))
	}
	return (*auditKey)(append([]byte(nil), plain...)), nil
}

// bound checks that a store is the master key's, and remembers its audit key.
func (v *vault) bound(tx Tx) error {
	if err := v.bind(tx); err != nil {
		return err
	}
	k, err := v.findAuditKey(tx)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		v.audit.Store(k)
	}
	return err
}

// A signingStore is a store whose transactions give the events that they add a MAC.
type signingStore struct {
	Store
	vault *vault
}

func (s signingStore) Update(ctx context.Context, f func(Tx) error) error {
	return s.Store.Update(ctx, s.signed(f))
}

// Assign signs the event of the outcome.
func (s signingStore) Assign(ctx context.Context, q *Inquiry, decide func(*Findings) (*Outcome, error)) error {
	k, err := s.key(ctx)
	if err != nil {
		return err
	}
	return s.Store.Assign(ctx, q, func(f *Findings) (*Outcome, error) {
		o, err := decide(f)
		if err == nil && o.Event != nil {
			signed := *o
			e := k.sign(*o.Event)
			signed.Event = &e
			o = &signed
		}
		return o, err
	})
}

// key is the store's, which gets one where an older program made it.
func (s signingStore) key(ctx context.Context) (*auditKey, error) {
	if k := s.vault.audit.Load(); k != nil {
		return k, nil
	}
	var k *auditKey
	err := s.Store.Update(ctx, func(tx Tx) (err error) {
		k, err = (&signingTx{Tx: tx, vault: s.vault}).key()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("finding the key of the audit log: %w", err)
	}
	s.vault.audit.Store(k)
	return k, nil
}

func (s signingStore) Tidy(ctx context.Context, f func(Tx) error) error {
	return s.Store.Tidy(ctx, s.signed(f))
}

func (s signingStore) signed(f func(Tx) error) func(Tx) error {
	return func(tx Tx) error { return f(&signingTx{Tx: tx, vault: s.vault}) }
}

type signingTx struct {
	Tx
	vault *vault
	made  *auditKey // in this transaction, which may still fail
}

func (t *signingTx) key() (*auditKey, error) {
	if t.made != nil {
		return t.made, nil
	}
	k, err := t.vault.findAuditKey(t.Tx)
	if errors.Is(err, ErrNotFound) {
		t.made, err = t.vault.addAuditKey(t.Tx)
		return t.made, err
	}
	if err == nil {
		t.vault.audit.Store(k)
	}
	return k, err
}

// AddEvent adds an event with its MAC.
func (t *signingTx) AddEvent(e Event) error {
	k, err := t.key()
	if err != nil {
		return fmt.Errorf("adding to the audit log: %w", err)
	}
	return t.Tx.AddEvent(k.sign(e))
}

// sign is the event as it can be read again from every store, with its MAC.
func (k *auditKey) sign(e Event) Event {
	e.Time = time.UnixMilli(e.Time.UnixMilli()).UTC()
	e.Source, e.Detail = storable(e.Source), storable(e.Detail)
	e.MAC = k.eventMAC(&e)
	return e
}

// storable is a text without the characters that some stores cannot keep.
func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\ufffd"), "\ufffd")
}
