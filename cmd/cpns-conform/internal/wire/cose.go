package wire

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// The protected headers of section 4: {1: 24} and {1: 5}, encoded.
var (
	ProtectedEncrypt0 = []byte{0xa1, 0x01, 0x18, 0x18}
	ProtectedMAC0     = []byte{0xa1, 0x01, 0x05}
)

// Hash is H.
func Hash(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// Key is HKDF(secret, salt, info, 32).
func Key(secret, salt []byte, info string) []byte {
	key, err := hkdf.Key(sha256.New, secret, salt, info, 32)
	if err != nil {
		panic("wire: HKDF: " + err.Error()) // 32 bytes are never too many
	}
	return key
}

// Seal is the ciphertext of a COSE_Encrypt0 (RFC 9052, section 5.3).
func Seal(key, iv, externalAAD, plaintext []byte) []byte {
	return aead(key).Seal(nil, iv, plaintext, encStructure(externalAAD))
}

// Open undoes Seal.
func Open(key, iv, externalAAD, ciphertext []byte) (plaintext []byte, ok bool) {
	plaintext, err := aead(key).Open(nil, iv, ciphertext, encStructure(externalAAD))
	return plaintext, err == nil
}

func encStructure(externalAAD []byte) []byte {
	return Array(Text("Encrypt0"), Bytes(ProtectedEncrypt0), Bytes(externalAAD))
}

func aead(key []byte) interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
} {
	a, err := chacha20poly1305.New(key)
	if err != nil {
		panic("wire: ChaCha20-Poly1305: " + err.Error()) // the key has its 32 bytes
	}
	return a
}

// Encrypt0 is a COSE_Encrypt0 of CPNS-1.
func Encrypt0(iv, ciphertext []byte) []byte {
	return Array(Bytes(ProtectedEncrypt0), Map(Uint(5), Bytes(iv)), Bytes(ciphertext))
}

// Tag is the tag of a COSE_Mac0 with an empty payload (RFC 9052, section 6.3).
func Tag(key, externalAAD []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(Array(Text("MAC0"), Bytes(ProtectedMAC0), Bytes(externalAAD), Bytes(nil)))
	return mac.Sum(nil)
}

// MAC0 is a COSE_Mac0 of CPNS-1.
func MAC0(tag []byte) []byte {
	return Array(Bytes(ProtectedMAC0), Map(), Bytes(nil), Bytes(tag))
}

// label is a key's info: what it is for, 0x00, and the PNE that it is for.
func label(what, e string) string { return what + "\x00" + e }

// Chain is EUKey_1 … EUKey_n, of which the last is given: EUKey_(k-1) = H(EUKey_k).
func Chain(last []byte, n int) [][]byte {
	chain := make([][]byte, n)
	chain[n-1] = slices.Clone(last)
	for k := n - 1; k > 0; k-- {
		chain[k-1] = Hash(chain[k])
	}
	return chain
}
