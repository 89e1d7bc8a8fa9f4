package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/cpns/server/servertest"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

// serve starts a server on a store.
func serve(t *testing.T, s server.Store, key *server.MasterKey) (*server.Server, *httptest.Server) {
	t.Helper()
	srv, err := server.New(t.Context(), server.Config{Store: s, MasterKey: key, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(srv)
	t.Cleanup(web.Close)
	return srv, web
}

func ready(t *testing.T, web *httptest.Server) int {
	t.Helper()
	res, err := web.Client().Get(web.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode
}

// A server whose database is away begins all the same, says so, and answers 503 with
// Retry-After until it is there. A request that met the database's end gets its set
// when it is sent again.
func TestServerWithoutDatabase(t *testing.T) {
	db := pgtest.Start(t, pgtest.Settings{"fsync": "off"})
	url := db.NewDatabase()
	fleet := servertest.Fill(t, createAt(t, url), 1, 1)
	db.Stop()

	srv, web := serve(t, openAt(t, url), fleet.Key)
	req, err := fleet.Request(0, fleet.PNEs[0], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (*cpns.EUKeyAssignmentResponse, error) {
		return fleet.Send(t.Context(), web.Client(), web.URL, req)
	}
	away := func(when string) {
		t.Helper()
		_, err := ask()
		refused, _ := errors.AsType[*servertest.HTTPError](err)
		if refused == nil || refused.Status != http.StatusServiceUnavailable || refused.RetryAfter == "" {
			t.Fatalf("%s: got %v, want 503 with Retry-After", when, err)
		}
	}
	away("away at the start")
	if got := ready(t, web); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", got)
	}
	ended := make(chan error)
	go func() { ended <- srv.Await(t.Context()) }()
	db.Run()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	first, err := ask()
	if err != nil || first.Status != cpns.Success {
		t.Fatalf("the database is there: %v, %v", first, err)
	}
	for range 3 {
		db.Kill()
		away("killed")
		db.Run()
		again, err := ask()
		if err != nil || again.Epoch != first.Epoch || !slices.Equal(again.EUKeys, first.EUKeys) {
			t.Fatalf("the same request: %v, %v", again, err)
		}
	}
}

// A server on a standby is alive and not ready, refuses requests until somebody promotes
// it, and says in its metrics that it does not get on. Then it goes on by itself.
func TestServerOnStandby(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Settings{"wal_level": "replica", "fsync": "off"})
	s := createAt(t, primary.URL("postgres"))
	fleet := servertest.Fill(t, s, 1, 1)
	_, web := serve(t, s, fleet.Key)
	req, err := fleet.Request(0, fleet.PNEs[0], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	told, err := fleet.Send(t.Context(), web.Client(), web.URL, req)
	if err != nil || told.Status != cpns.Success {
		t.Fatalf("%v, %v", told, err)
	}
	standby := pgtest.New(t)
	standby.CopyOf(primary, "standby")
	standby.Configure(nil)
	standby.Run()

	// As whoever names one host only; the default looks for one that can be written to.
	srv, web := serve(t, openAt(t, standby.URL("postgres")+"&target_session_attrs=any"), fleet.Key)
	ask := func() (*cpns.EUKeyAssignmentResponse, error) {
		req, err := fleet.Request(0, fleet.PNEs[0], time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return fleet.Send(t.Context(), web.Client(), web.URL, req)
	}
	if got := ready(t, web); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", got)
	}
	res, err := web.Client().Get(web.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("/healthz: %s", res.Status)
	}
	if _, err := ask(); servertest.Status(err) != http.StatusServiceUnavailable {
		t.Errorf("a request: %v", err)
	}
	var text strings.Builder
	if err := srv.WriteMetrics(&text, server.Watched{}); err != nil || !strings.Contains(text.String(), "\ncpns_store_up 0\n") || strings.Contains(text.String(), `failures_total{reason="away"} 0`) {
		t.Errorf("metrics: %v\n%s", err, text.String())
	}
	primary.Kill()
	standby.Promote()
	if got, err := ask(); err != nil || got.Status != cpns.Success {
		t.Errorf("after it was promoted: %v, %v", got, err)
	}
	again, err := fleet.Send(t.Context(), web.Client(), web.URL, req)
	if err != nil || again.Epoch != told.Epoch || !slices.Equal(again.EUKeys, told.EUKeys) {
		t.Errorf("the request that the primary answered: %v, %v", again, err)
	}
	// The last look holds for five seconds.
	if _, web := serve(t, openAt(t, standby.URL("postgres")), fleet.Key); ready(t, web) != http.StatusOK {
		t.Error("/readyz after it was promoted")
	}
}

// Another installation's database is not answered from, also when it comes late.
func TestAnotherMasterKey(t *testing.T) {
	db := pgtest.Start(t, pgtest.Fast)
	url := db.NewDatabase()
	servertest.Fill(t, createAt(t, url), 1, 1)
	var other server.MasterKey
	rand.Read(other[:])
	c := server.Config{MasterKey: &other, Log: slog.New(slog.DiscardHandler)}
	c.Store = openAt(t, url)
	if _, err := server.New(t.Context(), c); !errors.Is(err, server.ErrWrongMasterKey) {
		t.Errorf("got %v", err)
	}
	db.Stop()
	c.Store = openAt(t, url)
	srv, err := server.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	db.Run()
	if err := srv.Await(t.Context()); !errors.Is(err, server.ErrWrongMasterKey) {
		t.Errorf("late: got %v", err)
	}
}

// What was in an SQLite file is in the database afterwards, however often the move was
// broken off, and the file is not answered from any more.
func TestMove(t *testing.T) {
	db := pgtest.Shared(t)
	path := filepath.Join(t.TempDir(), "cpns.db")
	source, err := sqlite.Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	fleet := servertest.Fill(t, source, 3, 2500)
	_, web := serve(t, source, fleet.Key)
	type exchange struct {
		req *servertest.Request
		got *cpns.EUKeyAssignmentResponse
	}
	var all []exchange
	for n := range 20 {
		req, err := fleet.Request(n%3, fleet.PNEs[n], time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got, err := fleet.Send(t.Context(), web.Client(), web.URL, req)
		if err != nil || got.Status != cpns.Success {
			t.Fatalf("%v, %v", got, err)
		}
		all = append(all, exchange{req, got})
	}
	op, err := server.NewOperator(t.Context(), source, fleet.Key, "tester")
	if err != nil {
		t.Fatal(err)
	}
	if err := op.RemovePNE(t.Context(), fleet.PNEs[19]); err != nil {
		t.Fatal(err)
	}

	url := db.NewDatabase()
	target := createAt(t, url)
	var other server.MasterKey
	if err := server.Move(t.Context(), source, target, &other, url, func(server.Moved) {}); !errors.Is(err, server.ErrWrongMasterKey) {
		t.Errorf("another master key: got %v", err)
	}
	// Broken off after each batch.
	for batches := 0; ; batches++ {
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		err = server.Move(ctx, source, target, fleet.Key, url, func(server.Moved) {
			if told++; told == 2 {
				cancel()
			}
		})
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() == nil || batches > 100 {
			t.Fatal(err)
		}
		if _, err := server.NewOperator(t.Context(), target, fleet.Key, "tester"); !errors.Is(err, server.ErrHalfMoved) {
			t.Fatalf("a database that is half filled: got %v", err)
		}
	}
	if _, err := server.NewOperator(t.Context(), source, fleet.Key, "tester"); err == nil || !strings.Contains(err.Error(), "moved to") {
		t.Errorf("the old database is still used: %v", err)
	}
	_, web = serve(t, openAt(t, url), fleet.Key)
	for n, e := range all[:19] {
		again, err := fleet.Send(t.Context(), web.Client(), web.URL, e.req)
		if err != nil || again.Epoch != e.got.Epoch || !slices.Equal(again.EUKeys, e.got.EUKeys) {
			t.Fatalf("request %d: got %v, %v", n, again, err)
		}
	}
	if err := target.View(t.Context(), func(tx server.Tx) error {
		owned, err := tx.PNEsAfter(server.PNEFilter{State: server.PNEAssigned}, "", 100)
		if err == nil && len(owned) != 19 {
			t.Errorf("%d are assigned", len(owned))
		}
		events, err2 := tx.EventsAfter(0, time.Time{}, 100)
		if len(events) < 20 || events[0].Kind != server.EventUserAdded {
			t.Errorf("%d events, the first %+v", len(events), events[0])
		}
		return errors.Join(err, err2)
	}); err != nil {
		t.Error(err)
	}
	// What was removed there goes on from its epoch here.
	if err := target.Update(t.Context(), func(tx server.Tx) error {
		if err := tx.AddPNE(server.PNE{Entity: fleet.PNEs[19], TK: server.Sealed{1}}); err != nil {
			return err
		}
		p, err := tx.PNE(fleet.PNEs[19])
		if p.Epoch != all[19].got.Epoch {
			t.Errorf("epoch %d, want %d", p.Epoch, all[19].got.Epoch)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
