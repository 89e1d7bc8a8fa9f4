package https

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"cpns.example.net/pngw/transport"
)

// maxCAFile is far above any bundle: the whole Web PKI is a quarter of it.
const maxCAFile = 1 << 20

// trusting returns the transport for the CA file and the pins as they are now: what is
// exchanged under a running program counts from the next request on. Another file makes
// another transport, and not only other roots: a session that is resumed does not have
// its chain verified again.
func (c *Client) trusting() (*http.Transport, error) {
	var text []byte
	if c.caFile != "" {
		var err error
		if text, err = readCAFile(c.caFile); err != nil {
			return nil, &transport.OptionError{Option: "ca", Err: err}
		}
	}
	var pins []Pin
	if c.pins != nil {
		pins = c.pins()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil && bytes.Equal(text, c.caText) && slices.Equal(pins, c.pinsThen) {
		return c.transport, nil
	}
	cfg, err := newTLSConfig(c.caFile, text, c.pinSPKI, c.now)
	if err != nil {
		return nil, err
	}
	if len(pins) > 0 {
		pinned(cfg, pins, c.hostname, c.now)
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.caText, c.pinsThen, c.transport = text, pins, newTransport(cfg)
	c.useProxy(c.transport)
	return c.transport, nil
}

// newTLSConfig verifies the chain as usual, against the CA file's text where there
// is one, at the time that now tells, and the pin besides.
func newTLSConfig(caFile string, caText []byte, pinSPKI string, now func() time.Time) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		Time:               now,
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	if caFile != "" {
		roots, err := parseCAFile(caFile, caText)
		if err != nil {
			return nil, &transport.OptionError{Option: "ca", Err: err}
		}
		cfg.RootCAs = roots
	}
	if pinSPKI != "" {
		pin, err := base64.StdEncoding.Strict().DecodeString(pinSPKI)
		if err != nil || len(pin) != sha256.Size {
			return nil, &transport.OptionError{Option: "pin", Err: fmt.Errorf("%q: must be the base64 of a SHA-256, 44 characters", pinSPKI)}
		}
		// VerifyConnection, unlike VerifyPeerCertificate, also runs when a
		// session is resumed.
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			return checkPin(pin, cs)
		}
	}
	return cfg, nil
}

// ReadRoots reads a PEM file of certificates to trust.
func ReadRoots(name string) (*x509.CertPool, error) {
	text, err := readCAFile(name)
	if err != nil {
		return nil, err
	}
	return parseCAFile(name, text)
}

func readCAFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCAFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxCAFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxCAFile)
	}
	return text, nil
}

// parseCAFile is strict where a mistake would weaken something or show only at
// the first connection.
func parseCAFile(name string, text []byte) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	found := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, fmt.Errorf("%s: contains a private key: only certificates belong here, take the key off this router", name)
		case block.Type != "CERTIFICATE":
			continue
		}
		found++
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", name, found, err)
		}
		roots.AddCert(cert)
	}
	if found == 0 {
		return nil, fmt.Errorf("%s: no certificate in it: PEM is wanted, beginning with -----BEGIN CERTIFICATE-----", name)
	}
	return roots, nil
}

// pinError says that the chain is right and the key is another.
type pinError struct {
	got [sha256.Size]byte
}

func (e *pinError) Error() string {
	return "its public key has the pin " + base64.StdEncoding.EncodeToString(e.got[:])
}

func checkPin(pin []byte, cs tls.ConnectionState) error {
	// Never empty: the chain has been verified.
	got := sha256.Sum256(cs.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if subtle.ConstantTimeCompare(pin, got[:]) != 1 {
		return &pinError{got: got}
	}
	return nil
}
