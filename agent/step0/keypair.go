package step0

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"

	"cpns.example.net/pngw/agent/certificate"
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
	shown, err := certificate.SelfSigned(private)
	if err != nil {
		return tls.Certificate{}, cpns.SPKIHash{}, err
	}
	return tls.Certificate{Certificate: [][]byte{shown}, PrivateKey: private}, cpns.HashSPKI(spki), nil
}

func (k keyPair) parse() (private *ecdsa.PrivateKey, spki []byte, err error) {
	private, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), k)
	if err != nil {
		return nil, nil, errors.New("the gateway's key is none")
	}
	spki, err = certificate.SPKI(private)
	return private, spki, err
}
