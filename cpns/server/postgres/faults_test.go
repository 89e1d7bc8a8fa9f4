package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
)

func setting(name string) func(server.Tx) error {
	return func(tx server.Tx) error { return tx.AddSetting(name, nil) }
}

// wantSays fails unless an error says something, and is an ErrUnavailable or not.
func wantSays(t *testing.T, what string, err error, text string, unavailable bool) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %q", what, err, text)
	} else if errors.Is(err, server.ErrUnavailable) != unavailable {
		t.Errorf("%s: %v: unavailable: %v, want %v", what, err, !unavailable, unavailable)
	} else if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: more than one line: %q", what, err)
	}
}

// What a database is that cannot be used is said, and nothing in it is changed.
func TestRefuses(t *testing.T) {
	db := pgtest.Shared(t)
	prepare := func(url string) error { return openAt(t, url).Prepare(t.Context()) }

	empty := db.NewDatabase()
	if err := prepare(empty); !errors.Is(err, ErrNoTables) {
		t.Errorf("an empty database: got %v", err)
	}
	others := db.NewDatabase()
	db.Exec("CREATE TABLE " + pgtest.Schema(others) + ".theirs (a int)")
	if err := prepare(others); !errors.Is(err, ErrNoTables) {
		t.Errorf("another program's database: got %v", err)
	}
	_, err := Create(t.Context(), Config{URL: others})
	wantSays(t, "creating in another program's", err, "tables of another program", false)

	ours := db.NewDatabase()
	createAt(t, ours)
	if _, err := Create(t.Context(), Config{URL: ours}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating twice: got %v", err)
	}
	db.Exec("UPDATE " + pgtest.Schema(ours) + ".cpns_schema SET version = 99")
	if e, ok := errors.AsType[*server.SchemaError](prepare(ours)); !ok || e.Database != 99 || e.Program != len(migrations) {
		t.Errorf("a newer program's database: got %v", e)
	}

	latin := "latin"
	db.Exec("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	_, err = Create(t.Context(), Config{URL: db.URL(latin)})
	wantSays(t, "another encoding", err, "LATIN1", false)
	wantSays(t, "no such database", prepare(db.URL("nothing")), "no such database", false)
	db.Exec("CREATE ROLE guest LOGIN")
	guest := strings.Replace(empty, "cpns@", "guest@", 1)
	db.Exec("GRANT USAGE ON SCHEMA " + pgtest.Schema(empty) + " TO guest")
	_, err = Create(t.Context(), Config{URL: guest})
	wantSays(t, "a user without rights", err, "has to own the database", false)
}

// A database that can only be read says so; when it can be written to again, the same
// store goes on.
func TestReadOnly(t *testing.T) {
	db := pgtest.Start(t, pgtest.Fast)
	s := createAt(t, db.NewDatabase())
	db.Exec("ALTER ROLE cpns SET default_transaction_read_only = on")
	s.pool.Reset()
	// An update says READ WRITE nowhere, so that the default holds for it.
	wantSays(t, "writing", s.Update(t.Context(), setting("a")), "can only be read", true)
	if err := s.View(t.Context(), func(tx server.Tx) error { _, err := tx.UsersAfter("", 1); return err }); err != nil {
		t.Errorf("reading: %v", err)
	}
	db.Exec("BEGIN READ WRITE; ALTER ROLE cpns SET default_transaction_read_only = off; COMMIT")
	if err := s.Update(t.Context(), setting("a")); err != nil {
		t.Errorf("writing again: %v", err)
	}
}

// A database that is away fails at once, without a word too many, and the same store
// goes on when it is back. Connections that died meanwhile fail nothing.
func TestAway(t *testing.T) {
	db := pgtest.Start(t, pgtest.Fast)
	url := db.NewDatabase()
	s := createAt(t, url)
	db.Stop()
	wantSays(t, "writing", s.Update(t.Context(), setting("a")), "cannot be reached", true)
	wantSays(t, "opening", openAt(t, url).Prepare(t.Context()), "cannot be reached", true)
	db.Run()
	if err := s.Update(t.Context(), setting("a")); err != nil {
		t.Errorf("back: %v", err)
	}
	for n := range 3 {
		db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cpns-server'")
		if err := s.Update(t.Context(), setting(fmt.Sprint("b", n))); err != nil {
			t.Errorf("after its connections were ended: %v", err)
		}
	}
	// In the middle of a transaction.
	ran := 0
	err := s.Update(t.Context(), func(tx server.Tx) error {
		if ran++; ran == 1 {
			if err := tx.AddSetting("c", nil); err != nil {
				return err
			}
			db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cpns-server'")
		}
		_, err := tx.Setting("b0")
		return errors.Join(err, tx.SetSetting("d", nil))
	})
	if err != nil || ran != 2 {
		t.Errorf("ended in the middle: ran %d times, %v", ran, err)
	}
}

// When all connections are in use, one who waits is told how many there are.
func TestPoolExhausted(t *testing.T) {
	db := pgtest.Shared(t)
	s := createAt(t, db.NewDatabase()+"&pool_max_conns=1")
	err := s.Update(t.Context(), func(tx server.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wantSays(t, "a second transaction", s.Update(ctx, setting("a")), "all 1 connections", true)
		return tx.AddSetting("b", nil)
	})
	if err != nil {
		t.Errorf("the first transaction: %v", err)
	}
}

// A disk that is full fails the transaction and says so; what was there stays.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root mounts a file system")
	}
	mounted, done := make(chan error), make(chan struct{})
	dir, err := os.MkdirTemp("/tmp", "pgsmall-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	go func() {
		defer close(done)
		runtime.LockOSThread() // and ends with the goroutine
		err := syscall.Unshare(syscall.CLONE_NEWNS)
		if err == nil {
			err = syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
		if err == nil {
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=777,size=2m")
		}
		mounted <- err
		if err != nil {
			return
		}
		defer syscall.Unmount(dir, 0)
		db := pgtest.Start(t, pgtest.Fast)
		defer db.Stop()
		db.Own(dir)
		db.Exec("CREATE TABLESPACE small LOCATION '" + dir + "'")
		s := createAt(t, db.NewDatabase()+"&default_tablespace=small")
		if err := s.Update(t.Context(), setting("a")); err != nil {
			t.Error(err)
			return
		}
		big := func(tx server.Tx) error {
			return tx.AddEvent(server.Event{Kind: "e", Detail: strings.Repeat(fmt.Sprint(time.Now().UnixNano()), 1<<10)})
		}
		err = nil
		for n := 0; err == nil && n < 5000; n++ {
			err = s.Update(t.Context(), big)
		}
		wantSays(t, "writing", err, "disk is full", true)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v is not ENOSPC", err)
		}
		err = nil
		for n := 0; err == nil && n < 5000; n++ {
			err = s.Assign(t.Context(), asked(0), func(*server.Findings) (*server.Outcome, error) {
				return &server.Outcome{Event: &server.Event{Kind: "e", Detail: strings.Repeat(fmt.Sprint(time.Now().UnixNano()), 1<<10)}}, nil
			})
		}
		wantSays(t, "assigning", err, "disk is full", true)
		if err := s.View(t.Context(), func(tx server.Tx) error { _, err := tx.Setting("a"); return err }); err != nil {
			t.Errorf("reading: %v", err)
		}
	}()
	if err := <-mounted; err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no file system can be mounted here: %v", err)
	}
	<-done
}

// A migration that breaks off leaves everything as it was; the next start goes on.
func TestMigration(t *testing.T) {
	db := pgtest.Shared(t)
	url := db.NewDatabase()
	createAt(t, url)
	defer func(before []string) { migrations = before }(migrations)
	has := func(table string) bool {
		s := openAt(t, url)
		s.prepared.Store(true)
		n := 0
		if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1", table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
	good := migrations
	migrations = append(good[:len(good):len(good)], "CREATE TABLE two (a int)", "CREATE TABLE three (a int); SELECT 1/0")
	wantSays(t, "a migration that fails", openAt(t, url).Prepare(t.Context()), fmt.Sprintf("migrating to schema version %d", len(good)+2), false)
	if has("two") || has("three") {
		t.Error("half of a migration stayed")
	}
	migrations = append(good[:len(good):len(good)], "CREATE TABLE two (a int)", "CREATE TABLE three (a int)")
	var wg sync.WaitGroup
	for range 4 { // servers that begin at the same time
		wg.Go(func() {
			if err := openAt(t, url).Prepare(t.Context()); err != nil {
				t.Errorf("migrating: %v", err)
			}
		})
	}
	wg.Wait()
	if !has("two") || !has("three") {
		t.Error("the migrations have not run")
	}
	migrations = good
	if _, ok := errors.AsType[*server.SchemaError](openAt(t, url).Prepare(t.Context())); !ok {
		t.Error("the program before takes it")
	}
}

// A database of every schema before is brought to the newest, and what was in it is
// still there.
func TestMigrateOlder(t *testing.T) {
	db := pgtest.Shared(t)
	defer func(before []string) { migrations = before }(migrations)
	all := migrations
	for version := 1; version < len(all); version++ {
		url := db.NewDatabase()
		migrations = all[:version]
		old := createAt(t, url)
		if _, err := old.pool.Exec(t.Context(), "INSERT INTO users (id, password_hash, created) VALUES ('alice', '\\x0102', 1000)"); err != nil {
			t.Fatal(err)
		}
		migrations = all
		err := openAt(t, url).View(t.Context(), func(tx server.Tx) error {
			u, err := tx.User("alice")
			if !u.Created.Equal(time.Unix(1, 0)) || u.Disabled || !u.Seen.IsZero() {
				t.Errorf("from schema version %d: got %+v", version, u)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Two transactions each of which reads what the other writes come out as if one ran
// after the other; what had to run again is counted.
func TestConflictsAreRunAgain(t *testing.T) {
	db := pgtest.Shared(t)
	s := createAt(t, db.NewDatabase())
	if err := s.Update(t.Context(), func(tx server.Tx) error {
		return errors.Join(tx.AddSetting("a", []byte("1")), tx.AddSetting("b", []byte("1")))
	}); err != nil {
		t.Fatal(err)
	}
	// Each takes its one away while the other's is there.
	take := func(mine, other string, read, written *sync.WaitGroup) error {
		first := true
		return s.Update(t.Context(), func(tx server.Tx) error {
			there, err := tx.Setting(other)
			if err != nil {
				return err
			}
			if first {
				first = false
				read.Done()
				read.Wait()
			}
			if string(there) == "1" {
				err = tx.SetSetting(mine, []byte("0"))
			}
			return err
		})
	}
	var read, ended sync.WaitGroup
	read.Add(2)
	ended.Go(func() {
		if err := take("a", "b", &read, nil); err != nil {
			t.Error(err)
		}
	})
	ended.Go(func() {
		if err := take("b", "a", &read, nil); err != nil {
			t.Error(err)
		}
	})
	ended.Wait()
	left := ""
	if err := s.View(t.Context(), func(tx server.Tx) error {
		a, _ := tx.Setting("a")
		b, _ := tx.Setting("b")
		left = string(a) + string(b)
		return nil
	}); err != nil || left != "01" && left != "10" {
		t.Errorf("left %s, %v: want one of the two", left, err)
	}
	if stats := s.Stats(); stats.SerializationFailures == 0 {
		t.Errorf("nothing was run again: %+v", stats)
	}
}

// Two transactions that wait for each other's rows: one is run again.
func TestDeadlock(t *testing.T) {
	db := pgtest.Shared(t)
	s := createAt(t, db.NewDatabase())
	if err := s.Update(t.Context(), func(tx server.Tx) error { return errors.Join(tx.AddSetting("a", nil), tx.AddSetting("b", nil)) }); err != nil {
		t.Fatal(err)
	}
	var both, ended sync.WaitGroup
	both.Add(2)
	set := func(first, second string) {
		once := sync.OnceFunc(func() { both.Done(); both.Wait() })
		if err := s.Update(t.Context(), func(tx server.Tx) error {
			if err := tx.SetSetting(first, []byte(first)); err != nil {
				return err
			}
			once()
			return tx.SetSetting(second, []byte(first))
		}); err != nil {
			t.Error(err)
		}
	}
	ended.Go(func() { set("a", "b") })
	ended.Go(func() { set("b", "a") })
	ended.Wait()
	if stats := s.Stats(); stats.Deadlocks == 0 {
		t.Errorf("no deadlock: %+v", stats)
	}
}

// One process tidies at a time; the others go on without.
func TestTidyOneAtATime(t *testing.T) {
	db := pgtest.Shared(t)
	url := db.NewDatabase()
	a, b := createAt(t, url), openAt(t, url)
	ran := false
	err := a.Tidy(t.Context(), func(tx server.Tx) error {
		if err := b.Tidy(t.Context(), func(server.Tx) error { ran = true; return nil }); err != nil {
			t.Errorf("the second: %v", err)
		}
		return tx.AddSetting("a", nil)
	})
	if err != nil || ran {
		t.Errorf("%v; the second ran: %v", err, ran)
	}
	if err := b.Tidy(t.Context(), func(server.Tx) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("%v; the second ran after the first: %v", err, ran)
	}
}

// All servers go by the database's clock.
func TestClock(t *testing.T) {
	db := pgtest.Shared(t)
	url := db.NewDatabase()
	createAt(t, url)
	off := func(s *Store) time.Duration { return time.Until(s.Now()).Round(time.Minute) }
	s := openAt(t, url)
	if err := s.Prepare(t.Context()); err != nil || off(s) != 0 {
		t.Errorf("off by %v, %v", off(s), err)
	}
	// The database's clock, an hour ahead: its schema comes before PostgreSQL's own.
	schema := pgtest.Schema(url)
	db.Exec("CREATE FUNCTION " + schema + ".clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + interval ''1 hour'''")
	ahead := openAt(t, strings.Replace(url, "search_path="+schema, "search_path="+schema+",pg_catalog", 1))
	if err := ahead.Prepare(t.Context()); err != nil || off(ahead) != time.Hour {
		t.Errorf("off by %v, %v, want an hour", off(ahead), err)
	}
}

// Where order is promised it is that of bytes, whatever the database's own is.
func TestCollation(t *testing.T) {
	db := pgtest.Shared(t)
	s := createAt(t, db.NewDatabase())
	n := 0
	err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM information_schema.columns WHERE table_schema = current_schema()
		AND column_name IN ('id', 'identity', 'entity', 'name') AND table_name <> 'events' AND (table_name, column_name) <> ('replicas', 'name') AND collation_name IS DISTINCT FROM 'C'`).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d keys are not collated by bytes, %v", n, err)
	}
}

// A listing of a part reads an index, and nothing is sorted.
func TestListingsUseIndexes(t *testing.T) {
	db := pgtest.Shared(t)
	s := createAt(t, db.NewDatabase())
	for _, tt := range []struct{ where, index string }{
		{"entity > 'a' AND tk <> '' AND owner = 'a' AND owner <> ''", "pnes_by_owner"},
		{"entity > 'a' AND tk <> '' AND gateway = 'a' AND gateway <> ''", "pnes_by_gateway"},
		{"entity > 'a' AND tk <> '' AND state = 'free'", "pnes_by_state"},
		{"entity > 'a' AND tk <> '' AND entity >= 'b' AND entity <= 'b~'", "pnes_pkey"},
	} {
		rows, err := s.pool.Query(t.Context(), "EXPLAIN "+pneColumns+"WHERE "+tt.where+" ORDER BY entity LIMIT 500")
		if err != nil {
			t.Fatal(err)
		}
		plan := ""
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan += line + "\n"
		}
		if rows.Err() != nil || !strings.Contains(plan, tt.index) || strings.Contains(plan, "Sort") {
			t.Errorf("%s: %v\n%s", tt.where, rows.Err(), plan)
		}
	}
}

func TestConfig(t *testing.T) {
	for url, text := range map[string]string{
		"mysql://h/d":                           "postgres://",
		"postgres://u:secret@h/d":               "password in the database's URL",
		"postgres://u@h/d?password=secret":      "password in the database's URL",
		"postgres://h/d?sslmode=sometimes":      "sslmode",
		"postgres://h/d?pool_max_conns=x":       "pool_max_conns",
		"postgres://h/d?sslrootcert=/not/there": "/not/there",
	} {
		err := Config{URL: url}.Check()
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q", url, err, text)
		}
	}
	pc, err := Config{URL: "postgres://a,b:5433/d"}.parse()
	if err != nil || pc.ConnConfig.ValidateConnect == nil {
		t.Errorf("of several hosts any is taken: %v", err)
	}
	if pc, err = (Config{URL: "postgres://a/d"}).parse(); err != nil || pc.ConnConfig.ValidateConnect != nil || pc.MaxConns != connections {
		t.Errorf("of one host: %v", err)
	}
	if got := (Config{URL: "postgres://u:p@h:5/d?sslkey=k"}).Redacted(); got != "postgres://u@h:5/d" {
		t.Errorf("redacted: %s", got)
	}
}

// write writes a file for a test.
func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}
