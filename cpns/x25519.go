package cpns

import (
	"crypto/ecdh"
	"fmt"
)

// X25519Size is the size of a public or private key and of a shared secret, in
// bytes (RFC 7748).
const X25519Size = 32

// X25519Pair is a key pair of X25519 (RFC 7748) of a PNE or of a gateway: what
// makes a notification unreadable for who only listens and learns TK later. A
// PNE makes one after it was switched on and wipes it when it has taken a
// notification; a gateway uses one for ten minutes at most. Neither is ever stored.
type X25519Pair struct {
	private [X25519Size]byte
	public  [X25519Size]byte
}

// NewX25519Pair makes the pair of a private key: 32 random bytes, any of which
// will do.
func NewX25519Pair(private [X25519Size]byte) *X25519Pair {
	p := &X25519Pair{private: private}
	copy(p.public[:], p.key().PublicKey().Bytes())
	return p
}

// Public is what the other side is told.
func (p *X25519Pair) Public() [X25519Size]byte { return p.public }

// Wipe overwrites the private key. The pair is of no use afterwards.
func (p *X25519Pair) Wipe() { clear(p.private[:]) }

// shared is Z, the secret that the pair has with whose public key that is. A
// public key that makes it zero is refused with ErrMalformed: everybody would
// know it. The top bit of a public key is ignored (RFC 7748 section 5).
func (p *X25519Pair) shared(public *[X25519Size]byte) ([]byte, error) {
	key, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		panic("cpns: an X25519 public key of 32 bytes: " + err.Error())
	}
	z, err := p.key().ECDH(key)
	if err != nil {
		return nil, fmt.Errorf("%w: an X25519 public key of small order", ErrMalformed)
	}
	return z, nil
}

func (p *X25519Pair) key() *ecdh.PrivateKey {
	key, err := ecdh.X25519().NewPrivateKey(p.private[:])
	if err != nil {
		panic("cpns: an X25519 private key of 32 bytes: " + err.Error())
	}
	return key
}

// codeX25519 codes a public key that is there.
func codeX25519(c *coder, public **[X25519Size]byte) {
	if c.in != nil {
		*public = new([X25519Size]byte)
	}
	c.fixed((*public)[:])
}
