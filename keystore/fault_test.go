package keystore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A faultyDisk lets one system call fail without effect; of a write, half is done.
type faultyDisk struct {
	osDisk
	calls, failAt int
	err           error
}

func (d *faultyDisk) fail() error {
	d.calls++
	if d.calls == d.failAt {
		return d.err
	}
	return nil
}

func (d *faultyDisk) create(path string) (file, error) {
	if err := d.fail(); err != nil {
		return nil, err
	}
	f, err := d.osDisk.create(path)
	return faultyFile{f, d}, err
}

func (d *faultyDisk) open(path string) (file, error) {
	if err := d.fail(); err != nil {
		return nil, err
	}
	f, err := d.osDisk.open(path)
	return faultyFile{f, d}, err
}

func (d *faultyDisk) rename(from, to string) error {
	if err := d.fail(); err != nil {
		return err
	}
	return d.osDisk.rename(from, to)
}

func (d *faultyDisk) remove(path string) error {
	if err := d.fail(); err != nil {
		return err
	}
	return d.osDisk.remove(path)
}

func (d *faultyDisk) syncDir(path string) error {
	if err := d.fail(); err != nil {
		return err
	}
	return d.osDisk.syncDir(path)
}

type faultyFile struct {
	file
	disk *faultyDisk
}

func (f faultyFile) Write(b []byte) (int, error) {
	if err := f.disk.fail(); err != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, err
	}
	return f.file.Write(b)
}

func (f faultyFile) Sync() error {
	if err := f.disk.fail(); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f faultyFile) Close() error {
	err := f.disk.fail()
	return errors.Join(err, f.file.Close())
}

// eachFault runs an operation once for every system call in it, with that call failing, and checks each time.
// It returns how many calls the operation makes.
func eachFault(t *testing.T, run func(t *testing.T, d *faultyDisk)) int {
	t.Helper()
	for call := 1; ; call++ {
		reached := true
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			d := &faultyDisk{failAt: call, err: cause}
			run(t, d)
			if t.Failed() {
				t.Fatalf("with call %d failing by %v", call, cause)
			}
			reached = d.calls >= call
		}
		if !reached {
			return call - 1
		}
	}
}

// wantFault checks the error of an operation on a faulty disk: it is the fault where the fault was reached.
func wantFault(t *testing.T, d *faultyDisk, err error) {
	t.Helper()
	if d.calls < d.failAt {
		if err != nil {
			t.Errorf("without a fault: %v", err)
		}
		return
	}
	var write *WriteError
	if !errors.Is(err, d.err) || !errors.As(err, &write) || write.Advice() == "" {
		t.Errorf("got %v, want a *WriteError with %v and advice", err, d.err)
	}
}

func TestPutFaults(t *testing.T) {
	for _, old := range []string{"", "old"} {
		calls := eachFault(t, func(t *testing.T, d *faultyDisk) {
			s := newStore(t)
			mustPut(t, s, "other", "else")
			if old != "" {
				mustPut(t, s, "a", old)
			}
			s.disk = d
			err := s.Put("a", []byte("new"))
			wantFault(t, d, err)

			got, getErr := s.Get("a")
			switch {
			case err == nil && string(got) != "new":
				t.Errorf("Put succeeded, and there is %q, %v", got, getErr)
			case getErr != nil && (old != "" || !errors.Is(getErr, fs.ErrNotExist)):
				t.Errorf("neither old nor new: %v", getErr)
			case getErr == nil && string(got) != "new" && string(got) != old:
				t.Errorf("neither old nor new: %q", got)
			}
			// Nothing of a failed Put takes up room.
			for _, file := range files(t, s.dir) {
				if strings.HasSuffix(file, tempExt) {
					t.Errorf("left over: %s", file)
				}
			}
			// The fault over, it works.
			s.disk = osDisk{}
			mustPut(t, s, "a", "newer")
			s = reopen(t, s)
			wantValue(t, s, "a", "newer")
			wantValue(t, s, "other", "else")
		})
		if want := 7; calls != want {
			t.Errorf("a Put makes %d calls that change or sync, want %d", calls, want)
		}
	}
}

func TestDeleteFaults(t *testing.T) {
	eachFault(t, func(t *testing.T, d *faultyDisk) {
		s := newStore(t)
		mustPut(t, s, "other", "else")
		mustPut(t, s, "a", "old")
		s.disk = d
		err := s.Delete("a")
		if d.calls >= d.failAt && err == nil {
			// Only the overwriting may fail without a word: the record is gone all the same.
			if _, err := s.Get("a"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("deleted, and Get says %v", err)
			}
		} else {
			wantFault(t, d, err)
		}
		s.disk = osDisk{}
		s = reopen(t, s)
		if got, err := s.Get("a"); err == nil && string(got) != "old" || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("neither there nor gone: %q, %v", got, err)
		}
		if err := s.Delete("a"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("deleting again: %v", err)
		}
		wantList(t, s, "other")
		wantValue(t, s, "other", "else")
	})
}

func TestCreateFaults(t *testing.T) {
	eachFault(t, func(t *testing.T, d *faultyDisk) {
		dir := filepath.Join(t.TempDir(), "keys")
		err := create(d, dir, &testSecret)
		wantFault(t, d, err)
		// A store, whole, or none and Create makes it.
		s, openErr := Open(dir, &testSecret)
		if errors.Is(openErr, fs.ErrNotExist) {
			if err == nil {
				t.Fatal("created, and not there")
			}
			if err := Create(dir, &testSecret); err != nil {
				t.Fatal(err)
			}
			s, openErr = Open(dir, &testSecret)
		}
		if openErr != nil {
			t.Fatal(openErr)
		}
		mustPut(t, s, "a", "1")
		s.Close()
	})
}

// What a power cut left is removed at Open, and where that fails it is harmless.
func TestLeftOvers(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	// jffs2 renames in two steps: between them the temporary file is a second link to the record.
	if err := os.Link(filepath.Join(s.dir, "a.rec"), filepath.Join(s.dir, "a.rec.tmp")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b.rec.tmp", "header.tmp"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	d := &faultyDisk{failAt: 1, err: syscall.EROFS}
	s, err := open(d, s.dir, &testSecret)
	if err != nil {
		t.Fatal(err)
	}
	wantList(t, s, "a")
	wantValue(t, s, "a", "1")
	// The left-over of a is still there, and a failed Put must not harm the record through it.
	s.disk = &faultyDisk{failAt: 3, err: syscall.ENOSPC}
	if err := s.Put("a", []byte("2")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	wantValue(t, s, "a", "1")
	s = reopen(t, s)
	if got := files(t, s.dir); len(got) != 2 {
		t.Errorf("left: %q, want a.rec and header", got)
	}
	wantValue(t, s, "a", "1")
}

// The bytes of a deleted record are overwritten before the file is removed.
func TestDeleteOverwrites(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "value")
	f, err := os.Open(filepath.Join(s.dir, "a.rec"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Delete("a"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, _ := f.Read(got)
	if n != len("value")+Overhead || strings.Trim(string(got[:n]), "\x00") != "" {
		t.Errorf("left in the file: %x", got[:n])
	}
}
