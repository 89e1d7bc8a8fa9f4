package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

func TestCertificates(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ca, err := newCA(now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(now time.Time) *x509.Certificate {
		t.Helper()
		pair, err := newServerCert(ca, key, []string{"cpns.example.net", "192.0.2.7", "2001:db8::1"}, now)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := tls.X509KeyPair(pair.cert, pair.key)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca.cert) {
		t.Fatal("the CA's certificate is not PEM")
	}
	leaf := issue(now)
	tests := []struct {
		name, host string
		at         time.Time
		ok         bool
	}{
		{"host name", "cpns.example.net", now, true},
		{"IPv4", "192.0.2.7", now, true},
		{"IPv6", "2001:db8::1", now, true},
		{"another host", "example.net", now, false},
		{"a clock 23 hours slow", "cpns.example.net", now.Add(-23 * time.Hour), true},
		{"a clock 25 hours slow", "cpns.example.net", now.Add(-25 * time.Hour), false},
		{"before the end", "cpns.example.net", now.AddDate(serverYears, 0, 0), true},
		{"after the end", "cpns.example.net", now.AddDate(serverYears, 0, 0).Add(time.Second), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: tt.host, CurrentTime: tt.at})
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want it verified: %v", err, tt.ok)
			}
			if err := checkValidity(leaf, tt.at); tt.host == "cpns.example.net" && (err == nil) != tt.ok {
				t.Errorf("checkValidity: got %v", err)
			}
		})
	}
	if nearExpiry(leaf, leaf.NotAfter.Add(-renewWithin-time.Second)) || !nearExpiry(leaf, leaf.NotAfter.Add(-renewWithin+time.Second)) {
		t.Error("the warning does not begin 30 days before the end")
	}
	if late := issue(now.AddDate(caYears-1, 0, 0)); late.NotAfter.After(now.AddDate(caYears, 0, 0)) {
		t.Errorf("a certificate that ends on %v outlives its CA", late.NotAfter)
	}
	if pinOf(leaf) != pinOf(issue(now.AddDate(1, 0, 0))) {
		t.Error("the pin changes with the certificate")
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		in   string
		want time.Time
		ok   bool
	}{
		{"", time.Time{}, true},
		{"24h", now.Add(-24 * time.Hour), true},
		{"2026-02-01", time.Date(2026, 2, 1, 0, 0, 0, 0, time.Local), true},
		{"2026-02-01T10:00:00+01:00", time.Date(2026, 2, 1, 9, 0, 0, 0, time.UTC), true},
		{"-1h", time.Time{}, false},
		{"yesterday", time.Time{}, false},
	}
	for _, tt := range tests {
		got, err := parseSince(tt.in, now)
		if (err == nil) != tt.ok || !got.Equal(tt.want) {
			t.Errorf("%q: got %v, %v, want %v", tt.in, got, err, tt.want)
		}
	}
}
