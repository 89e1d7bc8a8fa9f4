package https

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

// startHTTPS serves handler at 127.0.0.1 under a certificate of ca and returns a
// client that trusts it and repeats without long pauses.
func startHTTPS(t *testing.T, handler http.HandlerFunc, change ...func(*Config)) *Client {
	t.Helper()
	ca := newAuthority(t, "test CA")
	srv := httptest.NewUnstartedServer(handler)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, leaf{})}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return newClient(t, srv.Listener.Addr(), ca, change...)
}

// startRaw serves each connection at 127.0.0.1 by serve, below TLS. All have ended
// when the test does; serve is to end when ctx does.
func startRaw(t *testing.T, serve func(ctx context.Context, conn net.Conn), change ...func(*Config)) *Client {
	t.Helper()
	return newClient(t, listenRaw(t, serve), newAuthority(t, "test CA"), change...)
}

// startRawTLS is startRaw above TLS: serve has read the request already.
func startRawTLS(t *testing.T, serve func(ctx context.Context, conn *tls.Conn), change ...func(*Config)) *Client {
	t.Helper()
	ca := newAuthority(t, "test CA")
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, leaf{})}}
	addr := listenRaw(t, func(ctx context.Context, conn net.Conn) {
		tlsConn := tls.Server(conn, cfg)
		var request [4096]byte
		if _, err := tlsConn.Read(request[:]); err == nil {
			serve(ctx, tlsConn)
		}
	})
	return newClient(t, addr, ca, change...)
}

func listenRaw(t *testing.T, serve func(ctx context.Context, conn net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				serve(ctx, conn)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
	return l.Addr()
}

func newClient(t *testing.T, addr net.Addr, ca *authority, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		Server:      "https://" + addr.String(),
		CAFile:      ca.file,
		Path:        testPath,
		ContentType: testContentType,
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = transport.Backoff{Min: time.Millisecond, Max: time.Millisecond}
	return c
}

func withTimeout(d time.Duration) func(*Config) {
	return func(c *Config) { c.Timeout = d }
}

func answer(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", testContentType)
	io.WriteString(w, body)
}

func asUnreachable(t *testing.T, err error) *transport.UnreachableError {
	t.Helper()
	var u *transport.UnreachableError
	if !errors.As(err, &u) {
		t.Fatalf("got error %v (%T), want an UnreachableError", err, err)
	}
	if u.Advice == "" {
		t.Errorf("error %v has no advice", err)
	}
	return u
}

func asRefused(t *testing.T, err error) *transport.RefusedError {
	t.Helper()
	var r *transport.RefusedError
	if !errors.As(err, &r) {
		t.Fatalf("got error %v (%T), want a RefusedError", err, err)
	}
	return r
}
