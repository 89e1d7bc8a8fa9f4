package cpns

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// PNERandom is the nonce or rand-pne of a PNE that has no random generator, but a
// place for a counter (section 4, "Hello"):
//
//	HMAC(TK, "CPNS PNE Random" | 0x00 | counter as u64)[0:16]
//
// Each value of the counter serves once, and the next is stored before it does: two
// equal nonces would let a recorded notification open again.
func PNERandom(tk TK, counter uint64) [NonceSize]byte {
	h := hmac.New(sha256.New, tk)
	h.Write(binary.BigEndian.AppendUint64([]byte(labelPNERandom+"\x00"), counter))
	return [NonceSize]byte(h.Sum(nil)[:NonceSize])
}
