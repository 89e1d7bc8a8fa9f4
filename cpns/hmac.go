package cpns

import "crypto/sha256"

// hmacSHA256 is HMAC (RFC 2104) with SHA-256 over the parts, one after the other.
//
// Every MAC and every derived key of the protocol is one of these over a few dozen bytes.
// crypto/hmac and crypto/hkdf are made for keys and hashes of any kind, which costs
// them more than the hashing: 16 allocations and twice the time for one derived key. A
// test holds this to them.
func hmacSHA256(key []byte, parts ...[]byte) (mac [sha256.Size]byte) {
	var pad [sha256.BlockSize]byte
	if len(key) > len(pad) {
		short := sha256.Sum256(key)
		key = short[:]
	}
	copy(pad[:], key)
	for i := range pad {
		pad[i] ^= 0x36
	}
	h := sha256.New()
	h.Write(pad[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(mac[:0])
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	h.Reset()
	h.Write(pad[:])
	h.Write(mac[:])
	h.Sum(mac[:0])
	return mac
}

// deriveKey is HKDF(secret, salt, info, 32) of RFC 5869 with SHA-256: of that length it is
// two MACs.
func deriveKey(secret, salt []byte, info string) *[32]byte {
	extracted := hmacSHA256(salt, secret)
	key := hmacSHA256(extracted[:], []byte(info), []byte{1})
	return &key
}
