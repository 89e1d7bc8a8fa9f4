package cpns

import (
	"cmp"
	"fmt"
	"slices"
)

// EUKeyUpdate, PN GW -> PNE, ends the mutual authentication (CR "EUKey
// Assignment" 7.4.2.1.1.2 step 4: "the update of EUKey is performed during mutual
// authentication"). It gives the next EUKey, or none where the PNE stays on its
// own: the set is used up, or no step is due. By opening it the PNE knows that the
// gateway holds the same EUKey. The PNE answers with an [Acknowledgement].
//
//	eukey-update = [6, e, epoch, index, COSE_Encrypt0]
//
//	key          = HKDF(TK | EUKey_held, rand-gw | rand-pne, "CPNS EUKey Update" | 0x00 | e, 32)
//	external_aad = cbor([6, e, g, rand-gw, rand-pne, epoch, index])
//	plaintext    = the next EUKey, index = held + 1; or empty, index = the one held
type EUKeyUpdate struct {
	Entity EntityID
	Epoch  Epoch
	Index  Index
	sealed encrypt0
}

func (m *EUKeyUpdate) code(c *coder) {
	c.array(5)
	c.is(uint64(TypeEUKeyUpdate))
	text(c, &m.Entity)
	number(c, &m.Epoch)
	number(c, &m.Index)
	m.sealed.code(c)
}

// SealEUKeyUpdate makes the update of the authentication randGW, randPNE between
// g and e, which holds held. next is EUKey_index; or nil where the PNE stays on
// its key, and index is then the one held. iv is random. PN GW.
func SealEUKeyUpdate(tk TK, held *EUKey, g GatewayID, randGW, randPNE *[NonceSize]byte, e EntityID, epoch Epoch, index Index, next *EUKey, iv [IVSize]byte) (*EUKeyUpdate, error) {
	m := &EUKeyUpdate{Entity: e, Epoch: epoch, Index: index}
	if err := cmp.Or(tk.check(), g.check(), m.check()); err != nil {
		return nil, fmt.Errorf("sealing eukey-update: %w", err)
	}
	var plaintext []byte
	if next != nil {
		plaintext = next[:]
	}
	m.sealed = sealEncrypt0(m.key(tk, held, randGW, randPNE), iv, m.externalAAD(g, randGW, randPNE), plaintext)
	return m, nil
}

// Open decrypts the next EUKey; it is nil, without an error, where the PNE stays
// on its key. That the key follows the one held ([EUKey.Precedes]), and that the
// index is the next, or the same where there is no key, is the caller's to check:
// a PNE answers that with a status of its own. PNE.
func (m *EUKeyUpdate) Open(tk TK, held *EUKey, g GatewayID, randGW, randPNE *[NonceSize]byte) (next *EUKey, err error) {
	plaintext, err := m.sealed.open(m.key(tk, held, randGW, randPNE), m.externalAAD(g, randGW, randPNE))
	if err != nil {
		return nil, fmt.Errorf("opening eukey-update: %w", err)
	}
	switch len(plaintext) {
	case 0:
		return nil, nil
	case EUKeySize:
		return (*EUKey)(plaintext), nil
	}
	return nil, fmt.Errorf("opening eukey-update: %w: an EUKey of %d bytes", ErrMalformed, len(plaintext))
}

func (m *EUKeyUpdate) key(tk TK, held *EUKey, randGW, randPNE *[NonceSize]byte) *[32]byte {
	secret := slices.Concat(tk, held[:])
	defer clear(secret)
	return deriveKey(secret, authContext(randGW, randPNE), labelFor(labelUpdate, m.Entity))
}

func (m *EUKeyUpdate) externalAAD(g GatewayID, randGW, randPNE *[NonceSize]byte) []byte {
	return encodeArray(TypeEUKeyUpdate, m.Entity, g, randGW, randPNE, m.Epoch, m.Index)
}

// MessageType is TypeEUKeyUpdate.
func (*EUKeyUpdate) MessageType() MessageType { return TypeEUKeyUpdate }

// Marshal encodes the message.
func (m *EUKeyUpdate) Marshal() ([]byte, error) { return encodeMessage(m) }

func (m *EUKeyUpdate) checkAll() error { return cmp.Or(m.check(), m.sealed.check()) }

func (m *EUKeyUpdate) check() error {
	return cmp.Or(m.Entity.check(), checkEpochIndex(m.Epoch, m.Index))
}
