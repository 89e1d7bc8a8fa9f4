package https

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

// A tunnel is an HTTP proxy: it connects where CONNECT says, or answers a status of its
// own.
type tunnel struct {
	status int // 0: connect
	asked  atomic.Int64
	target atomic.Value
}

func (p *tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	p.target.Store(r.Method + " " + r.Host)
	if p.status != 0 {
		http.Error(w, "no", p.status)
		return
	}
	server, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	w.WriteHeader(http.StatusOK)
	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(server, buffered); server.Close() })
	wg.Go(func() { io.Copy(client, server); client.Close() })
	wg.Wait()
}

func withProxy(url string) func(*Config) {
	return func(c *Config) { c.Proxy = url }
}

func TestPostThroughProxy(t *testing.T) {
	p := new(tunnel)
	proxy := httptest.NewServer(p)
	defer proxy.Close()
	var got string
	c := startHTTPS(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		answer(w, "yes")
	}, withProxy(proxy.URL+"/"))
	resp, err := c.Post(t.Context(), []byte("please"))
	if err != nil || string(resp.Body) != "yes" || got != "please" {
		t.Fatalf("got %q, %v; the server got %q", resp.Body, err, got)
	}
	if want := "CONNECT " + c.host; p.target.Load() != want {
		t.Errorf("the proxy was asked for %v, want %s", p.target.Load(), want)
	}
}

func TestPostExplainsProxy(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	tests := []struct {
		name   string
		status int    // that the proxy answers
		proxy  string // instead of one that answers
		reason string
		tries  int64
	}{
		{name: "wants a password", status: 407, reason: "wants a user name and a password", tries: 1},
		{name: "forbids", status: 403, reason: "does not allow a connection to ", tries: 1},
		{name: "cannot reach it", status: 502, reason: "does not reach ", tries: maxTries},
		{name: "is no proxy", status: 404, reason: "answered HTTP 404 instead of connecting", tries: 1},
		{name: "is away", proxy: "http://" + closed.Addr().String(), reason: "the proxy " + closed.Addr().String() + " refuses the connection"},
		{name: "has no such name", proxy: "http://proxy.invalid:3128", reason: "proxy.invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &tunnel{status: tt.status}
			proxy := httptest.NewServer(p)
			defer proxy.Close()
			url := proxy.URL
			if tt.proxy != "" {
				url = tt.proxy
			}
			c := startHTTPS(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") }, withProxy(url))
			_, err := c.Post(t.Context(), []byte("please"))
			if strings.HasPrefix(runtime.GOARCH, "mips") && errors.Is(err, syscall.Errno(111)) {
				return // as in TestPostExplainsRefusedConnection
			}
			e, ok := errors.AsType[*transport.UnreachableError](err)
			if !ok || !strings.Contains(e.Reason, tt.reason) || e.Advice == "" {
				t.Fatalf("got %v, want %q", err, tt.reason)
			}
			if tt.proxy != "" && !strings.Contains(e.Advice, "option proxy") {
				t.Errorf("the advice is %q", e.Advice)
			}
			if p.asked.Load() != tt.tries {
				t.Errorf("asked %d times, want %d", p.asked.Load(), tt.tries)
			}
		})
	}
}

// HTTPS_PROXY is not used, and where the server cannot be reached the error says so.
func TestProxyVariableIgnored(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("https_proxy", "http://127.0.0.1:1")
	ignored := func(c *Config) { c.ProxyIgnored = true }
	c := startHTTPS(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, "yes") }, ignored)
	if _, err := c.Post(t.Context(), nil); err != nil {
		t.Errorf("got %v", err)
	}
	const hint = "HTTPS_PROXY is set, but not used: name the proxy by option proxy"
	c = startRaw(t, func(_ context.Context, conn net.Conn) { conn.Close() }, ignored)
	advice := func(c *Client) string {
		_, err := c.Post(t.Context(), nil)
		e, ok := errors.AsType[*transport.UnreachableError](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		return e.Advice
	}
	if got := advice(c); !strings.Contains(got, hint) {
		t.Errorf("the advice is %q, want %q in it", got, hint)
	}
	c = startRaw(t, func(_ context.Context, conn net.Conn) { conn.Close() })
	if got := advice(c); strings.Contains(got, hint) {
		t.Errorf("without the variable the advice is %q", got)
	}
}

func TestParseProxy(t *testing.T) {
	for _, good := range []string{"http://proxy.example.net:3128", "http://192.0.2.1:8080/", "http://[2001:db8::1]:3128"} {
		if u, err := parseProxy(good); err != nil || u.Scheme+"://"+u.Host != strings.TrimSuffix(good, "/") {
			t.Errorf("%s: got %v, %v", good, u, err)
		}
	}
	for _, bad := range []string{"proxy:3128", "https://proxy:3128", "socks5://proxy:1080", "http://proxy", "http://:3128", "http://proxy:x", "http://proxy:3128/path", "http://proxy:3128?q", "http://u:secret@proxy:3128", "http://u:secret@proxy:x"} {
		_, err := parseProxy(bad)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", bad, err)
		}
		if _, err := New(Config{Server: "https://a", Path: "/", ContentType: testContentType, Proxy: bad}); err == nil {
			t.Errorf("%s: New takes it", bad)
		} else if e, ok := errors.AsType[*transport.OptionError](err); !ok || e.Option != "proxy" {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

// exchangeThrough asks a server of step 0 through a proxy; ctx bounds it.
func exchangeThrough(ctx context.Context, t *testing.T, proxy string) (*Exchanged, error) {
	t.Helper()
	leaf, mine := issue(t, nil, loopback), issue(t, nil, func(*x509.Certificate) {})
	server := exchangeServer(t, func(*tls.Config) {}, leaf)
	return Exchange(ctx, ExchangeConfig{
		Server: server.URL, Pins: []Pin{shortPin(leaf.cert)}, Proxy: proxy,
		Certificate: tls.Certificate{PrivateKey: mine.key, Certificate: [][]byte{mine.cert.Raw}},
	}, "/", func(e Exporter) ([]byte, error) { return e("EXPERIMENTAL test", []byte("context"), 32) })
}

// TestExchangeThroughProxy: what is exported is the server's, not the proxy's.
func TestExchangeThroughProxy(t *testing.T) {
	p := new(tunnel)
	proxy := httptest.NewServer(p)
	defer proxy.Close()
	got, err := exchangeThrough(t.Context(), t, proxy.URL)
	if err != nil || got.Status != http.StatusOK || p.asked.Load() != 1 {
		t.Errorf("got %+v, %v; the proxy was asked %d times", got, err, p.asked.Load())
	}
}

// TestExchangeExplainsProxy: proxies that do not connect, and what else may listen there.
func TestExchangeExplainsProxy(t *testing.T) {
	says := func(text string) string {
		addr := listenRaw(t, func(ctx context.Context, conn net.Conn) {
			http.ReadRequest(bufio.NewReader(conn))
			io.WriteString(conn, text)
			<-ctx.Done()
		})
		return "http://" + addr.String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, tt := range []struct{ proxy, reason string }{
		{says("HTTP/1.1 407 no\r\n\r\n"), "wants a user name and a password"},
		{says("HTTP/1.1 403 no\r\nContent-Length: 99\r\n\r\n"), "does not allow a connection to "}, // the body never comes
		{says("HTTP/1.1 502 no\r\n\r\n"), "does not reach "},
		{says("HTTP/1.1 404 no\r\n\r\n"), "answered HTTP 404 instead of connecting"},
		{says("SSH-2.0-x\r\n"), "the proxy 127.0.0.1:"},
		{says("HTTP/1.1 200 yes\r\nX: " + strings.Repeat("x", 1<<20)), "closed the connection before its answer was complete"}, // as far as it is read
		{says("HTTP/1.1 200 yes\r\n\r\nand more"), "the proxy 127.0.0.1:"},
		{"http://" + closed.Addr().String(), "the proxy 127.0.0.1:"},
		{"http://proxy.invalid:3128", "proxy.invalid"},
	} {
		_, err := exchangeThrough(t.Context(), t, tt.proxy)
		if strings.HasPrefix(runtime.GOARCH, "mips") && errors.Is(err, syscall.Errno(111)) {
			continue // as in TestPostExplainsRefusedConnection
		}
		e, ok := errors.AsType[*transport.UnreachableError](err)
		if !ok || !strings.Contains(e.Reason, tt.reason) || e.Advice == "" {
			t.Errorf("%s: got %v, want %q", tt.proxy, err, tt.reason)
		}
	}
	if _, err := exchangeThrough(t.Context(), t, "socks5://proxy:1080"); err == nil {
		t.Error("a proxy of another kind is taken")
	}
	silent := says("") // until the context ends
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = exchangeThrough(ctx, t, silent)
	if e, ok := errors.AsType[*transport.UnreachableError](err); !ok || !strings.Contains(e.Reason, "did not answer in time") {
		t.Errorf("a silent proxy: %v", err)
	}
}
