package againstgateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"time"
)

// Certificates are what the kit's server shows: the right one, and one that a gateway
// must not take.
type Certificates struct {
	CA           []byte // PEM, for the gateway to trust
	right, wrong tls.Certificate
}

// NewCertificates makes them, for the hosts that the gateway may call the server by.
func NewCertificates(hosts ...string) (*Certificates, error) {
	right, ca, err := certificate(hosts)
	if err != nil {
		return nil, err
	}
	wrong, _, err := certificate(hosts)
	if err != nil {
		return nil, err
	}
	return &Certificates{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca}), right, wrong}, nil
}

// validity of a certificate: a gateway whose clock is not right is not what is tried.
const validity = 10 * 365 * 24 * time.Hour

func certificate(hosts []string) (c tls.Certificate, ca []byte, err error) {
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cpns-conform"}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(validity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, nil, err
	}
	if ca, err = x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey); err != nil {
		return c, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "cpns-conform server"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	return tls.Certificate{Certificate: [][]byte{der, ca}, PrivateKey: key}, ca, err
}

// Marshal is the certificate that is right, with its key and its CA, in PEM.
func (c *Certificates) Marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.right.PrivateKey)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, cert := range c.right.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...)
	}
	return text, nil
}

// ParseCertificates reads what Marshal has made. It fails where the certificate is not
// for a host, or is over.
func ParseCertificates(text []byte, hosts ...string) (*Certificates, error) {
	right, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, err
	}
	if len(right.Certificate) != 2 {
		return nil, errors.New("want a certificate and its CA's")
	}
	ca, err := x509.ParseCertificate(right.Certificate[1])
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, host := range hosts {
		if _, err := right.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			return nil, err
		}
	}
	wrong, _, err := certificate(hosts)
	if err != nil {
		return nil, err
	}
	return &Certificates{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), right, wrong}, nil
}
