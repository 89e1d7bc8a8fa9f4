package postgres

import (
	"os"
	"testing"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/cpns/server/servertest"
	"cpns.example.net/pngw/cpns/server/storetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.StopShared()
	os.Exit(code)
}

func createAt(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Create(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openAt(t testing.TB, url string) *Store {
	t.Helper()
	s, err := New(Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	db := pgtest.Shared(t)
	storetest.Run(t, func(t *testing.T) storetest.Rig {
		url := db.NewDatabase()
		return storetest.Rig{Store: createAt(t, url), Reopen: func() server.Store { return openAt(t, url) },
			New: func() server.Store { return createAt(t, db.NewDatabase()) }}
	})
}

func TestBackup(t *testing.T) {
	db := pgtest.Shared(t)
	servertest.TestBackup(t, func(t *testing.T) server.Store { return createAt(t, db.NewDatabase()) })
}
