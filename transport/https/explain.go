package https

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"cpns.example.net/pngw/internal/tlsfault"
	"cpns.example.net/pngw/transport"
)

// explain says what a failure of the network, of TLS or of HTTP means and what to
// do about it. again reports whether waiting may cure it: a wrong certificate or a
// wrong name it does not.
func (c *Client) explain(err error) (_ *transport.UnreachableError, again bool) {
	reason, advice, again := c.explainProxy(err)
	if reason == "" {
		reason, advice = c.explainTLS(err)
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

func (c *Client) explainTLS(err error) (reason, advice string) {
	switch {
	case errors.As(err, new(*pinError)):
		return "the server's key is not the pinned one",
			"if the operator changed the key, configure the pin that the operator names; if not, somebody may be in between"
	case errors.As(err, new(*caError)):
		return "the certificate of " + c.host + ", where this gateway is enrolled, is not one that " + c.caFile + " (option ca) vouches for",
			"remove option ca, since enrolment left the key that the server is known by; or bring the server's CA certificate there"
	case errors.As(err, new(*pinsError)):
		return c.host + " does not have a key that enrolment left, so it is not this gateway's server",
			"somebody may be in between, or the server's key was changed, or the code was an old one: ask the server's operator for a new code, and compare the pin"
	}
	f, _ := tlsfault.Explain(err, tlsfault.Peer{Addr: c.host, Role: "server"}, c.now())
	return f.Reason, f.Advice
}
