package sqlite

import (
	"path/filepath"
	"testing"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/servertest"
	"cpns.example.net/pngw/cpns/server/storetest"
)

func create(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Create(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Rig {
		path := filepath.Join(t.TempDir(), "cpns.db")
		first := create(t, path)
		opened := []*Store{first}
		t.Cleanup(func() {
			for _, s := range opened {
				s.Close()
			}
		})
		return storetest.Rig{Store: first, Reopen: func() server.Store {
			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			opened = append(opened, s)
			return s
		}, New: func() server.Store {
			s := create(t, filepath.Join(t.TempDir(), "other.db"))
			opened = append(opened, s)
			return s
		}}
	})
}

func TestBackup(t *testing.T) {
	servertest.TestBackup(t, func(t *testing.T) server.Store {
		s := create(t, filepath.Join(t.TempDir(), "cpns.db"))
		t.Cleanup(func() { s.Close() })
		return s
	})
}
