// Package certificate makes the gateway's certificates (RFC 5280): the one that shows
// its key to the CPNS Server (step 0), and those of the technician's page, a CA of the
// gateway's own and what that vouches for. crypto/x509 would make the same, and is 40 kB
// of program to a router that otherwise only reads certificates.
package certificate

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"time"
)

// Parts in DER that are the same in all of them (RFC 5280, RFC 5480).
const (
	version3   = "\xa0\x03\x02\x01\x02"
	ecdsa256   = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02" // ecdsa-with-SHA256
	ecKeyP256  = "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
	commonName = "\x06\x03\x55\x04\x03"
)

// Tags.
const (
	integer     = 0x02
	bitString   = 0x03
	octetString = 0x04
	utf8String  = 0x0c
	sequence    = 0x30
	set         = 0x31
	extensions  = 0xa3
)

const unusedBits = "\x00" // of a bit string

// SPKI is the public half of a P-256 key as certificates have it.
func SPKI(key *ecdsa.PrivateKey) ([]byte, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return der(sequence, []byte(ecKeyP256), der(bitString, []byte(unusedBits), point)), nil
}

// SelfSigned is a certificate that says nothing but the key: its name is that of all
// gateways, and a router's clock may be wrong.
func SelfSigned(key *ecdsa.PrivateKey) ([]byte, error) {
	const (
		serial   = "\x02\x01\x01"
		validity = "\x30\x20\x17\x0d700101000000Z\x18\x0f99991231235959Z"
	)
	spki, err := SPKI(key)
	if err != nil {
		return nil, err
	}
	n := name("CPNS PN GW")
	return sign(key, []byte(version3+serial+ecdsa256), n, []byte(validity), n, spki)
}

// sign makes a certificate of what it says. Its signature is the same each time (RFC 6979).
func sign(key *ecdsa.PrivateKey, says ...[]byte) ([]byte, error) {
	tbs := der(sequence, says...)
	sum := sha256.Sum256(tbs)
	signature, err := key.Sign(nil, sum[:], hashed)
	if err != nil {
		return nil, err
	}
	return der(sequence, tbs, []byte(ecdsa256), der(bitString, []byte(unusedBits), signature)), nil
}

// name is a name that has a common name alone.
func name(cn string) []byte {
	return der(sequence, der(set, der(sequence, []byte(commonName), der(utf8String, []byte(cn)))))
}

// between are the moments from which and until which a certificate is good, each with the tag of its kind.
func between(from, until time.Time) []byte {
	const utcTime, generalizedTime, layout = 0x17, 0x18, "20060102150405Z"
	stamp := func(t time.Time) []byte {
		t = t.UTC()
		text := t.Format(layout)
		if t.Year() < 2050 { // RFC 5280, 4.1.2.5
			return der(utcTime, []byte(text[2:]))
		}
		return der(generalizedTime, []byte(text))
	}
	return der(sequence, stamp(from), stamp(until))
}

// der puts tag and length before a content of at most 65,535 bytes.
func der(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]byte, 0, n+4)
	switch {
	case n < 0x80:
		out = append(out, tag, byte(n))
	case n < 0x100:
		out = append(out, tag, 0x81, byte(n))
	default:
		out = append(out, tag, 0x82, byte(n>>8), byte(n))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
