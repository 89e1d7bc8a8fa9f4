package step0

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// TestCertificate: what is made by hand is what crypto/x509 and OpenSSL read.
func TestCertificate(t *testing.T) {
	keys, err := newKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	pair, fp, err := keys.open()
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		t.Error(err)
	}
	if cpns.HashSPKI(c.RawSubjectPublicKeyInfo) != fp {
		t.Error("the fingerprint is of another key")
	}
	if s := c.Subject.String(); s != "CN=CPNS PN GW" || c.Issuer.String() != s || c.Version != 3 || len(c.Extensions) != 0 {
		t.Errorf("subject %s, issuer %s, version %d, %d extensions", s, c.Issuer, c.Version, len(c.Extensions))
	}
	if !c.NotBefore.Equal(time.Unix(0, 0)) || !c.NotAfter.Equal(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)) {
		t.Errorf("valid from %v to %v", c.NotBefore, c.NotAfter)
	}
	if again, fp2, err := keys.open(); err != nil || fp2 != fp || len(again.Certificate) != 1 {
		t.Errorf("opened again it has fingerprint %s, not %s; %v", fp2.Fingerprint(), fp.Fingerprint(), err)
	}

	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no openssl: see scripts/setup.sh")
	}
	cmd := exec.Command(openssl, "x509", "-noout", "-subject", "-dates", "-text")
	cmd.Stdin = strings.NewReader(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "notAfter=Dec 31 23:59:59 9999 GMT") || !strings.Contains(string(out), "CPNS PN GW") {
		t.Errorf("openssl: %v\n%s", err, out)
	}
}
