package server_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/cpns/server/servertest"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

// BenchmarkAssignments measures assignments over HTTPS on the loopback, by clients that
// keep their connections, beside what they cannot be faster than: a bare HTTPS POST of
// the same sizes, a bare transaction of SQLite's with one row, and one of pgx's. All
// of it, clients and databases too, runs on this one machine.
//
//	go test -run '^$' -bench Assignments -benchtime 2s ./cpns/server
func BenchmarkAssignments(b *testing.B) {
	clients := []int{1, 8, 64}
	for _, n := range clients {
		b.Run(fmt.Sprintf("bare-HTTPS-POST/%d-clients", n), func(b *testing.B) { benchPosts(b, n) })
	}
	b.Run("bare-SQLite-transaction", benchTransactions)
	b.Run("bare-pgx-transaction", benchPgx)
	for _, n := range clients {
		b.Run(fmt.Sprintf("SQLite/%d-clients", n), func(b *testing.B) { benchAssignments(b, onSQLite(b), 1, n) })
	}
	for _, servers := range []int{1, 3} {
		for _, n := range clients {
			b.Run(fmt.Sprintf("PostgreSQL-%d-servers/%d-clients", servers, n), func(b *testing.B) {
				benchAssignments(b, onPostgres(b), servers, n)
			})
		}
	}
}

// onSQLite makes a store and opens it as often as it is called.
func onSQLite(b *testing.B) func() server.Store {
	s, err := sqlite.Create(b.Context(), filepath.Join(b.TempDir(), "cpns.db"))
	must(b, err)
	b.Cleanup(func() { s.Close() })
	return func() server.Store { return s }
}

// durable is PostgreSQL as it comes: a commit is on the disk.
var durable = pgtest.Settings{"max_connections": "100", "shared_buffers": "256MB"}

func onPostgres(b *testing.B) func() server.Store {
	url := pgtest.Start(b, durable).NewDatabase()
	created := false
	return func() server.Store {
		open := postgres.Create
		if created {
			open = func(_ context.Context, c postgres.Config) (*postgres.Store, error) { return postgres.New(c) }
		}
		created = true
		s, err := open(b.Context(), postgres.Config{URL: url})
		must(b, err)
		b.Cleanup(func() { s.Close() })
		return s
	}
}

func perSecond(b *testing.B, what string) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), what+"/s")
}

// benchAssignments has gateways ask for the EUKeys of their PNEs. What runs beside is given
// the servers and the number of requests so far, and returns how it ends.
func benchAssignments(b *testing.B, open func() server.Store, servers, parallel int, beside ...func([]*server.Server, *atomic.Int64) func()) {
	const gateways, pnes = 64, 2048 // each PNE has one gateway
	start := time.Now()
	var requests atomic.Int64 // 4 ms of the clock each: no gateway's budget is ever spent
	at := func(n int64) time.Time { return start.Add(time.Duration(n) * 4 * time.Millisecond) }
	now := func() time.Time { return at(requests.Load()) }
	first := open()
	fleet := servertest.Fill(b, first, gateways, pnes)
	var webs []*httptest.Server
	var made []*server.Server
	for n := range servers {
		store := first
		if n > 0 {
			store = open()
		}
		s, err := server.New(b.Context(), server.Config{Store: store, MasterKey: fleet.Key, Log: slog.New(slog.DiscardHandler), Now: now, DailyClaims: 1 << 20})
		must(b, err)
		made = append(made, s)
		web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			s.ServeHTTP(w, r)
		}))
		b.Cleanup(web.Close)
		webs = append(webs, web)
	}
	bodies := make([][]byte, b.N) // the gateways' half is not what is measured
	for n := range bodies {
		req, err := fleet.Request(n%gateways, fleet.PNEs[n%pnes], at(int64(n)))
		must(b, err)
		bodies[n] = req.Body
	}
	for _, f := range beside {
		defer f(made, &requests)()
	}
	postAll(b, webs, parallel, bodies, "assignments")
	if s, ok := first.(*postgres.Store); ok {
		b.ReportMetric(float64(s.Stats().SerializationFailures)*float64(servers)/float64(b.N), "retries/op")
	}
	assigned := 0
	must(b, first.View(b.Context(), func(tx server.Tx) error {
		for seq := int64(0); ; {
			events, err := tx.EventsAfter(seq, time.Time{}, 1000)
			for _, e := range events {
				if e.Kind == server.EventAssigned {
					assigned++
				}
				seq = e.Seq
			}
			if err != nil || len(events) == 0 {
				return err
			}
		}
	}))
	if assigned != b.N {
		b.Errorf("%d requests, %d assignments", b.N, assigned)
	}
}

// bareHTTPS answers everything with as many bytes as an assignment has.
func bareHTTPS(b *testing.B) *httptest.Server {
	answer := make([]byte, 2250)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(answer)
	}))
	b.Cleanup(s.Close)
	return s
}

// BenchmarkNewConnections measures health checks that each take a connection of their
// own: with the session of the one before, at another server, and without.
func BenchmarkNewConnections(b *testing.B) {
	secret := server.TicketSecret(random(b, server.TicketSecretSize))
	rigs := make([]*served, 2)
	for n := range rigs {
		r := newRigWith(b, func(c *server.Config) {
			c.Now = nil
			c.TicketSecret = func() (*server.TicketSecret, error) { return &secret, nil }
		})
		rigs[n] = serve(b, r)
	}
	for _, tickets := range []bool{true, false} {
		b.Run(fmt.Sprintf("tickets=%v", tickets), func(b *testing.B) {
			conf := rigs[0].tls()
			conf.ServerName = "example.com"
			if tickets {
				conf.ClientSessionCache = tls.NewLRUClientSessionCache(8)
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
			resumed := 0
			n := 0
			for b.Loop() {
				n++
				res, err := client.Get("https://" + rigs[n%2].addr + "/healthz")
				must(b, err)
				res.Body.Close()
				if res.TLS.DidResume {
					resumed++
				}
			}
			if resumed < n-1 == tickets {
				b.Errorf("%d of %d connections went on with a session", resumed, n)
			}
			perSecond(b, "connections")
		})
	}
}

func benchPosts(b *testing.B, clients int) {
	body := make([]byte, 240) // an assignment's
	bodies := make([][]byte, b.N)
	for n := range bodies {
		bodies[n] = body
	}
	postAll(b, []*httptest.Server{bareHTTPS(b)}, clients, bodies, "posts")
}

func benchTransactions(b *testing.B) {
	store := onSQLite(b)()
	for n := 0; b.Loop(); n++ {
		must(b, store.Update(b.Context(), func(tx server.Tx) error { return tx.AddSetting(fmt.Sprint(n), nil) }))
	}
	perSecond(b, "transactions")
}

func benchPgx(b *testing.B) {
	ctx := b.Context()
	conn, err := pgx.Connect(ctx, pgtest.Start(b, durable).NewDatabase())
	must(b, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE t (a text PRIMARY KEY)")
	must(b, err)
	for n := 0; b.Loop(); n++ {
		must(b, pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO t VALUES ($1)", fmt.Sprint(n))
			return err
		}))
	}
	perSecond(b, "transactions")
}
