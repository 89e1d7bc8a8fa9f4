package gba

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// KeySize is the size of Ks and of Ks_NAF, in bytes.
const KeySize = 32

// NAFID is NAF_Id: the NAF's host name and the Ua security protocol identifier, 5
// bytes (TS 33.220 annex H).
func NAFID(host string, ua [5]byte) []byte { return append([]byte(host), ua[:]...) }

// DeriveKsNAF is the key that UE and NAF share (TS 33.220 annex B, GBA_ME):
//
//	HMAC-SHA-256(CK | IK, 0x01 | "gba-me" | len | RAND | len | IMPI | len | NAF_Id | len)
//
// with each length in two bytes behind what it is of. Names are at most 65,535
// bytes long.
func DeriveKsNAF(ks *[KeySize]byte, rand *[16]byte, impi string, nafID []byte) ([KeySize]byte, error) {
	s := []byte{0x01}
	for _, p := range [][]byte{[]byte("gba-me"), rand[:], []byte(impi), nafID} {
		if len(p) > 0xffff {
			return [KeySize]byte{}, fmt.Errorf("gba: a name of %d bytes is too long", len(p))
		}
		s = binary.BigEndian.AppendUint16(append(s, p...), uint16(len(p)))
	}
	mac := hmac.New(sha256.New, ks[:])
	mac.Write(s)
	return [KeySize]byte(mac.Sum(nil)), nil
}
