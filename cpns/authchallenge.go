package cpns

import "cmp"

// AuthChallenge, PN GW -> PNE, begins the mutual authentication: prove that you
// hold the EUKey. The PNE answers with an [AuthResponse], and only to the gateway
// whose notification it took.
//
//	auth-challenge = [4, e, g, rand-gw: bstr .size 16]
type AuthChallenge struct {
	Entity  EntityID
	Gateway GatewayID
	RandGW  [NonceSize]byte // fresh each time
}

func (m *AuthChallenge) code(c *coder) {
	c.array(4)
	c.is(uint64(TypeAuthChallenge))
	text(c, &m.Entity)
	text(c, &m.Gateway)
	c.fixed(m.RandGW[:])
}

// MessageType is TypeAuthChallenge.
func (*AuthChallenge) MessageType() MessageType { return TypeAuthChallenge }

// Marshal encodes the message.
func (m *AuthChallenge) Marshal() ([]byte, error) { return encodeMessage(m) }

func (m *AuthChallenge) checkAll() error { return cmp.Or(m.Entity.check(), m.Gateway.check()) }
