package keystore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A store that is moved away under a running daemon keeps all of that daemon's work, and one that is made in its
// old place gets none of it.
func TestMovedStore(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	dir, moved := s.folder.path, s.folder.path+".old"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, &otherSecret); err != nil {
		t.Fatal(err)
	}
	other, err := Open(dir, &otherSecret)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()

	mustPut(t, s, "a", "2")
	mustPut(t, s, "b", "3")
	mustPut(t, other, "c", "4")
	if err := s.Delete("c"); err != nil {
		t.Error(err)
	}
	wantList(t, s, "a", "b")
	wantList(t, other, "c")
	if _, err := Open(moved, &testSecret); !errors.Is(err, ErrLocked) {
		t.Errorf("opening the moved store a second time: got %v, want ErrLocked", err)
	}
	if err := s.Delete("b"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = mustOpen(t, moved)
	wantList(t, s, "a")
	wantValue(t, s, "a", "2")
	wantValue(t, other, "c", "4")
}

// A store that is removed under a running daemon takes nothing any more, and says why.
func TestRemovedStore(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	if err := os.RemoveAll(s.folder.path); err != nil {
		t.Fatal(err)
	}
	if err := Create(s.folder.path, &testSecret); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("a", []byte("2")); err == nil || !strings.Contains(err.Error(), "was removed while pngw had it open") {
		t.Errorf("Put: got %v, want what happened", err)
	}
	if _, err := s.Get("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get: got %v, want fs.ErrNotExist", err)
	}
	if got := files(t, s.folder.path); len(got) != 1 {
		t.Errorf("the store in the old place has %q", got)
	}
}

// A record that is a link, in the folder or out of it, is not followed.
func TestLinksAreNotFollowed(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	outside := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{outside, "a.rec", "nothing"} {
		for _, name := range []string{"b.rec", "b.rec.tmp"} {
			if err := os.Symlink(to, filepath.Join(s.folder.path, name)); err != nil {
				t.Fatal(err)
			}
		}
		var record *RecordError
		if _, err := s.Get("b"); !errors.As(err, &record) {
			t.Errorf("Get through a link to %s: %v", to, err)
		}
		if err := s.Delete("b"); err != nil {
			t.Error(err)
		}
		wantList(t, s, "a")
	}
	wantValue(t, s, "a", "1")
	if got, err := os.ReadFile(outside); err != nil || string(got) != "precious" {
		t.Errorf("the file outside has %q, %v", got, err)
	}
}
