package postgres

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/cpns/server/servertest"
)

// The master key is changed while two servers answer: no request fails for it, a repeat is
// still a repeat, and everything is under the new key in the end. It takes the time that
// servers are given to take the change up.
func TestRekeyUnderLoad(t *testing.T) {
	db := pgtest.Shared(t)
	url := db.NewDatabase()
	const gateways, pnes = 4, 64
	fleet := servertest.Fill(t, createAt(t, url), gateways, pnes)
	next := new(server.MasterKey)
	rand.Read(next[:])
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(stop)

	borrowed := httptest.NewTLSServer(nil)
	defer borrowed.Close()
	cert := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &borrowed.TLS.Certificates[0], nil }
	var urls []string
	for range 2 {
		s, err := server.New(ctx, server.Config{
			Store: openAt(t, url), MasterKey: fleet.Key, Log: slog.New(slog.DiscardHandler),
			NextKey: func() (*server.MasterKey, error) { return next, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { s.Serve(ctx, ln, cert) })
		urls = append(urls, "https://"+ln.Addr().String())
	}
	// The first answers put the servers on the list of those that a change waits for.
	first, err := fleet.Request(0, fleet.PNEs[0], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var set *cpns.EUKeyAssignmentResponse
	for _, url := range urls {
		if set, err = fleet.Send(ctx, borrowed.Client(), url, first); err != nil || set.Status != cpns.Success {
			t.Fatalf("before: %v, %v", set, err)
		}
	}
	var answered atomic.Int64
	for g := range gateways {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				req, err := fleet.Request(g, fleet.PNEs[(n*gateways+g)%pnes], time.Now())
				if err != nil {
					t.Error(err)
					return
				}
				got, err := fleet.Send(ctx, borrowed.Client(), urls[n%len(urls)], req)
				switch {
				case ctx.Err() != nil:
				case servertest.Status(err) == http.StatusTooManyRequests:
				case err != nil || got.Status != cpns.Success:
					t.Errorf("gateway %d, request %d: %v, %v", g, n, got, err)
					return
				default:
					answered.Add(1)
				}
				time.Sleep(100 * time.Millisecond) // within the gateway's budget
			}
		})
	}

	store := openAt(t, url)
	op, err := server.NewOperator(ctx, store, fleet.Key, "tester")
	if err != nil {
		t.Fatal(err)
	}
	got, err := op.Rekey(ctx, next, func(server.RekeyProgress) {})
	if err != nil || got.To != next.ID() || got.Values < pnes {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, url := range urls {
		again, err := fleet.Send(ctx, borrowed.Client(), url, first)
		if err != nil || again.Epoch != set.Epoch || again.EUKeys[0] != set.EUKeys[0] {
			t.Errorf("the same request: %v, %v", again, err)
		}
	}
	stop()
	running.Wait()
	if n := answered.Load(); n < 10 {
		t.Errorf("only %d requests were answered meanwhile", n)
	} else {
		t.Logf("%d values, and %d requests answered meanwhile", got.Values, n)
	}
	op, err = server.NewOperator(t.Context(), store, next, "tester")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.CheckStore(t.Context(), func(text string) { t.Error(text) }); err != nil {
		t.Error(err)
	}
}
