// Package tlsfault says what a failure of TLS means, and what to do about it, to
// somebody who runs a router and has never heard of X.509.
package tlsfault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"
)

// Peer is who is at the other end.
type Peer struct {
	Addr string // host and port, as configured
	Role string // what it is: "server", "broker"
}

// A Fault is what went wrong, for people.
type Fault struct {
	Kind           Kind
	Reason, Advice string
}

// Kind tells faults apart for callers that know more than this package.
type Kind int

// The kinds.
const (
	Certificate Kind = iota // its certificate is not acceptable
	NotTLS                  // it speaks something else
	OldTLS                  // it speaks no TLS that is still safe
	Refused                 // it does not like what we say
)

// Explain says what err, of a TLS connection to peer, means. ok is false where it
// is no fault of TLS. now is what this machine thinks the time is.
func Explain(err error, peer Peer, now time.Time) (f Fault, ok bool) {
	var (
		untrusted *tls.CertificateVerificationError
		notTLS    tls.RecordHeaderError
		remote    *net.OpError
	)
	switch {
	case errors.As(err, &untrusted):
		reason, advice := certificate(err, peer, now)
		return Fault{Certificate, reason, advice}, true
	case errors.As(err, &notTLS) && string(notTLS.RecordHeader[:]) == "HTTP/":
		return Fault{NotTLS, peer.Addr + " speaks HTTP without TLS",
			"check the port: it must be the one that the " + peer.Role + " uses for TLS"}, true
	case errors.As(err, &notTLS):
		return Fault{NotTLS, peer.Addr + " does not speak TLS",
			"check the port: something else listens there"}, true
	case strings.Contains(err.Error(), alertProtocolVersion.Error()),
		strings.Contains(err.Error(), unsupportedVersion):
		return Fault{OldTLS, peer.Addr + " speaks only an old TLS",
			"the " + peer.Role + "'s operator must allow TLS 1.2 or 1.3"}, true
	case errors.As(err, &remote) && remote.Op == "remote error":
		return Fault{Refused, peer.Addr + " refuses the TLS connection (" + remote.Err.Error() + ")",
			"ask the " + peer.Role + "'s operator: the " + peer.Role + "'s TLS settings and this router's do not meet"}, true
	}
	return Fault{}, false
}

// crypto/tls has no values for these two, only texts: the other side's alert that
// it has no common version (RFC 8446, 6.2), and its choice of an old one.
const (
	alertProtocolVersion tls.AlertError = 70
	unsupportedVersion                  = "server selected unsupported protocol version"
)

func certificate(err error, peer Peer, now time.Time) (reason, advice string) {
	var (
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		noRoots   x509.SystemRootsError
	)
	its := "the " + peer.Role + "'s certificate"
	configure := "configure the CA certificate that the " + peer.Role + "'s operator gave you (ca)"
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return its + " is not valid before " + utc(invalid.Cert.NotBefore) + ", and this router thinks that it is " + utc(now),
			"set the router's clock (check NTP), then try again"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return its + " expired at " + utc(invalid.Cert.NotAfter) + ", and this router thinks that it is " + utc(now),
			"if the router's clock is right, the " + peer.Role + "'s operator must renew the certificate"
	case errors.As(err, &authority):
		return its + " comes from an authority that this router does not know",
			configure + "; for a public one, install ca-bundle"
	case errors.As(err, &host):
		return its + " is for another host name",
			"use the name that the certificate has, or have the " + peer.Role + "'s operator add " + host.Host
	case errors.As(err, &noRoots):
		return "this router has no list of certificate authorities", configure + ", or install ca-bundle"
	}
	return its + " is not acceptable", "ask the " + peer.Role + "'s operator for a new certificate"
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
