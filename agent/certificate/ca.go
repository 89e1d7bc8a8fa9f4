package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
)

const hashed = crypto.SHA256 // what is signed is one

// Extensions, each with its object identifier (2.5.29.x) and, where it has one, the
// mark that who does not understand it must not take the certificate.
const (
	critical       = "\x01\x01\xff"
	constraints    = "\x06\x03\x55\x1d\x13" + critical // basicConstraints
	keyUsage       = "\x06\x03\x55\x1d\x0f" + critical
	nameConstraint = "\x06\x03\x55\x1d\x1e" + critical
	extKeyUsage    = "\x06\x03\x55\x1d\x25"
	altName        = "\x06\x03\x55\x1d\x11"
	subjectKey     = "\x06\x03\x55\x1d\x0e"
	authorityKey   = "\x06\x03\x55\x1d\x23"

	caPath0    = "\x30\x06\x01\x01\xff\x02\x01\x00" // a CA, of nothing that is a CA
	usageSign  = "\x03\x02\x02\x04"                 // keyCertSign
	usageTLS   = "\x03\x02\x07\x80"                 // digitalSignature
	serverAuth = "\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"

	dnsName   = 0x82 // tags of general names
	ipAddress = 0x87
)

// vouchable are the networks that the CA of a gateway can vouch for. Whoever trusts it
// on a phone, and whoever steals the router, has nothing of it on the web.
var vouchable = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// Vouchable tells whether an address is of a network of one's own, so that [CA] can be
// followed to [Leaf].
func Vouchable(a netip.Addr) bool {
	for _, p := range vouchable {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// noHost is the one DNS name that the CA can vouch for, which is nobody's (RFC 6761):
// with no name permitted, all would be.
const noHost = "pngw.invalid"

func permitted() []byte {
	const subtrees = 0xa0
	trees := [][]byte{der(sequence, der(dnsName, []byte(noHost)))}
	for _, p := range vouchable {
		mask := make([]byte, p.Addr().BitLen()/8)
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		trees = append(trees, der(sequence, der(ipAddress, p.Addr().AsSlice(), mask)))
	}
	return der(sequence, der(subtrees, trees...))
}

// CA is a certificate that can vouch for addresses of a LAN, and for nothing else. gateway is who it is
// of, for people who look at what they trust.
func CA(key *ecdsa.PrivateKey, gateway string) ([]byte, error) {
	const validity = "\x30\x20\x17\x0d200101000000Z\x18\x0f99991231235959Z" // a router's clock may be wrong
	spki, err := SPKI(key)
	if err != nil {
		return nil, err
	}
	n := caName(gateway, spki)
	return sign(key, []byte(version3), serial(spki), []byte(ecdsa256), n, []byte(validity), n, spki, der(extensions, der(sequence,
		extension(constraints, []byte(caPath0)),
		extension(keyUsage, []byte(usageSign)),
		extension(extKeyUsage, []byte(serverAuth)),
		extension(nameConstraint, permitted()),
		extension(subjectKey, der(octetString, keyID(spki))),
	)))
}

// caName has a part of the key in it: two CAs of one gateway's name must not look alike.
func caName(gateway string, spki []byte) []byte {
	return name("CPNS gateway " + gateway + " " + hex.EncodeToString(keyID(spki)[:4]))
}

// Leaf is the certificate of a web server at an address, by the CA that key and gateway
// are of. The address is no part of its name: OpenSSL would take an IPv4 address there
// for a DNS name, which the CA cannot vouch for.
func Leaf(ca *ecdsa.PrivateKey, gateway string, server *ecdsa.PrivateKey, at netip.Addr, from, until time.Time) ([]byte, error) {
	caSPKI, err := SPKI(ca)
	if err != nil {
		return nil, err
	}
	spki, err := SPKI(server)
	if err != nil {
		return nil, err
	}
	const keyIdentifier = 0x80
	validity := between(from, until)
	return sign(ca, []byte(version3), serial(spki, validity), []byte(ecdsa256), caName(gateway, caSPKI), validity, name("the technicians' page"), spki, der(extensions, der(sequence,
		extension(keyUsage, []byte(usageTLS)),
		extension(extKeyUsage, []byte(serverAuth)),
		extension(altName, der(sequence, der(ipAddress, at.AsSlice()))),
		extension(authorityKey, der(sequence, der(keyIdentifier, keyID(caSPKI)))),
	)))
}

func extension(head string, value []byte) []byte {
	return der(sequence, []byte(head), der(octetString, value))
}

// serial is a number of 128 bits that another certificate does not have.
func serial(of ...[]byte) []byte {
	h := sha256.New()
	for _, p := range of {
		h.Write(p)
	}
	n := h.Sum(nil)[:16]
	n[0] = n[0]&0x7f | 0x40 // above zero, and no zero in front
	return der(integer, n)
}

func keyID(spki []byte) []byte {
	sum := sha256.Sum256(spki)
	return sum[:20]
}

// Fingerprint is a certificate's SHA-256, as browsers show it.
func Fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	text := strings.ToUpper(hex.EncodeToString(sum[:]))
	var b strings.Builder
	for i := 0; i < len(text); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(text[i : i+2])
	}
	return b.String()
}
