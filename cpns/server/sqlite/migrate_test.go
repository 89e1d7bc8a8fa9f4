package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"cpns.example.net/pngw/cpns/server"
)

// A database of every schema before is brought to the newest, and what was in it is
// still there.
func TestMigrate(t *testing.T) {
	for version := 1; version < len(migrations); version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cpns.db")
			old, err := sqlite3.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			for n, m := range migrations[:version] {
				if err := old.Exec(m); err != nil {
					t.Fatalf("schema version %d: %v", n+1, err)
				}
			}
			err = old.Exec(fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d;
				INSERT INTO users (id, password_hash, created) VALUES ('alice', x'0102', 1000)`, applicationID, version))
			if err != nil {
				t.Fatal(err)
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.View(t.Context(), func(tx server.Tx) error {
				u, err := tx.User("alice")
				if !u.Created.Equal(time.Unix(1, 0)) || u.Disabled || !u.Seen.IsZero() {
					t.Errorf("got %+v", u)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
