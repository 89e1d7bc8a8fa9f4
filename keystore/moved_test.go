package keystore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	noReserve(t, dir)
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
	if err := s.Delete("a"); err == nil || !strings.Contains(err.Error(), "was removed while pngw had it open") {
		t.Errorf("Delete: got %v, want what happened", err)
	}
	if got := files(t, s.folder.path); len(got) != 1 {
		t.Errorf("the store in the old place has %q", got)
	}
}

// A log that is a link, in the folder or out of it, is not followed, nor is anything else read.
func TestLinksAreNotFollowed(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	s.Close()
	dir := s.folder.path
	outside := filepath.Join(t.TempDir(), "log")
	log := filepath.Join(dir, logFile)
	if err := os.Rename(log, outside); err != nil {
		t.Fatal(err)
	}
	for what, put := range map[string]func() error{
		"a link":   func() error { return os.Symlink(outside, log) },
		"a folder": func() error { return os.Mkdir(log, 0o700) },
		"a pipe":   func() error { return syscall.Mkfifo(log, 0o600) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, &testSecret); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", what, err)
		}
		if err := os.Remove(log); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(outside, log); err != nil {
		t.Fatal(err)
	}
	// What is in the place of a log that is being written goes, and what it leads to stays.
	if err := os.Symlink("log", filepath.Join(dir, newLogFile)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	wantValue(t, s, "a", "1")
	if got := files(t, dir); len(got) != 2 {
		t.Errorf("left: %q", got)
	}
}
