package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// A served is a rig's server under Serve.
type served struct {
	addr   string
	roots  *x509.CertPool
	client *http.Client
	stop   context.CancelFunc
	done   chan error
}

func serve(t testing.TB, r *rig) *served {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cert := r.http.TLS.Certificates[0]
	s := &served{addr: ln.Addr().String(), stop: cancel, done: make(chan error, 1), roots: x509.NewCertPool()}
	s.roots.AddCert(r.http.Certificate())
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: s.tls(), ForceAttemptHTTP2: true}}
	go func() {
		s.done <- r.server.Serve(ctx, ln, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil })
	}()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		cancel()
		select {
		case err := <-s.done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(2 * time.Minute):
			t.Error("serve does not end")
		}
	})
	return s
}

func (s *served) tls() *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "example.com"}
}

func TestServe(t *testing.T) {
	r := newRig(t)
	s := serve(t, r)
	body := r.seal("gw-1", r.request("alice", "pne-1"))
	res, err := s.client.Post("https://"+s.addr+cpns.AssignmentPath, cpns.ContentType, bytes.NewReader(body))
	must(t, err)
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	res.Body.Close()
	if got := r.open("gw-1", body, res, answer); got.Status != cpns.Success {
		t.Errorf("got %v", got.Status)
	}
	if res.ProtoMajor != 1 {
		t.Errorf("served by %s, want HTTP/1.1", res.Proto)
	}
}

func TestServeTLSVersions(t *testing.T) {
	s := serve(t, newRig(t))
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := s.tls()
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, version
		c, err := tls.Dial("tcp", s.addr, config)
		if (err == nil) != want {
			t.Errorf("%s: got error %v, want it accepted: %v", tls.VersionName(version), err, want)
		}
		if err == nil {
			c.Close()
		}
	}
}

// Whoever is slow is cut off, and whoever sends nonsense is told so.
func TestServeLimits(t *testing.T) {
	t.Parallel() // it waits
	s := serve(t, newRig(t))
	head := "POST " + cpns.AssignmentPath + " HTTP/1.1\r\nHost: x\r\n"
	tests := []struct {
		name, send string
		tls        bool
		want       string // the beginning of the answer
	}{
		{"silence before TLS", "", false, ""},
		{"silence after TLS", "", true, ""},
		{"half a header", head, true, ""},
		{"no body", head + "Content-Type: " + cpns.ContentType + "\r\nContent-Length: 100\r\n\r\n", true, "HTTP/1.1 400"},
		{"a header too large", head + "X: " + strings.Repeat("x", 1<<15) + "\r\n\r\n", true, "HTTP/1.1 431"},
		{"not HTTP", "hello\r\n\r\n", true, "HTTP/1.1 400"},
		{"HTTP to the TLS port", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, "HTTP/1.0 400"},
	}
	exchange := func(send string, secure bool) (string, error) {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(2 * time.Minute))
		if secure {
			c = tls.Client(c, s.tls())
		}
		if _, err := io.WriteString(c, send); err != nil {
			return "", err
		}
		answer, err := io.ReadAll(c)
		return string(answer), err
	}
	answers, errs := make([]string, len(tests)), make([]error, len(tests))
	var wg sync.WaitGroup // all at once: each waits for one of the server's timeouts
	for n, tt := range tests {
		wg.Go(func() { answers[n], errs[n] = exchange(tt.send, tt.tls) })
	}
	wg.Wait()
	for n, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.HasPrefix(answers[n], tt.want) {
				t.Errorf("got %.40q, %v, want %q", answers[n], errs[n], tt.want)
			}
			if errors.Is(errs[n], os.ErrDeadlineExceeded) {
				t.Error("the server still waits after 20 s")
			}
		})
	}
}

// A stranger who holds connections, as many as one address may have, keeps nobody out
// behind the same address, nor do four networks that hold all there are.
func TestServeConnections(t *testing.T) {
	r := newRig(t)
	s := serve(t, r)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	hold := func(source string) {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		c, err := dialer.Dial("tcp", s.addr)
		must(t, err)
		open = append(open, c)
	}
	answers := func(source string) {
		t.Helper()
		body := r.seal("gw-1", r.request("alice", "pne-1"))
		res, answer := s.from(t, source, s.addr, body)
		if got := r.open("gw-1", body, res, answer); got.Status != cpns.Success {
			t.Errorf("from %s: got %v", source, got.Status)
		}
	}
	for range server.Connections {
		hold("127.0.1.1")
	}
	answers("127.0.1.1")
	for _, source := range []string{"127.0.1.1", "127.0.2.1", "127.0.3.1", "127.0.4.1"} {
		for range server.Connections {
			hold(source)
		}
	}
	for _, source := range []string{"127.0.9.1", "127.0.1.1", "127.0.1.2"} {
		answers(source)
	}
}

// A request under way is answered when the server stops; idle connections and
// new ones are not.
func TestServeStops(t *testing.T) {
	r := newRig(t)
	store := &slowStore{Store: r.store, entered: make(chan struct{}), goOn: make(chan struct{})}
	r.serve(func(c *server.Config) { c.Store = store })
	s := serve(t, r)
	body := r.seal("gw-1", r.request("alice", "pne-1"))
	c, err := tls.Dial("tcp", s.addr, s.tls())
	must(t, err)
	defer c.Close()
	req, err := http.NewRequest("POST", "https://"+s.addr+cpns.AssignmentPath, bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", cpns.ContentType)
	must(t, req.Write(c))
	<-store.entered
	s.stop()
	for begin := time.Now(); ; {
		late, err := net.Dial("tcp", s.addr)
		if err != nil {
			break // the listener is closed
		}
		late.Close()
		if time.Since(begin) > 2*time.Minute {
			t.Fatal("still listening after the stop")
		}
	}
	close(store.goOn)
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	must(t, err)
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	if got := r.open("gw-1", body, res, answer); got.Status != cpns.Success {
		t.Errorf("got %v", got.Status)
	}
}

// A slowStore holds the first assignment back.
type slowStore struct {
	server.Store
	entered, goOn chan struct{}
}

func (s *slowStore) Assign(ctx context.Context, q *server.Inquiry, decide func(*server.Findings) (*server.Outcome, error)) error {
	return s.Update(ctx, func(tx server.Tx) error { return q.Answer(tx, decide) })
}

func (s *slowStore) Update(ctx context.Context, f func(server.Tx) error) error {
	return s.Store.Update(ctx, func(tx server.Tx) error { return f(&slowTx{tx, s}) })
}

type slowTx struct {
	server.Tx
	s *slowStore
}

func (t *slowTx) AddAssignment(a server.Assignment) error {
	close(t.s.entered)
	<-t.s.goOn
	return t.Tx.AddAssignment(a)
}
