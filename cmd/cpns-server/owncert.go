package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// An ownCert is a certificate chain that the operator brought, and its key.
type ownCert struct {
	pair  keyPair
	chain tls.Certificate
	root  []byte // the PEM of the root that signed it, nil where the file has it not
}

// readOwnCert reads the operator's certificate and refuses one that no gateway would
// take.
func readOwnCert(certFile, keyFile string, now time.Time) (*ownCert, error) {
	pair, chain, err := readKeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	if err := checkValidity(chain.Leaf, now); err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	if len(hostsOf(chain.Leaf)) == 0 {
		return nil, fmt.Errorf("%s: the first certificate is for no host name or address (subjectAltName): gateways would refuse it", certFile)
	}
	if err := checkServerUsage(chain.Leaf); err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	root, err := rootOf(chain, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	return &ownCert{pair, chain, root}, nil
}

// rootOf is the root of a chain, by which the first certificate can be verified, as PEM; nil where there is none, and gateways know it from elsewhere.
func rootOf(chain tls.Certificate, now time.Time) ([]byte, error) {
	certs := []*x509.Certificate{chain.Leaf}
	for _, der := range chain.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("reading the chain: %w", err)
		}
		certs = append(certs, cert)
	}
	between := x509.NewCertPool()
	for _, cert := range certs {
		between.AddCert(cert)
	}
	for _, cert := range certs {
		if !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		if _, err := chain.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now}); err == nil {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), nil
		}
	}
	return nil, nil
}

// checkServerUsage refuses a certificate for other ends than a server's.
func checkServerUsage(leaf *x509.Certificate) error {
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 {
		return nil
	}
	for _, usage := range leaf.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth || usage == x509.ExtKeyUsageAny {
			return nil
		}
	}
	return errors.New("the first certificate is not for a server (extended key usage)")
}
