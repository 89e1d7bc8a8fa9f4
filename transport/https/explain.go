package https

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"cpns.example.net/pngw/transport"
)

// explain says what a failure of the network, of TLS or of HTTP means and what to
// do about it. again reports whether waiting may cure it: a wrong certificate or a
// wrong name it does not.
func (c *Client) explain(err error) (_ *transport.UnreachableError, again bool) {
	reason, advice, again := c.explainProxy(err)
	if reason == "" {
		reason, advice, again = c.explainTLS(err)
	}
	if reason == "" {
		reason, advice, again = c.explainNetwork(err)
		switch {
		case toProxy(err):
			advice = "check option proxy, that the proxy runs, and that this router reaches it"
		case c.proxyIgnored:
			advice += "; HTTPS_PROXY is set, but not used: name the proxy by option proxy"
		}
	}
	return &transport.UnreachableError{Reason: reason, Advice: advice, Err: &foreignError{err}}, again
}

// foreignError is an error whose text may repeat what the other side sent: a name
// in a certificate that nobody has verified, a line of a header.
type foreignError struct{ err error }

func (e *foreignError) Error() string { return clean(e.err.Error(), maxDetail) }
func (e *foreignError) Unwrap() error { return e.err }

func (c *Client) explainNetwork(err error) (reason, advice string, again bool) {
	var dns *net.DNSError
	var timeout net.Error
	host := c.host
	if toProxy(err) {
		host = "the proxy " + c.proxy.Host
	}
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no host named " + strings.TrimSuffix(dns.Name, "."),
			"check the server address for typing errors", false
	case errors.As(err, &dns):
		return "the name " + strings.TrimSuffix(dns.Name, ".") + " could not be looked up",
			"check that this router is online and has a DNS server (/etc/resolv.conf)", true
	case is(syscall.ECONNREFUSED):
		return host + " refuses the connection",
			"check that the server runs, and its port", true
	case is(syscall.ENETUNREACH), is(syscall.EHOSTUNREACH):
		return "there is no way to " + host,
			"check that this router is online: its WAN connection, its default route", true
	case is(syscall.EPERM), is(syscall.EACCES):
		return "this router does not allow the connection to " + host,
			"check the router's firewall", true
	case is(context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return host + " did not answer in time",
			"check that this router is online and no firewall is in between; else the server may be overloaded", true
	case is(io.EOF), is(io.ErrUnexpectedEOF), is(syscall.ECONNRESET), is(syscall.EPIPE):
		return host + " closed the connection before its answer was complete",
			"try again; if it stays so, check that a CPNS Server listens on this port, and its log", true
	}
	return host + " could not be asked",
		"check the server address, and that a CPNS Server listens there", false
}

func (c *Client) explainTLS(err error) (reason, advice string, again bool) {
	var (
		pin     *pinError
		pins    *pinsError
		untrust *tls.CertificateVerificationError
		notTLS  tls.RecordHeaderError
		remote  *net.OpError
	)
	switch {
	case errors.As(err, &pin):
		return "the server's key is not the pinned one",
			"if the operator changed the key, configure the pin that the operator names; if not, somebody may be in between", false
	case errors.As(err, &pins):
		return c.host + " does not have a key that enrolment left, so it is not this gateway's server",
			"somebody may be in between, or the server's key was changed, or the code was an old one: ask the server's operator for a new code, and compare the pin", false
	case errors.As(err, &untrust):
		reason, advice = c.explainCertificate(untrust)
		return reason, advice, false
	case errors.As(err, &notTLS):
		if string(notTLS.RecordHeader[:]) == "HTTP/" {
			return c.host + " speaks HTTP without TLS",
				"check the port: it must be the one that the server uses for HTTPS", false
		}
		return c.host + " does not speak TLS",
			"check the port: something else listens there", false
	case strings.Contains(err.Error(), alertProtocolVersion.Error()),
		strings.Contains(err.Error(), unsupportedVersion):
		return c.host + " speaks only an old TLS",
			"the server's operator must allow TLS 1.2 or 1.3", false
	case errors.As(err, &remote) && remote.Op == "remote error":
		return c.host + " refuses the TLS connection",
			"ask the server's operator: the server's TLS settings and this router's do not meet", false
	}
	return "", "", false
}

// crypto/tls has no values for these two, only texts: the other side's alert that
// it has no common version (RFC 8446, 6.2), and its choice of an old one.
const (
	alertProtocolVersion tls.AlertError = 70
	unsupportedVersion                  = "server selected unsupported protocol version"
)

func (c *Client) explainCertificate(err *tls.CertificateVerificationError) (reason, advice string) {
	var (
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		noRoots   x509.SystemRootsError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		now := c.now()
		if now.Before(invalid.Cert.NotBefore) {
			return "the server's certificate is not valid before " + utc(invalid.Cert.NotBefore) +
					", and this router thinks that it is " + utc(now),
				"set the router's clock (check NTP), then try again"
		}
		return "the server's certificate expired at " + utc(invalid.Cert.NotAfter) +
				", and this router thinks that it is " + utc(now),
			"if the router's clock is right, the server's operator must renew the certificate"
	case errors.As(err, &authority):
		return "the server's certificate comes from an authority that this router does not know",
			"configure the CA certificate that the server's operator gave you (ca); for a public one, install ca-bundle"
	case errors.As(err, &host):
		return "the server's certificate is for another host name",
			"use the name that the certificate has, or have the server's operator add " + host.Host
	case errors.As(err, &noRoots):
		return "this router has no list of certificate authorities",
			"configure the CA certificate that the server's operator gave you (ca), or install ca-bundle"
	}
	return "the server's certificate is not acceptable", "ask the server's operator for a new certificate"
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
