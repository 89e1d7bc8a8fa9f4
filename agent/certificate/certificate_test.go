package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var from = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pair makes a CA and what it vouches for, checked or not by [Vouchable].
func pair(t *testing.T, at string, until time.Time) (ca, leaf []byte) {
	t.Helper()
	caKey := newKey(t)
	ca, err := CA(caKey, "gw-0001")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err = Leaf(caKey, "gw-0001", newKey(t), netip.MustParseAddr(at), from, until)
	if err != nil {
		t.Fatal(err)
	}
	return ca, leaf
}

// crypto/x509, which browsers' verifiers are like, and OpenSSL follow the leaf to the CA
// at an address of a LAN, and at no other.
func TestAuthority(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	for at, good := range map[string]bool{
		"192.168.1.1": true, "10.0.0.1": true, "172.31.255.1": true, "100.100.1.1": true, "169.254.7.7": true, "127.0.0.1": true,
		"fd00::1": true, "fe80::1": true, "::1": true,
		"8.8.8.8": false, "192.169.1.1": false, "172.32.0.1": false, "2001:db8::1": false, "::2": false, "128.0.0.1": false,
	} {
		if Vouchable(netip.MustParseAddr(at)) != good {
			t.Errorf("Vouchable(%s) is not %v", at, good)
		}
		ca, leaf := pair(t, at, from.Add(390*24*time.Hour))
		root, err := x509.ParseCertificate(ca)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(leaf)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(root)
		_, err = c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: from.Add(time.Hour), DNSName: "[" + at + "]"})
		if (err == nil) != good {
			t.Errorf("%s: crypto/x509: %v", at, err)
		}
		if openssl == "" {
			continue
		}
		dir := t.TempDir()
		for name, der := range map[string][]byte{"ca": ca, "leaf": leaf} {
			if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-attime", "1795600000", "-verify_ip", at, "-CAfile", "ca", "leaf")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); (err == nil) != good || !good && !strings.Contains(string(out), "permitted subtree violation") {
			t.Errorf("%s: openssl: %v\n%s", at, err, out)
		}
	}
}

// With a name in it that a browser might ask for, the CA would be one for the web.
func TestNoNames(t *testing.T) {
	ca, _ := pair(t, "10.0.0.1", from.Add(time.Hour))
	c, err := x509.ParseCertificate(ca)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.PermittedDNSDomains) != 1 || c.PermittedDNSDomains[0] != noHost || !c.PermittedDNSDomainsCritical {
		t.Errorf("permitted names: %v", c.PermittedDNSDomains)
	}
	if !c.IsCA || !c.MaxPathLenZero || c.KeyUsage != x509.KeyUsageCertSign || len(c.UnhandledCriticalExtensions) != 0 || !strings.HasPrefix(c.Subject.CommonName, "CPNS gateway gw-0001 ") {
		t.Errorf("CA: %+v", c)
	}
}

// Made twice they are the same, so that a phone sees the one that it has seen; and the
// years behind 2049 are written otherwise.
func TestLeaf(t *testing.T) {
	caKey, key := newKey(t), newKey(t)
	at := netip.MustParseAddr("192.168.1.1")
	for _, from := range []time.Time{from, time.Date(2049, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)} {
		one, err := Leaf(caKey, "gw", key, at, from, from.Add(390*24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		two, err := Leaf(caKey, "gw", key, at, from, from.Add(390*24*time.Hour))
		if err != nil || string(one) != string(two) {
			t.Errorf("not the same twice, %v", err)
		}
		c, err := x509.ParseCertificate(one)
		if err != nil {
			t.Fatal(err)
		}
		if !c.NotBefore.Equal(from) || !c.NotAfter.Equal(from.Add(390*24*time.Hour)) {
			t.Errorf("from %v until %v", c.NotBefore, c.NotAfter)
		}
		if c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() < 64 {
			t.Errorf("serial number %v", c.SerialNumber)
		}
	}
	if got := Fingerprint([]byte("abc")); got != "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD" {
		t.Errorf("fingerprint %s", got)
	}
}
