package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"cpns.example.net/pngw/cpns/server"
)

// The files are the owner's alone, whatever the umask says.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "cpns.db")
	s := create(t, path)
	defer s.Close()
	for range 2 {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != 0o600 {
				t.Errorf("%s has mode %o, want 600", info.Name(), got)
			}
		}
		// And so are those of the next one to open it.
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if s, err = Open(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCreateKeepsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpns.db")
	if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(t.Context(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "mine" {
		t.Errorf("the file is now %q, %v", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	// sql makes a file that SQLite itself wrote.
	sql := func(script string) func(path string) error {
		return func(path string) error {
			c, err := sqlite3.Open(path)
			if err != nil {
				return err
			}
			return errors.Join(c.Exec(script), c.Close())
		}
	}
	content := func(b []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, b, 0o600) }
	}
	tests := []struct {
		name string
		make func(path string) error
		want func(error) bool
	}{
		{"nothing", func(string) error { return nil }, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		{"an empty file", content(nil), says("not the database of a CPNS Server")},
		{"a text", content(bytes.Repeat([]byte("no database "), 1000)), says("damaged")},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }, says("opened")},
		{"another program's database", sql("CREATE TABLE t (a); PRAGMA application_id = 7"), says("not the database of a CPNS Server")},
		{"a database without a mark", sql("CREATE TABLE t (a)"), says("not the database of a CPNS Server")},
		{"a newer program's database", sql(fmt.Sprintf("CREATE TABLE t (a); PRAGMA application_id = %d; PRAGMA user_version = 99", applicationID)),
			func(err error) bool {
				v, ok := errors.AsType[*server.SchemaError](err)
				return ok && v.Database == 99 && v.Program == len(migrations)
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cpns.db")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			s, err := Open(t.Context(), path)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !tt.want(err) {
				t.Errorf("got %v", err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func says(text string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), text) }
}

// A path that looks like a URI's options is a path.
func TestOddPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a?mode=memory&x#y%20z.db")
	s := create(t, path)
	defer s.Close()
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the database is not where it should be: %v", err)
	}
}

// A disk that is full fails the transaction and says so; what was there stays.
func TestFullDisk(t *testing.T) {
	s := create(t, filepath.Join(t.TempDir(), "cpns.db"))
	defer s.Close()
	if err := s.Update(t.Context(), func(tx server.Tx) error { return tx.AddSetting("a", nil) }); err != nil {
		t.Fatal(err)
	}
	limit := func(pages string) {
		t.Helper()
		if err := s.withConn(t.Context(), s.writer, func(c *conn) error { return c.Exec("PRAGMA max_page_count = " + pages) }); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // as many as there are
	err := s.Update(t.Context(), func(tx server.Tx) error { return tx.AddSetting("b", make([]byte, 1<<20)) })
	if !errors.Is(err, sqlite3.FULL) || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("got %v, want that the disk is full", err)
	}
	limit("1000000")
	err = s.Update(t.Context(), func(tx server.Tx) error {
		if _, err := tx.Setting("a"); err != nil {
			return err
		}
		return tx.AddSetting("b", nil)
	})
	if err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestClosed(t *testing.T) {
	s := create(t, filepath.Join(t.TempDir(), "cpns.db"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				err := s.Update(context.Background(), func(server.Tx) error { return nil })
				if errors.Is(err, fs.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if err := s.View(t.Context(), func(server.Tx) error { return nil }); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("view: got %v, want fs.ErrClosed", err)
	}
}

// A path may have what means something in a URI.
func TestPaths(t *testing.T) {
	for _, name := range []string{"with blank", "a+b", "a&b=c", "50%25", "what?", "#1", "ü"} {
		path := filepath.Join(t.TempDir(), name, "cpns.db")
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		s := create(t, path)
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if _, err := os.Stat(path + suffix); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Nothing is written into a file that was moved away, or in whose place there is another:
// what is told to be durable would be missing where everybody looks for it. Put back it
// goes on.
func TestMovedAway(t *testing.T) {
	dir := t.TempDir()
	data, away := filepath.Join(dir, "data"), filepath.Join(dir, "away")
	path := filepath.Join(data, "cpns.db")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	s := create(t, path)
	defer s.Close()
	write := func(value string) error {
		return s.Update(t.Context(), func(tx server.Tx) error { return tx.SetSetting("test", []byte(value)) })
	}
	wants := func(what, want string, err error) {
		t.Helper()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	wants("in place", "", write("first"))
	if err := os.Rename(data, away); err != nil {
		t.Fatal(err)
	}
	wants("moved", "was moved away, or removed", write("second"))
	wants("moved, read", "was moved away, or removed", s.View(t.Context(), func(server.Tx) error { return nil }))
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	other := create(t, path)
	wants("another", "is not the file that this program has open", write("third"))
	if err := errors.Join(other.Close(), os.RemoveAll(data), os.Rename(away, data)); err != nil {
		t.Fatal(err)
	}
	wants("back", "", s.View(t.Context(), func(tx server.Tx) error {
		if got, err := tx.Setting("test"); err != nil || string(got) != "first" {
			t.Errorf("the setting is %q, %v", got, err)
		}
		return nil
	}))
	wants("back", "", write("fourth"))
}
