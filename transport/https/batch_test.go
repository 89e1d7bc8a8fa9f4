package https

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// The requests of a batch share one connection, which is closed when no more come;
// the next batch resumes the session.
func TestBatchSharesAConnection(t *testing.T) {
	var opened atomic.Int32
	closed := make(chan struct{}, 10)
	var resumed atomic.Bool
	ca := newAuthority(t, "test CA")
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed.Store(r.TLS.DidResume)
		answer(w, "sealed")
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, leaf{})}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed <- struct{}{}
		}
	}
	srv.StartTLS()
	defer srv.Close()
	c := newClient(t, srv.Listener.Addr(), ca)
	post := func() {
		t.Helper()
		if _, err := c.Post(t.Context(), []byte("request")); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		post()
	}
	if n := opened.Load(); n != 1 || resumed.Load() {
		t.Errorf("5 requests made %d connections, want 1", n)
	}
	// Closed by us, when it has been idle for long.
	if c.transport.IdleConnTimeout != idleTimeout {
		t.Errorf("an idle connection stays for %v", c.transport.IdleConnTimeout)
	}
	c.transport.CloseIdleConnections()
	<-closed
	post()
	if n := opened.Load(); n != 2 || !resumed.Load() {
		t.Errorf("the next batch made %d connections, resumed: %v; want 1 more, resumed", n-1, resumed.Load())
	}
	// Closed by the server just before the next request: that costs no try.
	c.log = nil // a try that is repeated would panic
	srv.CloseClientConnections()
	<-closed
	post()
}
