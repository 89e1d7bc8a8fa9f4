package server_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// A gateway's session goes on at another server that has the same secret, and at none
// that has not.
func TestTicketsAreShared(t *testing.T) {
	one, other := server.TicketSecret(random(t, 32)), server.TicketSecret(random(t, 32))
	start := func(secret *server.TicketSecret) *served {
		r := newRig(t)
		r.serve(func(c *server.Config) {
			if secret != nil {
				c.TicketSecret = func() (*server.TicketSecret, error) { return secret, nil }
			}
		})
		return serve(t, r)
	}
	a, b, c, alone := start(&one), start(&one), start(&other), start(nil)
	conf := a.tls()
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumes := func(at *served) bool {
		t.Helper()
		// The rigs' certificates are the same; the cache asks for the name only.
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
		res, err := client.Get("https://" + at.addr + "/healthz")
		must(t, err)
		res.Body.Close()
		return res.TLS.DidResume
	}
	conf.ServerName = "example.com"
	// The keys are set by a goroutine of Serve's.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		resumes(a)
		if resumes(b) && resumes(a) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no session of one goes on at the other")
		}
	}
	for name, at := range map[string]*served{"another secret": c, "no secret": alone} {
		resumes(a)
		if resumes(at) {
			t.Errorf("%s: the session went on", name)
		}
	}
}

// sessionState is one that a real connection has left.
func sessionState(t *testing.T) (state *tls.SessionState) {
	t.Helper()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.TLS = new(tls.Config)
	got := make(chan *tls.SessionState, 4)
	web.TLS.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		got <- s
		return web.TLS.EncryptTicket(cs, s)
	}
	web.StartTLS()
	defer web.Close()
	web.Client().Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	res, err := web.Client().Get(web.URL)
	must(t, err)
	res.Body.Close()
	return <-got
}

// Keys follow the clock: a ticket of a period opens in the next one, and in no later.
// A secret that is replaced opens its tickets for another period, and one that cannot
// be read changes nothing.
func TestTicketsRotate(t *testing.T) {
	state := sessionState(t)
	synctest.Test(t, func(t *testing.T) {
		var secret atomic.Pointer[server.TicketSecret]
		first, second := server.TicketSecret(random(t, 32)), server.TicketSecret(random(t, 32))
		secret.Store(&first)
		r := server.NewTicketRotation(time.Now, func() (*server.TicketSecret, error) {
			if s := secret.Load(); s != nil {
				return s, nil
			}
			return nil, errors.New("away")
		})
		stop := r.Start(t.Context())
		defer stop()
		synctest.Wait()
		ticket := func() []byte {
			t.Helper()
			b, err := r.Config.EncryptTicket(tls.ConnectionState{}, state)
			must(t, err)
			return b
		}
		opens := func(b []byte) bool {
			s, err := r.Config.DecryptTicket(b, tls.ConnectionState{})
			return err == nil && s != nil
		}
		// From the beginning of a period on.
		time.Sleep(time.Until(time.Now().Truncate(server.TicketPeriod).Add(server.TicketPeriod + 2*time.Minute)))
		old := ticket()
		for n, want := range []bool{true, true, false} {
			if got := opens(old); got != want {
				t.Errorf("after %d periods: %v", n, got)
			}
			time.Sleep(server.TicketPeriod)
		}
		of := ticket()
		secret.Store(nil)
		time.Sleep(10 * time.Minute)
		if !opens(of) || !opens(ticket()) {
			t.Error("a secret that cannot be read has changed the keys")
		}
		secret.Store(&second)
		time.Sleep(10 * time.Minute)
		if !opens(of) || !opens(ticket()) {
			t.Error("a new secret has closed the tickets before")
		}
		time.Sleep(server.TicketPeriod + 10*time.Minute)
		if opens(of) {
			t.Error("the secret before opens for ever")
		}
	})
}
