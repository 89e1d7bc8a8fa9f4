package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// The CA is made once and lies on every gateway. The server certificate
	// is renewed by init --renew-cert, with the same key, so that gateways
	// that pin it notice nothing.
	caYears     = 20
	serverYears = 2
	renewWithin = 30 * 24 * time.Hour

	// Gateways' clocks are not exact, and some start at the time of their
	// newest file.
	backdate = 24 * time.Hour
)

// ownHosts are the names that every server certificate of the private CA has.
var ownHosts = []string{"localhost", "127.0.0.1", "::1"}

// A keyPair is a certificate chain and its key, as PEM.
type keyPair struct{ cert, key []byte }

// newCA makes the private CA. Its key file has its certificate as well: ca.pem is what
// gateways have to trust, which may become another's.
func newCA(now time.Time) (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return keyPair{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("CPNS Server CA %x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return sign(template, template, key, key)
}

// newServerCert makes a server certificate for key, issued by ca.
func newServerCert(ca keyPair, key *ecdsa.PrivateKey, hosts []string, now time.Time) (keyPair, error) {
	issuer, err := tls.X509KeyPair(ca.cert, ca.key)
	if err != nil {
		return keyPair{}, fmt.Errorf("reading the CA: %w", err)
	}
	caKey, ok := issuer.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return keyPair{}, errors.New("the CA's key is not one that init made")
	}
	serial, err := newSerial()
	if err != nil {
		return keyPair{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "CPNS Server"},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.AddDate(serverYears, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(issuer.Leaf.NotAfter) {
		template.NotAfter = issuer.Leaf.NotAfter
	}
	for i, host := range hosts {
		if slices.Contains(hosts[:i], host) { // a --host that every certificate has
			continue
		}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return sign(template, issuer.Leaf, key, caKey)
}

func sign(template, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) (keyPair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return keyPair{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// newSerial is 16 random bytes, the first between 0x40 and 0x7f: positive, and
// always of the same length.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b), nil
}

// readKeyPair reads a certificate chain and its key from files and checks that
// they belong together.
func readKeyPair(certFile, keyFile string) (keyPair, tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return keyPair{}, tls.Certificate{}, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return keyPair{}, tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return keyPair{}, tls.Certificate{}, fmt.Errorf("%s and %s are not a certificate and its key: %w", certFile, keyFile, err)
	}
	return keyPair{cert, key}, pair, nil
}

// checkValidity says what is wrong with the certificate's time, if anything is.
func checkValidity(leaf *x509.Certificate, now time.Time) error {
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("the server certificate ended on %s", day(leaf.NotAfter))
	}
	if now.Before(leaf.NotBefore) {
		return fmt.Errorf("the server certificate begins on %s, and this machine's clock says %s", day(leaf.NotBefore), day(now))
	}
	return nil
}

// nearExpiry reports whether it is time to renew the certificate.
func nearExpiry(leaf *x509.Certificate, now time.Time) bool {
	return now.Add(renewWithin).After(leaf.NotAfter)
}

// checkClock refuses to make certificates by a clock that was never set: nobody
// would take them once it is.
func checkClock(now time.Time) error {
	floor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if s, err := strconv.ParseInt(buildTime, 10, 64); err == nil {
		floor = time.Unix(s, 0)
	}
	if now.Before(floor) {
		return fmt.Errorf("this machine's clock says %s, which is before this program was made: set the clock first", day(now))
	}
	return nil
}

// hostsOf are the names that a certificate is for.
func hostsOf(leaf *x509.Certificate) []string {
	hosts := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

// checkHost refuses what can be no host of a URL.
func checkHost(host string) error {
	if net.ParseIP(host) != nil {
		return nil
	}
	if host == "" || len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.*") != "" {
		return errors.New("neither a host name nor an IP address; it takes no https:// and no port")
	}
	return nil
}

// pinOf is the certificate's SPKI pin, as gateways take it.
func pinOf(leaf *x509.Certificate) string {
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
