package cpns

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// The protected headers, encoded: algorithm (1) is ChaCha20-Poly1305 (24), or
// HMAC 256/256 (5). COSE objects of this protocol are untagged and carry exactly
// the headers shown here (RFC 9052, RFC 9053).
var (
	protectedEncrypt0 = []byte{0xa1, 0x01, 0x18, 0x18} // {1: 24}
	protectedMAC0     = []byte{0xa1, 0x01, 0x05}       // {1: 5}
)

// The keys of the unprotected header (RFC 9052 section 3.1).
const (
	headerKeyID = 4
	headerIV    = 5
)

// encrypt0 is the COSE_Encrypt0 of CPNS-1:
//
//	[<< {1: 24} >>, {5: IV (12 bytes)}, ciphertext]
type encrypt0 struct {
	protected  []byte
	iv         [IVSize]byte
	ciphertext []byte
}

func (o *encrypt0) code(c *coder) {
	c.array(3)
	octets(c, &o.protected)
	c.entries(1)
	c.is(headerIV)
	c.fixed(o.iv[:])
	octets(c, &o.ciphertext)
}

func sealEncrypt0(key *[32]byte, iv [IVSize]byte, externalAAD, plaintext []byte) encrypt0 {
	return encrypt0{
		protected:  protectedEncrypt0,
		iv:         iv,
		ciphertext: sealContent(nil, key, &iv, externalAAD, plaintext),
	}
}

func (o *encrypt0) check() error { return checkEncrypt0(o.protected, o.ciphertext) }

func (o *encrypt0) open(key *[32]byte, externalAAD []byte) ([]byte, error) {
	return openContent(key, &o.iv, externalAAD, o.ciphertext)
}

// checkEncrypt0 checks what every COSE_Encrypt0 of the protocol has in common.
func checkEncrypt0(protected, ciphertext []byte) error {
	if !bytes.Equal(protected, protectedEncrypt0) {
		return errors.New("COSE_Encrypt0: the protected header is not {1: 24}")
	}
	if len(ciphertext) < chacha20poly1305.Overhead {
		return fmt.Errorf("COSE_Encrypt0: a ciphertext of %d bytes is shorter than its tag", len(ciphertext))
	}
	return nil
}

// encStructure is the additional data of a COSE_Encrypt0 (RFC 9052 section 5.3).
func encStructure(externalAAD []byte) []byte {
	return encodeArray("Encrypt0", protectedEncrypt0, externalAAD)
}

// sealContent appends the ciphertext to dst, which may be plaintext[:0].
func sealContent(dst []byte, key *[32]byte, iv *[IVSize]byte, externalAAD, plaintext []byte) []byte {
	return newAEAD(key).Seal(dst, iv[:], plaintext, encStructure(externalAAD))
}

func openContent(key *[32]byte, iv *[IVSize]byte, externalAAD, ciphertext []byte) ([]byte, error) {
	plaintext, err := newAEAD(key).Open(nil, iv[:], ciphertext, encStructure(externalAAD))
	if err != nil {
		return nil, fmt.Errorf("%w: it does not decrypt", ErrNotAuthentic)
	}
	return plaintext, nil
}

// newAEAD is ChaCha20-Poly1305 (RFC 8439).
func newAEAD(key *[32]byte) cipher.AEAD {
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		panic("cpns: ChaCha20-Poly1305: " + err.Error()) // the key has its 32 bytes
	}
	return aead
}

// mac0 is the COSE_Mac0 of CPNS-1:
//
//	[<< {1: 5} >>, {}, h'', tag (32 bytes)]
//
// Everything that it authenticates lies in the external_aad; the payload is empty.
type mac0 struct {
	protected []byte
	payload   []byte
	tag       [sha256.Size]byte
}

func (o *mac0) code(c *coder) {
	c.array(4)
	octets(c, &o.protected)
	c.entries(0)
	octets(c, &o.payload)
	c.fixed(o.tag[:])
}

func createMAC0(key *[32]byte, externalAAD []byte) mac0 {
	return mac0{
		protected: protectedMAC0,
		payload:   []byte{},
		tag:       macTag(key, externalAAD, nil),
	}
}

func (o *mac0) check() error {
	if !bytes.Equal(o.protected, protectedMAC0) {
		return errors.New("COSE_Mac0: the protected header is not {1: 5}")
	}
	if len(o.payload) != 0 {
		return errors.New("COSE_Mac0: the payload is not empty")
	}
	return nil
}

func (o *mac0) verify(key *[32]byte, externalAAD []byte) error {
	want := macTag(key, externalAAD, o.payload)
	if !hmac.Equal(o.tag[:], want[:]) {
		return fmt.Errorf("%w: the MAC is wrong", ErrNotAuthentic)
	}
	return nil
}

// macStructure is what the tag of a COSE_Mac0 is computed over (RFC 9052 section 6.3).
func macStructure(externalAAD, payload []byte) []byte {
	return encodeArray("MAC0", protectedMAC0, externalAAD, payload)
}

func macTag(key *[32]byte, externalAAD, payload []byte) (tag [sha256.Size]byte) {
	h := hmac.New(sha256.New, key[:])
	h.Write(macStructure(externalAAD, payload))
	h.Sum(tag[:0])
	return tag
}

// deriveKey is HKDF(secret, salt, info, 32) of RFC 5869 with SHA-256.
func deriveKey(secret, salt []byte, info string) *[32]byte {
	key, err := hkdf.Key(sha256.New, secret, salt, info, 32)
	if err != nil {
		panic("cpns: HKDF: " + err.Error()) // 32 bytes are never too many
	}
	return (*[32]byte)(key)
}

// labelFor is the info of a key that serves one PNE only: label | 0x00 | e.
func labelFor(label string, e EntityID) string { return label + "\x00" + string(e) }
