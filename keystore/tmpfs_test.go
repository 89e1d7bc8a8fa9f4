package keystore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cpns.example.net/pngw/internal/tmpfstest"
)

// createAndOpen is for the tests on a small file system, which must end by returning: see tmpfstest.Run.
func createAndOpen(keys string) (*Store, error) {
	if err := Create(keys, &testSecret); err != nil {
		return nil, err
	}
	return Open(keys, &testSecret)
}

// fill leaves no room on a small file system; it is full of the file filler.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

// On a full file system nothing is lost, records can be deleted, and where there is room
// again all goes on.
func TestFileSystemFull(t *testing.T) {
	tmpfstest.Run(t, "size=256k", func(t *testing.T, dir string, _ func(uintptr)) {
		keys := filepath.Join(dir, "keys")
		s, err := createAndOpen(keys)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { s.Close() }()
		value := strings.Repeat("x", 300)
		stored := 0
		for fill(t, dir); err == nil && stored < 1000; {
			if err = s.Put(fmt.Sprint("pne-", stored), []byte(value)); err == nil {
				stored++
			}
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room on the file system of "+keys) {
			t.Errorf("got %v, want ENOSPC and what to do", err)
		}
		if stored == 0 {
			t.Error("nothing was stored in the rest of a page")
			return
		}
		if err := s.Put("pne-0", []byte(value+"new")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("replacing on a full file system: got %v, want ENOSPC", err)
		}
		for i := range stored {
			wantValue(t, s, fmt.Sprint("pne-", i), value)
		}
		// Deleting works, again and again, and other users of the file system cannot keep it from
		// that by taking what it frees: not as long as the reserve was not used.
		for i := range stored {
			if err := s.Delete(fmt.Sprint("pne-", i)); err != nil {
				t.Error(err)
			}
		}
		wantList(t, s)
		// What room that made is not taken for another one.
		if got := files(t, keys); len(got) != 1 {
			t.Errorf("there are %q", got)
		}
		s.Close()
		if s, err = Open(keys, &testSecret); err != nil {
			t.Error(err)
			return
		}
		wantList(t, s)
		wantSound(t, s)
		os.Remove(filepath.Join(dir, "filler"))
		if err := s.Put("pne-0", []byte("new")); err != nil {
			t.Error(err)
		}
		wantValue(t, s, "pne-0", "new")
		// With room again there is a reserve again, and no shorter one.
		if info, err := os.Stat(filepath.Join(keys, reserveFile)); err != nil || info.Size() != 32<<10 {
			t.Errorf("the reserve: %v, %v; want 32 KiB of 256", info, err)
		}
		if got := files(t, keys); len(got) != 2 {
			t.Errorf("there are %q", got)
		}
	})
}

// A compaction takes no more than there is: where there is too little room for it, it
// waits until there is more, and leaves nothing behind.
func TestCompactionWithoutRoom(t *testing.T) {
	tmpfstest.Run(t, "size=1m", func(t *testing.T, dir string, _ func(uintptr)) {
		keys := filepath.Join(dir, "keys")
		s, err := createAndOpen(keys)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		puts := func(n int) {
			for i := range n {
				if err := s.Put(fmt.Sprint("pne-", i%100), make([]byte, 1000)); err != nil {
					t.Error(err)
					return
				}
			}
		}
		puts(100)
		if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 560<<10), 0o600); err != nil {
			t.Error(err)
		}
		puts(150) // three in a page
		if s.end < 300<<10 {
			t.Errorf("compacted to %d bytes with too little room", s.end)
		}
		if got := files(t, keys); len(got) != 2 {
			t.Errorf("there are %q", got)
		}
		os.Remove(filepath.Join(dir, "filler"))
		puts(100)
		if s.end > 280<<10 {
			t.Errorf("%d bytes of log with room again", s.end)
		}
		for i := range 100 {
			wantValue(t, s, fmt.Sprint("pne-", i), string(make([]byte, 1000)))
		}
	})
}

func TestCreateOnFullFileSystem(t *testing.T) {
	tmpfstest.Run(t, "nr_inodes=2", func(t *testing.T, dir string, remount func(uintptr)) {
		keys := filepath.Join(dir, "keys")
		if err := Create(keys, &testSecret); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v, want ENOSPC", err)
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "nr_inodes=100"); err != nil {
			t.Error(err)
		}
		if err := Create(keys, &testSecret); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

func TestFileSystemReadOnly(t *testing.T) {
	tmpfstest.Run(t, "size=64k", func(t *testing.T, dir string, remount func(uintptr)) {
		keys := filepath.Join(dir, "keys")
		s, err := createAndOpen(keys)
		if err != nil {
			t.Error(err)
			return
		}
		if err := s.Put("a", []byte("old")); err != nil {
			t.Error(err)
		}
		os.WriteFile(filepath.Join(keys, newLogFile), []byte("half"), 0o600)
		s.Close() // the kernel takes writing from no file that is open for it, unless after a fault
		remount(syscall.MS_RDONLY)
		// What is there can still be read, so that keys keep being delivered.
		s, err = Open(keys, &testSecret)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		wantValue(t, s, "a", "old")
		for what, err := range map[string]error{"Put": s.Put("a", []byte("new")), "first Put": s.Put("b", nil), "Delete": s.Delete("a")} {
			if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "read-only") {
				t.Errorf("%s: got %v, want EROFS and what to do", what, err)
			}
		}
		wantValue(t, s, "a", "old")
		remount(0)
		if err := s.Put("a", []byte("new")); err != nil {
			t.Errorf("writable again: %v", err)
		}
		wantValue(t, s, "a", "new")
	})
}
