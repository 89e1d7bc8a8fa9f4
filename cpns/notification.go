package cpns

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Notification is the EUKey Assignment Notification, PN GW -> PNE, in answer to
// a [Hello] (CR "EUKey Assignment" 7.4.2.1.1.3).
//
//	notification = [2, e, g, epoch, index, COSE_Encrypt0, ? x25519: bstr .size 32]
//
//	key          = HKDF(TK | Z, H(hello), "CPNS EUKey Assignment Notification" | 0x00 | e, 32)
//	external_aad = cbor([2, e, g, epoch, index, ? x25519])
//	plaintext    = EUKey_index, 32 bytes
//
// Z is the shared secret of X25519 where the hello had a public key, else empty.
type Notification struct {
	Entity  EntityID
	Gateway GatewayID
	Epoch   Epoch
	Index   Index
	// X25519 is the gateway's public key, nil where the hello had none.
	X25519 *[X25519Size]byte
	sealed encrypt0
}

func (m *Notification) code(c *coder) {
	withX25519 := c.arrayOr(6, m.X25519 != nil)
	m.codeFields(c)
	m.sealed.code(c)
	if withX25519 {
		codeX25519(c, &m.X25519)
	}
}

// codeFields codes what stands before the COSE_Encrypt0.
func (m *Notification) codeFields(c *coder) {
	c.is(uint64(TypeNotification))
	text(c, &m.Entity)
	text(c, &m.Gateway)
	number(c, &m.Epoch)
	number(c, &m.Index)
}

// SealNotification makes the notification that gives key, EUKey_index, to the
// PNE whose hello h is, under its tk and, where h has an X25519 key, under what
// pair shares with it; pair may be nil where h has none. The key that seals is
// the hello's own; iv must nevertheless be random, since the same hello may be
// answered twice. Errors wrap [ErrMalformed] where h cannot be answered: it offers
// no algorithm that fits, or a public key of small order. Whether h is the PNE's
// ([Hello.Verify]) is for the caller to have seen. PN GW: 7.4.2.1.1.3 steps 2 and 3.
func SealNotification(tk TK, h *Hello, pair *X25519Pair, g GatewayID, epoch Epoch, index Index, key *EUKey, iv [IVSize]byte) (*Notification, error) {
	m, err := sealNotification(tk, h, pair, g, epoch, index, key, iv)
	if err != nil {
		return nil, fmt.Errorf("sealing notification: %w", err)
	}
	return m, nil
}

func sealNotification(tk TK, h *Hello, pair *X25519Pair, g GatewayID, epoch Epoch, index Index, key *EUKey, iv [IVSize]byte) (*Notification, error) {
	m := &Notification{Entity: h.Entity, Gateway: g, Epoch: epoch, Index: index}
	if err := cmp.Or(tk.check(), m.check()); err != nil {
		return nil, err
	}
	if !h.Opens(AlgChaCha20Poly1305) {
		return nil, malformed(errors.New("the hello does not offer ChaCha20-Poly1305"))
	}
	var z []byte
	if h.X25519 != nil {
		var err error
		if z, err = pair.shared(h.X25519); err != nil {
			return nil, err
		}
		public := pair.Public()
		m.X25519 = &public
	}
	hash, err := h.Hash()
	if err != nil {
		return nil, err
	}
	m.sealed = sealEncrypt0(m.key(tk, z, &hash), iv, m.externalAAD(), key[:])
	clear(z)
	return m, nil
}

// Open decrypts the EUKey. hello is H(hello) of the PNE's latest hello: a
// notification made for any other does not open. pair is the one whose public key
// that hello had, nil where it had none. Errors wrap [ErrNotAuthentic], or
// [ErrMalformed] where who holds TK sent nonsense. Whether epoch and index may be
// taken is the caller's to decide. PNE: 7.4.2.1.1.3, last paragraph, step 1.
func (m *Notification) Open(tk TK, hello *[sha256.Size]byte, pair *X25519Pair) (EUKey, error) {
	key, err := m.open(tk, hello, pair)
	if err != nil {
		return EUKey{}, fmt.Errorf("opening notification: %w", err)
	}
	return key, nil
}

func (m *Notification) open(tk TK, hello *[sha256.Size]byte, pair *X25519Pair) (key EUKey, err error) {
	var z []byte
	switch {
	case m.X25519 == nil && pair != nil:
		return key, fmt.Errorf("%w: no X25519 key, and the hello had one", ErrNotAuthentic)
	case m.X25519 != nil && pair == nil:
		return key, fmt.Errorf("%w: an X25519 key, and the hello had none", ErrNotAuthentic)
	case pair != nil:
		if z, err = pair.shared(m.X25519); err != nil {
			return key, err
		}
		defer clear(z)
	}
	plaintext, err := m.sealed.open(m.key(tk, z, hello), m.externalAAD())
	if err != nil {
		return key, err
	}
	defer clear(plaintext)
	if len(plaintext) != EUKeySize {
		return key, fmt.Errorf("%w: an EUKey of %d bytes", ErrMalformed, len(plaintext))
	}
	return EUKey(plaintext), nil
}

func (m *Notification) key(tk TK, z []byte, hello *[sha256.Size]byte) *[32]byte {
	secret := slices.Concat(tk, z)
	defer clear(secret)
	return deriveKey(secret, hello[:], labelFor(labelNotification, m.Entity))
}

func (m *Notification) externalAAD() []byte {
	var c coder
	withX25519 := c.arrayOr(5, m.X25519 != nil)
	m.codeFields(&c)
	if withX25519 {
		codeX25519(&c, &m.X25519)
	}
	return c.out
}

// MessageType is TypeNotification.
func (*Notification) MessageType() MessageType { return TypeNotification }

// Marshal encodes the message.
func (m *Notification) Marshal() ([]byte, error) { return encodeMessage(m) }

func (m *Notification) checkAll() error { return cmp.Or(m.check(), m.sealed.check()) }

func (m *Notification) check() error {
	return cmp.Or(m.Entity.check(), m.Gateway.check(), checkEpochIndex(m.Epoch, m.Index))
}
