package step0

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"

	"cpns.example.net/pngw/cpns"
)

// A keyPair is what the server knows the gateway by: the private half of a P-256 key,
// 32 bytes. The certificate that shows the other half says nothing else, and is made when
// it is needed.
type keyPair []byte

func newKeyPair() (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return key.Bytes()
}

// open gives the pair as TLS wants it, and the hash that the server knows it by.
func (k keyPair) open() (tls.Certificate, cpns.SPKIHash, error) {
	private, spki, err := k.parse()
	if err != nil {
		return tls.Certificate{}, cpns.SPKIHash{}, err
	}
	certificate, err := selfSigned(private, spki)
	if err != nil {
		return tls.Certificate{}, cpns.SPKIHash{}, err
	}
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: private}, cpns.HashSPKI(spki), nil
}

func (k keyPair) parse() (private *ecdsa.PrivateKey, spki []byte, err error) {
	private, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), k)
	if err != nil {
		return nil, nil, errors.New("the gateway's key is none")
	}
	point, err := private.PublicKey.Bytes()
	return private, append([]byte(derP256), point...), err
}

// The parts of the certificate in DER (RFC 5280, RFC 5480), of which only key and
// signature differ from gateway to gateway. crypto/x509 would make the same, and is 40 kB
// of program to a router that otherwise only reads certificates.
const (
	derVersion3   = "\xa0\x03\x02\x01\x02"
	derSerial1    = "\x02\x01\x01"
	derECDSA256   = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02" // ecdsa-with-SHA256
	derName       = "\x30\x15\x31\x13\x30\x11\x06\x03\x55\x04\x03\x0c\x0aCPNS PN GW"
	derValidity   = "\x30\x20\x17\x0d700101000000Z\x18\x0f99991231235959Z" // a router's clock may be wrong
	derP256       = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
	derSequence   = 0x30
	derBitString  = 0x03
	derBitsUnused = 0x00
)

func selfSigned(key *ecdsa.PrivateKey, spki []byte) ([]byte, error) {
	tbs := der(derSequence, append([]byte(derVersion3+derSerial1+derECDSA256+derName+derValidity+derName), spki...))
	sum := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return nil, err
	}
	content := append(tbs, derECDSA256...)
	content = append(content, der(derBitString, append([]byte{derBitsUnused}, signature...))...)
	return der(derSequence, content), nil
}

// der puts tag and length before a content of at most 65,535 bytes.
func der(tag byte, content []byte) []byte {
	n := len(content)
	switch {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, content...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, content...)
	}
	return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, content...)
}
