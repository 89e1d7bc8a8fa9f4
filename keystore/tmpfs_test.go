package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// onTmpfs runs a test with a small file system of its own. The mount is seen by one thread only, which ends
// with the test; remount changes it.
func onTmpfs(t *testing.T, options string, test func(t *testing.T, dir string, remount func(flags uintptr))) {
	t.Helper()
	dir := t.TempDir()
	mounted := make(chan error)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		err := syscall.Unshare(syscall.CLONE_NEWNS)
		if err == nil {
			err = syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		}
		if err == nil {
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,"+options)
		}
		mounted <- err
		if err != nil {
			return
		}
		test(t, dir, func(flags uintptr) {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, options); err != nil {
				t.Errorf("remounting: %v", err)
			}
		})
	}()
	err := <-mounted
	<-done
	switch {
	case err != nil && os.Getenv("CI") == "":
		t.Skipf("no file system can be mounted here: %v", err)
	case err != nil:
		t.Fatalf("mounting a file system: %v", err)
	}
}

func TestFileSystemFull(t *testing.T) {
	for _, options := range []string{"size=64k", "nr_inodes=12"} {
		t.Run(options, func(t *testing.T) {
			onTmpfs(t, options, func(t *testing.T, dir string, _ func(uintptr)) {
				if err := Create(filepath.Join(dir, "keys"), &testSecret); err != nil {
					t.Error(err)
					return
				}
				s, err := Open(filepath.Join(dir, "keys"), &testSecret)
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				value := bytes.Repeat([]byte("x"), 300)
				stored := 0
				for err == nil {
					if err = s.Put(fmt.Sprint("pne-", stored), value); err == nil {
						stored++
					}
				}
				if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room on the file system of "+s.folder.path) {
					t.Errorf("got %v, want ENOSPC and what to do", err)
				}
				if stored == 0 {
					t.Error("nothing was stored before it was full")
					return
				}
				// To replace a record takes room for one more: with none at all the old value stays.
				if options == "size=64k" {
					filler := filepath.Join(dir, "filler")
					os.WriteFile(filler, make([]byte, 64<<10), 0o600)
					defer os.Remove(filler)
				}
				if err := s.Put("pne-0", []byte("new")); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("replacing on a full file system: got %v, want ENOSPC", err)
				}
				for i := range stored {
					wantValue(t, s, fmt.Sprint("pne-", i), string(value))
				}
				if got := len(files(t, s.folder.path)); got != stored+1 {
					t.Errorf("%d files, want %d", got, stored+1)
				}
				// A record gives its room back, and the next one fits.
				if err := s.Delete("pne-0"); err != nil {
					t.Error(err)
				}
				if err := s.Put("pne-0", []byte("new")); err != nil {
					t.Error(err)
				}
				wantValue(t, s, "pne-0", "new")
			})
		})
	}
}

func TestCreateOnFullFileSystem(t *testing.T) {
	onTmpfs(t, "nr_inodes=2", func(t *testing.T, dir string, remount func(uintptr)) {
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
	onTmpfs(t, "size=64k", func(t *testing.T, dir string, remount func(uintptr)) {
		keys := filepath.Join(dir, "keys")
		if err := Create(keys, &testSecret); err != nil {
			t.Error(err)
			return
		}
		s, err := Open(keys, &testSecret)
		if err != nil {
			t.Error(err)
			return
		}
		if err := s.Put("a", []byte("old")); err != nil {
			t.Error(err)
		}
		os.WriteFile(filepath.Join(keys, "b.rec.tmp"), []byte("half"), 0o600)
		remount(syscall.MS_RDONLY)
		for what, err := range map[string]error{"Put": s.Put("a", []byte("new")), "first Put": s.Put("b", nil), "Delete": s.Delete("a")} {
			if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "read-only") {
				t.Errorf("%s: got %v, want EROFS and what to do", what, err)
			}
		}
		s.Close()
		// What is there can still be read, so that keys keep being delivered.
		s, err = Open(keys, &testSecret)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		wantValue(t, s, "a", "old")
		remount(0)
		if err := s.Put("a", []byte("new")); err != nil {
			t.Errorf("writable again: %v", err)
		}
		wantValue(t, s, "a", "new")
	})
}
