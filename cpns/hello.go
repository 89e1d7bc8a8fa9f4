package cpns

import (
	"cmp"
	"errors"
)

// Hello, PNE -> PN GW: here I am, and this is what I hold. Its nonce makes the
// answer to it good for this one hello.
//
//	hello = [1, 1, e, nonce: bstr .size 16, epoch, index, [+ alg: int]]
//
// A PNE that holds no EUKey says epoch 0 and index 0. Nothing in a hello is
// authenticated: it may come from anybody.
type Hello struct {
	Entity EntityID
	Nonce  [NonceSize]byte // fresh each time
	Epoch  Epoch
	Index  Index
	// Algs are the COSE algorithms that the PNE can open, at least one. Numbers
	// beyond 64 bits, which CBOR could carry and no registry has, are refused.
	Algs []int64
}

// AlgChaCha20Poly1305 is the COSE algorithm (RFC 9053 section 4.3) that
// notifications and updates are sealed with.
const AlgChaCha20Poly1305 int64 = 24

type helloArray struct {
	_       struct{} `cbor:",toarray"`
	Type    MessageType
	Version uint8
	Hello
}

// MessageType is TypeHello.
func (*Hello) MessageType() MessageType { return TypeHello }

// Marshal encodes the message.
func (m *Hello) Marshal() ([]byte, error) {
	return encodeMessage(TypeHello, &helloArray{Type: TypeHello, Version: Version, Hello: *m})
}

func parseHello(b []byte) (*Hello, error) {
	var w helloArray
	if err := decodeMessage(b, &w); err != nil {
		return nil, err
	}
	return &w.Hello, nil
}

func (w *helloArray) check() error {
	if err := cmp.Or(checkVersion(w.Version), w.Entity.check()); err != nil {
		return err
	}
	if len(w.Algs) == 0 {
		return errors.New("no algorithm")
	}
	if w.Epoch == 0 && w.Index == 0 {
		return nil
	}
	return checkEpochIndex(w.Epoch, w.Index)
}
