package tlsfault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestExplain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	late := &x509.Certificate{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}
	early := &x509.Certificate{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}
	verify := func(err error) error { return fmt.Errorf("dialling: %w", &tls.CertificateVerificationError{Err: err}) }
	tests := []struct {
		err    error
		kind   Kind
		reason string
		advice string
	}{
		{verify(x509.CertificateInvalidError{Cert: late, Reason: x509.Expired}), Certificate, "the broker's certificate expired at 2026-03-01T11:00:00Z, and this router thinks that it is 2026-03-01T12:00:00Z", "the broker's operator must renew"},
		{verify(x509.CertificateInvalidError{Cert: early, Reason: x509.Expired}), Certificate, "the broker's certificate is not valid before 2026-03-01T13:00:00Z", "set the router's clock"},
		{verify(x509.CertificateInvalidError{Cert: cert, Reason: x509.TooManyIntermediates}), Certificate, "is not acceptable", "ask the broker's operator"},
		{verify(x509.UnknownAuthorityError{Cert: cert}), Certificate, "an authority that this router does not know", "(ca); for a public one, install ca-bundle"},
		{verify(x509.HostnameError{Certificate: cert, Host: "b.example"}), Certificate, "for another host name", "add b.example"},
		{verify(x509.SystemRootsError{}), Certificate, "no list of certificate authorities", "(ca), or install ca-bundle"},
		{tls.RecordHeaderError{RecordHeader: [5]byte{'H', 'T', 'T', 'P', '/'}}, NotTLS, "b.example:8883 speaks HTTP without TLS", "check the port"},
		{tls.RecordHeaderError{RecordHeader: [5]byte{0x20, 2}}, NotTLS, "b.example:8883 does not speak TLS", "check the port"},
		{&net.OpError{Op: "remote error", Err: alertProtocolVersion}, OldTLS, "speaks only an old TLS", "allow TLS 1.2 or 1.3"},
		{errors.New("tls: " + unsupportedVersion + " 302"), OldTLS, "speaks only an old TLS", "allow TLS 1.2 or 1.3"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, Refused, "refuses the TLS connection", "do not meet"},
	}
	for _, tt := range tests {
		f, ok := Explain(tt.err, Peer{Addr: "b.example:8883", Role: "broker"}, now)
		if !ok || f.Kind != tt.kind || !strings.Contains(f.Reason, tt.reason) || !strings.Contains(f.Advice, tt.advice) {
			t.Errorf("%v: got %+v, %v, want %v, %q, %q", tt.err, f, ok, tt.kind, tt.reason, tt.advice)
		}
	}
	for _, err := range []error{errors.New("no route to host"), &net.OpError{Op: "dial", Err: errors.New("refused")}} {
		if f, ok := Explain(err, Peer{}, now); ok {
			t.Errorf("%v: got %+v, which is none of TLS", err, f)
		}
	}
}
