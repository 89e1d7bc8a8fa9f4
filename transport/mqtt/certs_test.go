package mqtt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A testCA signs certificates.
type testCA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newTestCA makes a CA and writes its certificate to file.
func newTestCA(t testing.TB, file string) *testCA {
	t.Helper()
	ca := &testCA{t: t}
	ca.cert, ca.key = ca.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "CA " + filepath.Base(file)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	}, file, "")
	return ca
}

// sign completes template, signs it and writes PEM files; without a CA's own
// certificate it signs itself.
func (ca *testCA) sign(template *x509.Certificate, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey) {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-2 * time.Hour)
	}
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		ca.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	writePEM(ca.t, certFile, "CERTIFICATE", der)
	if keyFile != "" {
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			ca.t.Fatal(err)
		}
		writePEM(ca.t, keyFile, "PRIVATE KEY", pkcs8)
	}
	return cert, key
}

// server writes DIR/server.pem and DIR/server.key for 127.0.0.1, unless edit says
// otherwise.
func (ca *testCA) server(dir string, edit func(*x509.Certificate)) {
	ca.t.Helper()
	template := &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotAfter:    time.Now().Add(time.Hour),
	}
	if edit != nil {
		edit(template)
	}
	ca.sign(template, filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
}

// client writes DIR/NAME.pem and DIR/NAME.key.
func (ca *testCA) client(dir, name string) {
	ca.t.Helper()
	ca.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotAfter:    time.Now().Add(time.Hour),
	}, filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
