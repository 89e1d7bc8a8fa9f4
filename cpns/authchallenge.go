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

type authChallengeArray struct {
	_    struct{} `cbor:",toarray"`
	Type MessageType
	AuthChallenge
}

// MessageType is TypeAuthChallenge.
func (*AuthChallenge) MessageType() MessageType { return TypeAuthChallenge }

// Marshal encodes the message.
func (m *AuthChallenge) Marshal() ([]byte, error) {
	return encodeMessage(TypeAuthChallenge, &authChallengeArray{Type: TypeAuthChallenge, AuthChallenge: *m})
}

func parseAuthChallenge(b []byte) (*AuthChallenge, error) {
	var w authChallengeArray
	if err := decodeMessage(b, &w); err != nil {
		return nil, err
	}
	return &w.AuthChallenge, nil
}

func (w *authChallengeArray) check() error {
	return cmp.Or(w.Entity.check(), w.Gateway.check())
}
