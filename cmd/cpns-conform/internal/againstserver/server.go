package againstserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// Paths under the server's address (sections 3 and 8).
const (
	assignmentPath = "/cpns/v1/eukey-assignments"
	psk1Path       = "/cpns/v1/psk1"
	enrolmentPath  = "/cpns/v1/enrolments"
)

// A PSK1 and the identity that the server knows it by.
type PSK1 struct {
	Identity string
	Key      []byte
}

// Config is what the kit was given.
type Config struct {
	URL   string         // https://host[:port][/prefix]
	Roots *x509.CertPool // nil: the system's, or what Code pins

	PSK1   *PSK1 // of a gateway, nil where it comes from step 0
	Second *PSK1 // of another gateway, nil for none

	Code *Code // an enrolment code, nil for none
	Unit *Unit // the key pair that enrols by it

	User     string
	Password []byte
	Entity   string // a PNE that User owns, or may claim
	TK       []byte
	Others   string // a PNE that another user owns, "" for none

	LockOut bool          // lock User at this gateway
	Flood   bool          // send more than a server should answer
	Slow    time.Duration // how long a connection that sends nothing may live; 0: not tried

	// Dial opens a connection to host:port; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	passwordHash []byte // Hash(Password), where that is known: it takes a while
}

// A Server is whom the cases are tried on. One goroutine uses it at a time.
type Server struct {
	Config
	address string // host:port
	host    string // for Host and the certificate
	prefix  string // of paths
	hash    []byte // Hash(Password)

	psk    *PSK1         // of the gateway that asks
	offset time.Duration // how far the server's clock is ahead of this machine's
}

// ParseURL checks a server's URL.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q: want https://HOST[:PORT][/PREFIX]", text)
	}
	return u, nil
}

// Reach checks the configuration, enrols where there is a code, and asks the server for
// the time.
func Reach(ctx context.Context, c Config) (*Server, error) {
	u, err := ParseURL(c.URL)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	s := &Server{
		Config: c, address: net.JoinHostPort(u.Hostname(), port), host: u.Host,
		prefix: strings.TrimRight(u.Path, "/"), hash: c.passwordHash, psk: c.PSK1,
	}
	if s.hash == nil {
		s.hash = wire.HashPassword(c.User, c.Password)
	}
	if s.Dial == nil {
		s.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	if c.Code != nil {
		if err := s.enrolFirst(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.compareClocks(ctx); err != nil {
		return nil, err
	}
	return s, s.expectSuccess(ctx)
}

// compareClocks sends a request from 1970, which needs no user and no PNE: its answer has
// the server's time, and shows that PSK1 is the server's too.
func (s *Server) compareClocks(ctx context.Context) error {
	r := s.request()
	r.time, r.user = 0, "conform"
	var t conform.T
	a, err := s.post(ctx, &t, s.seal(s.psk, r))
	if err != nil {
		return s.unreached(err)
	}
	if a.status == 401 {
		return fmt.Errorf("the server does not know the PSK1 of identity %q, or opens requests otherwise than section 3 has it: %s", s.psk.Identity, a)
	}
	if got, err := a.open(s.psk); err == nil && got.status == statusTime {
		s.offset = time.Until(time.Unix(int64(min(got.serverTime, 1<<37)), 0)).Round(time.Second)
	}
	return nil // what else is wrong with it is for the cases
}

// expectSuccess sends one right request. A mistake in what the kit was given would make
// nearly every case fail, and lock the user besides.
func (s *Server) expectSuccess(ctx context.Context) error {
	var t conform.T
	a, err := s.post(ctx, &t, s.seal(s.psk, s.request()))
	if err != nil {
		return s.unreached(err)
	}
	got, err := a.open(s.psk)
	if err != nil {
		return nil // for the cases to say
	}
	advice := map[uint64]string{
		statusUser:       "is the password in --password-file that of --user? If it is, the server does not compute H(AuthData) as section 2 has it",
		statusUnknownPNE: "does the server have the device --entity-id, with a TK?",
		statusOwned:      "is --user the owner of the device --entity-id, or has it none?",
		statusLocked:     "the user has failed too often: wait, or have the lock ended",
	}[got.status]
	if advice == "" {
		return nil
	}
	return fmt.Errorf("the server answers a right request with %s: %s; nothing was tried", statusName(got.status), advice)
}

// unreached is why there is no answer, and what to do where that is known.
func (s *Server) unreached(err error) error {
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		err = fmt.Errorf("%w: name the CA of its certificate by --ca", err)
	}
	return fmt.Errorf("asking %s: %w", s.address, err)
}

// now is the server's time.
func (s *Server) now() uint64 { return uint64(time.Now().Add(s.offset).Unix()) }

// tlsConfig verifies the server as a gateway does.
func (s *Server) tlsConfig() *tls.Config {
	name, _, _ := net.SplitHostPort(s.address)
	c := &tls.Config{ServerName: name, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
	if s.Roots == nil && s.Code != nil {
		c.InsecureSkipVerify = true // the pin is what counts
		c.VerifyConnection = func(cs tls.ConnectionState) error { return s.Code.verify(&cs, name) }
	}
	return c
}
