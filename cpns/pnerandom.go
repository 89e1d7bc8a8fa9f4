package cpns

import "encoding/binary"

// PNERandom is the nonce or rand-pne of a PNE that has no random generator, but a
// place for a counter (section 4, "Hello"):
//
//	HMAC(TK, "CPNS PNE Random" | 0x00 | counter as u64)[0:16]
//
// Each value of the counter serves once, and the next is stored before it does: two
// equal nonces would let a recorded notification open again.
func PNERandom(tk TK, counter uint64) [NonceSize]byte {
	mac := hmacSHA256(tk, []byte(labelPNERandom+"\x00"), binary.BigEndian.AppendUint64(nil, counter))
	return [NonceSize]byte(mac[:NonceSize])
}
