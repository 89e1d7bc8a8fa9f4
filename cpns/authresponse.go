package cpns

import (
	"cmp"
	"fmt"
	"slices"
)

// AuthResponse, PNE -> PN GW, answers an [AuthChallenge]: the PNE holds
// EUKey_index. The gateway proves the same to it by the [EUKeyUpdate] that
// follows.
//
//	auth-response = [5, e, rand-pne: bstr .size 16, epoch, index, COSE_Mac0]
//
//	key          = HKDF(EUKey_index, rand-gw | rand-pne, "CPNS Mutual Authentication" | 0x00 | e, 32)
//	external_aad = cbor([5, e, g, rand-gw, rand-pne, epoch, index])
type AuthResponse struct {
	Entity  EntityID
	RandPNE [NonceSize]byte // fresh for each challenge
	Epoch   Epoch
	Index   Index
	mac     mac0
}

func (m *AuthResponse) code(c *coder) {
	c.array(6)
	c.is(uint64(TypeAuthResponse))
	text(c, &m.Entity)
	c.fixed(m.RandPNE[:])
	number(c, &m.Epoch)
	number(c, &m.Index)
	m.mac.code(c)
}

// NewAuthResponse answers the challenge randGW of g: e holds key, EUKey_index.
// PNE.
func NewAuthResponse(key *EUKey, g GatewayID, randGW, randPNE *[NonceSize]byte, e EntityID, epoch Epoch, index Index) *AuthResponse {
	m := &AuthResponse{Entity: e, RandPNE: *randPNE, Epoch: epoch, Index: index}
	m.mac = createMAC0(m.key(key, randGW), m.externalAAD(g, randGW))
	return m
}

// Verify returns nil only if the PNE holds key and answers the challenge randGW
// of g. Errors wrap [ErrNotAuthentic]. PN GW.
func (m *AuthResponse) Verify(key *EUKey, g GatewayID, randGW *[NonceSize]byte) error {
	if err := m.mac.verify(m.key(key, randGW), m.externalAAD(g, randGW)); err != nil {
		return fmt.Errorf("verifying auth-response: %w", err)
	}
	return nil
}

// authContext is rand-gw | rand-pne, 32 bytes: what the keys of one mutual
// authentication are salted with.
func authContext(randGW, randPNE *[NonceSize]byte) []byte {
	return slices.Concat(randGW[:], randPNE[:])
}

func (m *AuthResponse) key(key *EUKey, randGW *[NonceSize]byte) *[32]byte {
	return deriveKey(key[:], authContext(randGW, &m.RandPNE), labelFor(labelAuthentication, m.Entity))
}

func (m *AuthResponse) externalAAD(g GatewayID, randGW *[NonceSize]byte) []byte {
	return encodeArray(TypeAuthResponse, m.Entity, g, randGW, &m.RandPNE, m.Epoch, m.Index)
}

// MessageType is TypeAuthResponse.
func (*AuthResponse) MessageType() MessageType { return TypeAuthResponse }

// Marshal encodes the message.
func (m *AuthResponse) Marshal() ([]byte, error) { return encodeMessage(m) }

func (m *AuthResponse) checkAll() error {
	return cmp.Or(m.Entity.check(), checkEpochIndex(m.Epoch, m.Index), m.mac.check())
}
