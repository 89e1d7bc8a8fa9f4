package https

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"
)

func TestPostExplainsCertificates(t *testing.T) {
	ca, otherCA := newAuthority(t, "test CA"), newAuthority(t, "other CA")
	expired := leaf{notAfter: time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)}
	future := leaf{notBefore: time.Date(2080, 2, 3, 4, 5, 6, 0, time.UTC)}
	thisYear := leaf{notBefore: time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)}
	at := func(year int) time.Time { return time.Date(year, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)) }

	isInvalid := func(err error) bool {
		var e x509.CertificateInvalidError
		return errors.As(err, &e) && e.Reason == x509.Expired
	}
	isHost := func(err error) bool {
		var e x509.HostnameError
		return errors.As(err, &e)
	}
	isAuthority := func(err error) bool {
		var e x509.UnknownAuthorityError
		return errors.As(err, &e)
	}
	isPin := func(err error) bool {
		var e *pinError
		return errors.As(err, &e)
	}

	good := ca.issue(t, leaf{})
	other := ca.issue(t, leaf{})
	tests := []struct {
		name   string
		cert   tls.Certificate
		now    time.Time
		pin    string
		reason string // "": accepted
		advice string
		is     func(error) bool
	}{
		{name: "good", cert: good, now: at(2025)},
		{name: "good with pin", cert: good, now: at(2025), pin: pinOf(good)},
		{name: "expired", cert: ca.issue(t, expired), now: at(2025),
			reason: "expired at 2024-02-03T04:05:06Z, and this router thinks that it is 2025-01-02T02:04:05Z",
			advice: "renew the certificate", is: isInvalid},
		{name: "not expired for a router in the past", cert: ca.issue(t, expired), now: at(2020)},
		{name: "not yet valid", cert: ca.issue(t, future), now: at(2025),
			reason: "not valid before 2080-02-03T04:05:06Z, and this router thinks that it is 2025-01-02T02:04:05Z",
			advice: "set the router's clock", is: isInvalid},
		{name: "not yet valid for a router without a clock", cert: ca.issue(t, thisYear), now: at(2000),
			reason: "this router thinks that it is 2000-01-02T02:04:05Z",
			advice: "NTP", is: isInvalid},
		{name: "other authority", cert: otherCA.issue(t, leaf{}), now: at(2025),
			reason: "authority that this router does not know",
			advice: "CA certificate", is: isAuthority},
		{name: "other host", cert: ca.issue(t, leaf{otherHost: true, names: []string{"other.example"}}), now: at(2025),
			reason: "for another host name",
			advice: "add 127.0.0.1", is: isHost},
		{name: "other key than pinned", cert: other, now: at(2025), pin: pinOf(good),
			reason: "not the pinned one",
			advice: "somebody may be in between", is: isPin},
		{name: "pinned key of another authority", cert: otherCA.issue(t, leaf{}), now: at(2025), pin: pinOf(good),
			reason: "authority that this router does not know",
			advice: "CA certificate", is: isAuthority},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var served atomic.Int32
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				served.Add(1)
				answer(w, "sealed")
			}))
			var conns atomic.Int32
			srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					conns.Add(1)
				}
			}
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.TLS = &tls.Config{Certificates: []tls.Certificate{tt.cert}}
			srv.StartTLS()
			defer srv.Close()
			c := newClient(t, srv.Listener.Addr(), ca, func(cfg *Config) {
				cfg.PinSPKI = tt.pin
				cfg.Now = func() time.Time { return tt.now }
			})
			_, err := c.Post(t.Context(), []byte("request"))
			if tt.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			u := asUnreachable(t, err)
			if !strings.Contains(u.Reason, tt.reason) || !strings.Contains(u.Advice, tt.advice) {
				t.Errorf("got %q, advice %q, want %q, advice %q", u.Reason, u.Advice, tt.reason, tt.advice)
			}
			if !tt.is(err) {
				t.Errorf("the cause cannot be reached in %v", err)
			}
			if served.Load() != 0 || conns.Load() != 1 {
				t.Errorf("got %d requests over %d connections, want none over 1", served.Load(), conns.Load())
			}
		})
	}
}

// A resumed session brings no certificate with it; the pin holds for it all the same.
func TestPinHoldsForResumedSession(t *testing.T) {
	var resumed atomic.Bool
	c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		resumed.Store(r.TLS.DidResume)
		answer(w, "sealed")
	})
	for range 2 {
		if _, err := c.Post(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		c.transport.CloseIdleConnections()
	}
	if !resumed.Load() {
		t.Fatal("the second session was not resumed")
	}
	pinned, err := newTLSConfig("", nil, strings.Repeat("A", 43)+"=", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	c.transport.TLSClientConfig.VerifyConnection = pinned.VerifyConnection
	_, err = c.Post(t.Context(), nil)
	var pin *pinError
	if !errors.As(err, &pin) {
		t.Errorf("got error %v, want the pin refused", err)
	}
}

func TestPostExplainsOldTLS(t *testing.T) {
	ca := newAuthority(t, "test CA")
	cert := ca.issue(t, leaf{})
	tests := []struct {
		name  string
		serve func(ctx context.Context, conn net.Conn)
		want  string
	}{
		{"TLS 1.1 only", func(_ context.Context, conn net.Conn) {
			tls.Server(conn, &tls.Config{
				Certificates: []tls.Certificate{cert},
				MinVersion:   tls.VersionTLS10,
				MaxVersion:   tls.VersionTLS11,
			}).Handshake()
		}, "speaks only an old TLS"},
		{"answers TLS 1.2 by 1.1", func(ctx context.Context, conn net.Conn) {
			readSome(conn)
			// ServerHello: record 3.2, type 2, version 3.2, random, no session,
			// TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, no compression.
			hello := append([]byte{22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2}, make([]byte, 33)...)
			conn.Write(append(hello, 0xc0, 0x09, 0))
			<-ctx.Done()
		}, "speaks only an old TLS"},
		{"no common cipher", func(_ context.Context, conn net.Conn) {
			tls.Server(conn, &tls.Config{
				Certificates: []tls.Certificate{cert},
				MaxVersion:   tls.VersionTLS12,
				CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA},
			}).Handshake()
		}, "refuses the TLS connection"},
		{"plain HTTP", func(_ context.Context, conn net.Conn) {
			readSome(conn)
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		}, "speaks HTTP without TLS"},
		{"SSH", func(_ context.Context, conn net.Conn) {
			io.WriteString(conn, "SSH-2.0-OpenSSH_9.2p1\r\n")
			readSome(conn)
		}, "does not speak TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int32
			c := startRaw(t, func(ctx context.Context, conn net.Conn) {
				n.Add(1)
				tt.serve(ctx, conn)
			}, withTimeout(5*time.Second))
			_, err := c.Post(t.Context(), nil)
			if u := asUnreachable(t, err); !strings.Contains(u.Reason, tt.want) {
				t.Errorf("got %v, want a reason with %q", err, tt.want)
			}
			if n.Load() != 1 {
				t.Errorf("got %d tries, want 1", n.Load())
			}
		})
	}
}

func readSome(conn net.Conn) {
	var b [4096]byte
	conn.Read(b[:])
}

func TestPostExplainsSilentHandshake(t *testing.T) {
	c := startRaw(t, func(ctx context.Context, _ net.Conn) { <-ctx.Done() })
	c.transport.TLSHandshakeTimeout = 20 * time.Millisecond
	_, err := c.Post(t.Context(), nil)
	if u := asUnreachable(t, err); !strings.Contains(u.Reason, "in time") {
		t.Errorf("got error %v", err)
	}
}

func TestPostExplainsRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := newClient(t, l.Addr(), newAuthority(t, "test CA"))
	_, err = c.Post(t.Context(), nil)
	if strings.HasPrefix(runtime.GOARCH, "mips") && errors.Is(err, syscall.Errno(111)) {
		// ECONNREFUSED is 146 on MIPS, where nothing is 111. QEMU's user mode does not
		// translate what SO_ERROR gives; TestExplain has the right number.
		return
	}
	if u := asUnreachable(t, err); !strings.Contains(u.Reason, "refuses the connection") || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got error %v", err)
	}
}

// A DNS server that answers every query with one code.
func TestPostExplainsNames(t *testing.T) {
	for _, tt := range []struct {
		name     string
		rcode    byte
		want     string
		repeated bool
	}{
		{"no such name", 3, "there is no host named cpns.example.net", false},
		{"server failure", 2, "cpns.example.net could not be looked up", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dns, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					var b [512]byte
					n, from, err := dns.ReadFrom(b[:])
					if err != nil {
						return
					}
					b[2] |= 0x80 // a response
					b[3] = 0x80 | tt.rcode
					dns.WriteTo(b[:n], from)
				}
			}()
			defer func() { dns.Close(); <-done }()

			c, err := New(Config{Server: "https://cpns.example.net.", Path: testPath, ContentType: testContentType})
			if err != nil {
				t.Fatal(err)
			}
			c.transport.DialContext = (&net.Dialer{Resolver: &net.Resolver{
				PreferGo: true,
				Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "udp", dns.LocalAddr().String())
				},
			}}).DialContext
			_, again, err := c.try(t.Context(), nil)
			if u := asUnreachable(t, err); !strings.Contains(u.Reason, tt.want) {
				t.Errorf("got error %v, want a reason with %q", err, tt.want)
			}
			if again != tt.repeated {
				t.Errorf("again: got %v, want %v", again, tt.repeated)
			}
		})
	}
}

// What cannot be brought about here, as the net package reports it.
func TestExplain(t *testing.T) {
	c := &Client{host: "cpns.example.net:8443", now: time.Now}
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	verify := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, tt := range []struct {
		err   error
		want  string
		again bool
	}{
		{dial(syscall.ECONNREFUSED), "cpns.example.net:8443 refuses the connection", true},
		{dial(syscall.ENETUNREACH), "there is no way to cpns.example.net:8443", true},
		{dial(syscall.EHOSTUNREACH), "there is no way to", true},
		{dial(syscall.ETIMEDOUT), "did not answer in time", true},
		{dial(syscall.EPERM), "this router does not allow", true},
		{fmt.Errorf("write: %w", syscall.EPIPE), "closed the connection", true},
		{io.EOF, "closed the connection", true},
		{&net.DNSError{Name: "cpns.example.net", IsTimeout: true}, "could not be looked up", true},
		{verify(x509.SystemRootsError{}), "no list of certificate authorities", false},
		{verify(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}), "not acceptable", false},
		{errors.New("malformed HTTP response"), "could not be asked", false},
	} {
		u, again := c.explain(tt.err)
		if !strings.Contains(u.Reason, tt.want) || again != tt.again || u.Advice == "" || !errors.Is(u, tt.err) {
			t.Errorf("%v: got %+v, again %v, want a reason with %q, again %v", tt.err, u, again, tt.want, tt.again)
		}
	}
}

// The names in a certificate that nobody has verified yet are anybody's.
func TestErrorsCarryNoControlCharacters(t *testing.T) {
	cert := newAuthority(t, "attacker").issue(t, leaf{otherHost: true, names: []string{"\x1b[2Jevil\n"}})
	addr := listenRaw(t, func(_ context.Context, conn net.Conn) {
		tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
	})
	c := newClient(t, addr, newAuthority(t, "test CA"), func(cfg *Config) { cfg.Server = "https://cpns.example.net" })
	c.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
	}
	_, err := c.Post(t.Context(), nil)
	if asUnreachable(t, err); strings.ContainsFunc(err.Error(), unicode.IsControl) || !strings.Contains(err.Error(), "evil") {
		t.Errorf("got error %q", err)
	}
}
