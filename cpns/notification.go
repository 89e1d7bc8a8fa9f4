package cpns

import (
	"cmp"
	"fmt"
)

// Notification is the EUKey Assignment Notification, PN GW -> PNE, in answer to
// a [Hello] (CR "EUKey Assignment" 7.4.2.1.1.3).
//
//	notification = [2, e, g, epoch, index, COSE_Encrypt0]
//
//	key          = HKDF(TK, nonce, "CPNS EUKey Assignment Notification" | 0x00 | e, 32)
//	external_aad = cbor([2, e, g, epoch, index])
//	plaintext    = EUKey_index, 32 bytes
type Notification struct {
	Entity  EntityID
	Gateway GatewayID
	Epoch   Epoch
	Index   Index
	sealed  encrypt0
}

type notificationArray struct {
	_    struct{} `cbor:",toarray"`
	Type MessageType
	Notification
	Sealed encrypt0
}

// SealNotification makes the notification that gives key, EUKey_index, to the
// PNE e under its tk and the nonce of its hello. The key that seals is the hello's
// own; iv must nevertheless be random, since the same hello may be answered twice.
// PN GW: 7.4.2.1.1.3 steps 2 and 3.
func SealNotification(tk TK, nonce *[NonceSize]byte, e EntityID, g GatewayID, epoch Epoch, index Index, key *EUKey, iv [IVSize]byte) (*Notification, error) {
	m := &Notification{Entity: e, Gateway: g, Epoch: epoch, Index: index}
	if err := cmp.Or(tk.check(), m.check()); err != nil {
		return nil, fmt.Errorf("sealing notification: %w", err)
	}
	m.sealed = sealEncrypt0(m.key(tk, nonce), iv, m.externalAAD(), key[:])
	return m, nil
}

// Open decrypts the EUKey. nonce must be the one of the PNE's latest hello: a
// notification made for any other does not open. Whether epoch and index may be
// taken is the caller's to decide. PNE: 7.4.2.1.1.3, last paragraph, step 1.
func (m *Notification) Open(tk TK, nonce *[NonceSize]byte) (EUKey, error) {
	plaintext, err := m.sealed.open(m.key(tk, nonce), m.externalAAD())
	if err != nil {
		return EUKey{}, fmt.Errorf("opening notification: %w", err)
	}
	if len(plaintext) != EUKeySize {
		return EUKey{}, fmt.Errorf("opening notification: %w: an EUKey of %d bytes", ErrMalformed, len(plaintext))
	}
	return EUKey(plaintext), nil
}

func (m *Notification) key(tk TK, nonce *[NonceSize]byte) *[32]byte {
	return deriveKey(tk, nonce[:], labelFor(labelNotification, m.Entity))
}

func (m *Notification) externalAAD() []byte {
	return encodeArray(TypeNotification, m.Entity, m.Gateway, m.Epoch, m.Index)
}

// MessageType is TypeNotification.
func (*Notification) MessageType() MessageType { return TypeNotification }

// Marshal encodes the message.
func (m *Notification) Marshal() ([]byte, error) {
	return encodeMessage(TypeNotification, &notificationArray{Type: TypeNotification, Notification: *m, Sealed: m.sealed})
}

func parseNotification(b []byte) (*Notification, error) {
	var w notificationArray
	if err := decodeMessage(b, &w); err != nil {
		return nil, err
	}
	w.sealed = w.Sealed
	return &w.Notification, nil
}

func (w *notificationArray) check() error {
	return cmp.Or(w.Notification.check(), w.Sealed.check())
}

func (m *Notification) check() error {
	return cmp.Or(m.Entity.check(), m.Gateway.check(), checkEpochIndex(m.Epoch, m.Index))
}
