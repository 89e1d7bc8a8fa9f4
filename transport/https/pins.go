package https

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"time"
)

// A Pin is the first 16 bytes of SHA-256 of a SubjectPublicKeyInfo, as enrolment
// leaves it (docs/protocol.md, step 0).
type Pin [16]byte

func shortPin(c *x509.Certificate) Pin {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return Pin(sum[:len(Pin{})])
}

// pinsError says that no key that was shown, or that vouches for one, is pinned.
type pinsError struct {
	got   Pin   // of the server's own certificate
	chain error // why a pinned authority does not vouch for it, nil where none was sent along
}

func (e *pinsError) Error() string {
	if e.chain != nil {
		return "the pinned authority does not vouch for its certificate: " + e.chain.Error()
	}
	return "its pin is " + base64.RawURLEncoding.EncodeToString(e.got[:])
}

func (e *pinsError) Unwrap() error { return e.chain }

// checkPins holds a connection against pins, in place of roots. A pin holds if the
// server's own certificate has that key, whatever its dates say: the key is what is
// known, and a router's clock may be wrong. Or if that certificate verifies, for the
// host and at the time, up to one that has it; one that is merely sent along
// counts for nothing.
func checkPins(pins []Pin, host string, now func() time.Time, cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("it shows no certificate")
	}
	own, others := cs.PeerCertificates[0], cs.PeerCertificates[1:]
	if slices.Contains(pins, shortPin(own)) {
		return nil
	}
	failure := &pinsError{got: shortPin(own)}
	for _, authority := range others {
		if !slices.Contains(pins, shortPin(authority)) {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(authority)
		if failure.chain = vouched(cs.PeerCertificates, roots, host, now()); failure.chain == nil {
			return nil
		}
	}
	return failure
}

// pinned makes cfg verify against pins in place of the system's roots. What is configured
// besides, roots or a whole pin, holds as well.
func pinned(cfg *tls.Config, pins []Pin, host string, now func() time.Time) {
	cfg.InsecureSkipVerify = true // VerifyConnection does it; it also runs when a session is resumed
	besides := cfg.VerifyConnection
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := checkPins(pins, host, now, cs); err != nil {
			return err
		}
		if cfg.RootCAs != nil {
			if err := vouched(cs.PeerCertificates, cfg.RootCAs, host, now()); err != nil {
				return &caError{err}
			}
		}
		if besides != nil {
			return besides(cs)
		}
		return nil
	}
}

// caError says that a server has a pinned key, and not the configured authority.
type caError struct{ err error }

func (e *caError) Error() string { return e.err.Error() }
func (e *caError) Unwrap() error { return e.err }

// vouched verifies a server's certificate, the first, for a host up to one of roots.
func vouched(chain []*x509.Certificate, roots *x509.CertPool, host string, now time.Time) error {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName: host, Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}
