package server_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

// BenchmarkAssignments measures assignments over HTTPS on the loopback, beside what
// it cannot be faster than: a bare HTTPS POST of the same sizes and a bare SQLite
// transaction with one row.
//
//	go test -run '^$' -bench Assignments -benchtime 2s ./cpns/server
func BenchmarkAssignments(b *testing.B) {
	for _, parallel := range []int{1, 8} {
		b.Run(fmt.Sprintf("assignment/%d-clients", parallel), func(b *testing.B) { benchAssignments(b, parallel) })
		b.Run(fmt.Sprintf("bare-HTTPS-POST/%d-clients", parallel), func(b *testing.B) { benchPosts(b, parallel) })
	}
	b.Run("bare-SQLite-transaction", benchTransactions)
}

// BenchmarkPSK1 measures how many gateways get a PSK1 by mutual TLS on the loopback, each
// on a connection of its own, beside the handshakes alone.
//
//	go test -run '^$' -bench PSK1 -benchtime 2s ./cpns/server
func BenchmarkPSK1(b *testing.B) {
	const gateways = 500
	var requests atomic.Int64 // a second of the clock each: no budget is ever spent
	start := time.Now()
	r := newRigWith(b, func(c *server.Config) {
		withStep0(c)
		c.Now = func() time.Time { return start.Add(time.Duration(requests.Load()) * time.Second) }
	})
	s := &site{r, serve(b, r)}
	units := make([]*unit, gateways)
	must(b, r.store.Update(b.Context(), func(tx server.Tx) error {
		for n := range units {
			units[n] = newUnit(b)
			if err := tx.AddGateway(server.Gateway{ID: cpns.GatewayID(fmt.Sprint("gw-tls-", n)), Key: units[n].key, Created: start}); err != nil {
				return err
			}
		}
		return nil
	}))
	var turn atomic.Int64
	next := func() *unit { return units[turn.Add(1)%gateways] }
	for _, parallel := range []int{1, 8} {
		b.Run(fmt.Sprintf("PSK1/%d-gateways", parallel), func(b *testing.B) {
			atOnce(b, parallel, func() {
				requests.Add(1)
				client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.as(next()), DisableKeepAlives: true}}
				res, err := client.Post("https://"+s.addr+cpns.PSK1Path, "", nil)
				if err != nil {
					b.Error(err)
					return
				}
				defer res.Body.Close()
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
					b.Errorf("got HTTP %s, %v", res.Status, err)
				}
			})
			perSecond(b, "PSK1s")
		})
		b.Run(fmt.Sprintf("bare-handshake/%d-gateways", parallel), func(b *testing.B) {
			atOnce(b, parallel, func() {
				c, err := tls.Dial("tcp", s.addr, s.as(next()))
				if err != nil {
					b.Error(err)
					return
				}
				c.Close()
			})
			perSecond(b, "handshakes")
		})
	}
}

func perSecond(b *testing.B, what string) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), what+"/s")
}

// atOnce runs f b.N times on so many goroutines.
func atOnce(b *testing.B, goroutines int, f func()) {
	var begun atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		wg.Go(func() {
			for begun.Add(1) <= int64(b.N) {
				f()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

func benchAssignments(b *testing.B, parallel int) {
	start := time.Now()
	var requests atomic.Int64 // a second of the clock each: no budget is ever spent
	r := newRigWith(b, func(c *server.Config) {
		c.Now = func() time.Time { return start.Add(time.Duration(requests.Load()) * time.Second) }
	})
	bodies := make(chan []byte, 256)
	done := make(chan struct{})
	defer close(done)
	go func() { // the gateway's half is not what is measured
		for n := 0; ; n++ {
			r.clock.mu.Lock()
			r.clock.now = start.Add(time.Duration(n) * time.Second)
			r.clock.mu.Unlock()
			select {
			case bodies <- r.seal("gw-1", r.request("alice", "pne-1")):
			case <-done:
				return
			}
		}
	}()
	client := r.http.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = parallel
	atOnce(b, parallel, func() {
		requests.Add(1)
		post(b, client, r.http.URL, <-bodies)
	})
	perSecond(b, "assignments")
	assigned := 0
	for _, e := range r.events() {
		if e.Kind == server.EventAssigned {
			assigned++
		}
	}
	if assigned != b.N {
		b.Errorf("%d requests, %d assignments", b.N, assigned)
	}
}

func post(b *testing.B, client *http.Client, url string, body []byte) {
	res, err := client.Post(url+cpns.AssignmentPath, cpns.ContentType, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK || n < 2000 {
		b.Errorf("got HTTP %s, %d bytes, %v", res.Status, n, err)
	}
}

func benchPosts(b *testing.B, parallel int) {
	answer := make([]byte, 2250)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(answer)
	}))
	defer s.Close()
	body := make([]byte, 200)
	client := s.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = parallel
	atOnce(b, parallel, func() { post(b, client, s.URL, body) })
	perSecond(b, "posts")
}

func benchTransactions(b *testing.B) {
	store, err := sqlite.Create(b.Context(), filepath.Join(b.TempDir(), "cpns.db"))
	must(b, err)
	defer store.Close()
	for n := 0; b.Loop(); n++ {
		must(b, store.Update(b.Context(), func(tx server.Tx) error { return tx.AddSetting(fmt.Sprint(n), nil) }))
	}
	perSecond(b, "transactions")
}
