package https

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/transport"
)

// pipeListener accepts connections made of net.Pipe, whose waiting synctest can
// see. Everything above them is real: TLS, net/http's server and its client.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8443} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startInBubble is startHTTPS within a synctest bubble, with the real back-off.
func startInBubble(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	ca := newAuthority(t, "test CA")
	l := newPipeListener()
	srv := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	var wg sync.WaitGroup
	wg.Go(func() {
		srv.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, leaf{})}}))
	})
	t.Cleanup(func() {
		// On a pipe both ends' last TLS alerts wait for each other, until
		// crypto/tls gives up after 5 s.
		time.Sleep(6 * time.Second)
		srv.Close()
		wg.Wait()
	})
	c := newClient(t, l.Addr(), ca)
	c.transport.DialContext = l.dial
	c.backoff = transport.Backoff{Min: minBackoff, Max: maxBackoff}
	return c
}

func TestBackoff(t *testing.T) {
	later := func(retryAfter string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if retryAfter != "" {
				w.Header().Set("Retry-After", retryAfter)
			}
			w.WriteHeader(status)
		}
	}
	const second = time.Second
	tests := []struct {
		name     string
		handler  http.HandlerFunc
		deadline time.Duration // 0: none
		tries    int
		min, max time.Duration // until Post returns
	}{
		// Pauses of 0.5 to 1, 1 to 2 and 2 to 4 s.
		{"503", later("", 503), 0, 4, 3500 * time.Millisecond, 7 * second},
		{"502", later("", 502), 0, 4, 3500 * time.Millisecond, 7 * second},
		{"504", later("", 504), 0, 4, 3500 * time.Millisecond, 7 * second},
		{"429", later("", 429), 0, 4, 3500 * time.Millisecond, 7 * second},
		{"asks for 10 s", later("10", 429), 0, 4, 33500 * time.Millisecond, 37 * second},
		{"asks for 50 s", later("50", 503), 0, 3, 101500 * time.Millisecond, 103 * second},
		{"asks for more than is left", later("120", 503), 0, 1, 0, 0},
		{"asks for more than is left to the caller", later("20", 429), 30 * second, 2, 20500 * time.Millisecond, 21 * second},
		{"says nothing for ever", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // a handler that returns has answered 200
		}, 0, 4, 123500 * time.Millisecond, 127 * second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				tries := 0
				c := startInBubble(t, func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil || string(body) != "the same" {
						t.Errorf("got body %q, %v", body, err)
					}
					mu.Lock()
					tries++
					mu.Unlock()
					tt.handler(w, r)
				})
				ctx := t.Context()
				if tt.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				start := time.Now()
				_, err := c.Post(ctx, []byte("the same"))
				took := time.Since(start)
				mu.Lock()
				defer mu.Unlock()
				if err == nil || tries != tt.tries || took < tt.min || took > tt.max {
					t.Errorf("got %v after %d tries and %v, want %d tries and %v to %v",
						err, tries, took, tt.tries, tt.min, tt.max)
				}
			})
		})
	}
}

func TestBackoffEndsWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := startInBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; n < 3 {
				w.Header().Set("Retry-After", strconv.Itoa(n))
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			answer(w, "sealed")
		})
		resp, err := c.Post(t.Context(), nil)
		if err != nil || string(resp.Body) != "sealed" || n != 3 {
			t.Errorf("got %q, %v after %d tries, want %q after 3", resp.Body, err, n, "sealed")
		}
	})
}

func TestBackoffEndsWithCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := startInBubble(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		start := time.Now()
		_, err := c.Post(ctx, nil)
		if took := time.Since(start); !errors.Is(err, context.Canceled) || took != 5*time.Second {
			t.Errorf("got %v after %v, want context.Canceled after 5s", err, took)
		}
	})
}
