package cpns

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Hello, PNE -> PN GW: here I am, and this is what I hold. Its tag says that
// who holds TK made it, and its hash makes the answer to it good for this one
// hello.
//
//	hello = [1, 1, e, nonce: bstr .size 16, epoch, index, [1*8 alg: int], ? x25519: bstr .size 32, COSE_Mac0]
//
//	key          = HKDF(TK, nonce, "CPNS Hello" | 0x00 | e, 32)
//	external_aad = cbor of the hello without its COSE_Mac0, an array of 7 or 8 elements
//
// A PNE that holds no EUKey says epoch 0 and index 0. A hello is fresh only for
// the PNE: a gateway may be shown a copy of an old one.
type Hello struct {
	Entity EntityID
	Nonce  [NonceSize]byte // fresh for each new hello
	Epoch  Epoch
	Index  Index
	// Algs are the COSE algorithms that the PNE can open, 1 to 8, in any order;
	// unknown ones and duplicates mean nothing.
	Algs []int64
	// X25519 is the public key of a pair of the PNE's, nil where it has none: the
	// answer then carries the gateway's.
	X25519 *[X25519Size]byte
	mac    mac0
}

// AlgChaCha20Poly1305 is the COSE algorithm (RFC 9053 section 4.3) that
// notifications and updates are sealed with.
const AlgChaCha20Poly1305 int64 = 24

// maxAlgs is how many algorithms a hello lists at most.
const maxAlgs = 8

func (m *Hello) code(c *coder) {
	withX25519 := c.arrayOr(8, m.X25519 != nil)
	m.codeFields(c, withX25519)
	m.mac.code(c)
}

// codeFields codes what stands before the COSE_Mac0, and is under its tag.
func (m *Hello) codeFields(c *coder, withX25519 bool) {
	c.is(uint64(TypeHello))
	c.version()
	text(c, &m.Entity)
	c.fixed(m.Nonce[:])
	number(c, &m.Epoch)
	number(c, &m.Index)
	m.codeAlgs(c)
	if withX25519 {
		codeX25519(c, &m.X25519)
	}
}

func (m *Hello) codeAlgs(c *coder) {
	if c.in != nil {
		m.Algs = make([]int64, c.in.ArrayLen(maxAlgs))
		for i := range m.Algs {
			m.Algs[i] = c.in.Int()
		}
		return
	}
	c.out.Array(len(m.Algs))
	for _, alg := range m.Algs {
		c.out.Int(alg)
	}
}

// NewHello is m with its tag under tk. PNE.
func NewHello(tk TK, m Hello) (*Hello, error) {
	if err := cmp.Or(tk.check(), m.check()); err != nil {
		return nil, fmt.Errorf("making hello: %w", err)
	}
	m.mac = createMAC0(m.key(tk), m.externalAAD())
	return &m, nil
}

// Verify returns nil only if who holds tk made this hello, at whatever time.
// Errors wrap [ErrNotAuthentic]. PN GW, before anything else is made of it.
func (m *Hello) Verify(tk TK) error {
	if err := m.mac.verify(m.key(tk), m.externalAAD()); err != nil {
		return fmt.Errorf("verifying hello: %w", err)
	}
	return nil
}

// Hash is H(hello), over the bytes of the whole message: what binds the answer
// to it, and the acknowledgement of that.
func (m *Hello) Hash() (h [sha256.Size]byte, err error) {
	b, err := m.Marshal()
	if err != nil {
		return h, err
	}
	return sha256.Sum256(b), nil
}

// Opens reports whether the PNE can open what is sealed with alg.
func (m *Hello) Opens(alg int64) bool { return slices.Contains(m.Algs, alg) }

func (m *Hello) key(tk TK) *[32]byte {
	return deriveKey(tk, m.Nonce[:], labelFor(labelHello, m.Entity))
}

func (m *Hello) externalAAD() []byte {
	var c coder
	withX25519 := c.arrayOr(7, m.X25519 != nil)
	m.codeFields(&c, withX25519)
	return c.out
}

// MessageType is TypeHello.
func (*Hello) MessageType() MessageType { return TypeHello }

// Marshal encodes the message.
func (m *Hello) Marshal() ([]byte, error) { return encodeMessage(m) }

func (m *Hello) checkAll() error { return cmp.Or(m.check(), m.mac.check()) }

func (m *Hello) check() error {
	if err := m.Entity.check(); err != nil {
		return err
	}
	if len(m.Algs) == 0 || len(m.Algs) > maxAlgs {
		return fmt.Errorf("%d algorithms, must be 1 to %d", len(m.Algs), maxAlgs)
	}
	if m.Epoch == 0 && m.Index == 0 {
		return nil
	}
	return checkEpochIndex(m.Epoch, m.Index)
}

// parsePNEHello is what an EUKey Assignment Request may carry: a hello of e.
func parsePNEHello(b []byte, e EntityID) (*Hello, error) {
	m, err := ParseMessage(b)
	if err != nil {
		return nil, fmt.Errorf("pne-hello: %w", err)
	}
	if h, ok := m.(*Hello); ok && h.Entity == e {
		return h, nil
	}
	return nil, malformed(errors.New("pne-hello: not a hello of the PNE that is asked for"))
}
