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
	disk
	calls, failAt int
	err           error
}

// over has d pass on to a store's folder what does not fail.
func (d *faultyDisk) over(f *folder) disk {
	d.disk = f
	return d
}

func (d *faultyDisk) fail() error {
	d.calls++
	if d.calls == d.failAt {
		return d.err
	}
	return nil
}

func (d *faultyDisk) create(name string) (file, error) {
	if err := d.fail(); err != nil {
		return nil, err
	}
	f, err := d.disk.create(name)
	return faultyFile{f, d}, err
}

func (d *faultyDisk) open(name string) (file, error) {
	if err := d.fail(); err != nil {
		return nil, err
	}
	f, err := d.disk.open(name)
	return faultyFile{f, d}, err
}

func (d *faultyDisk) rename(from, to string) error {
	if err := d.fail(); err != nil {
		return err
	}
	return d.disk.rename(from, to)
}

func (d *faultyDisk) remove(name string) error {
	if err := d.fail(); err != nil {
		return err
	}
	return d.disk.remove(name)
}

func (d *faultyDisk) sync() error {
	if err := d.fail(); err != nil {
		return err
	}
	return d.disk.sync()
}

func (d *faultyDisk) syncAbove() error {
	if err := d.fail(); err != nil {
		return err
	}
	return d.disk.syncAbove()
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
			s.disk = d.over(s.folder)
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
			for _, file := range files(t, s.folder.path) {
				if strings.HasSuffix(file, tempExt) {
					t.Errorf("left over: %s", file)
				}
			}
			// The fault over, it works.
			s.disk = s.folder
			mustPut(t, s, "a", "newer")
			s = reopen(t, s)
			wantValue(t, s, "a", "newer")
			wantValue(t, s, "other", "else")
		})
		if want := 6; calls != want {
			t.Errorf("a Put makes %d calls that change or sync, want %d", calls, want)
		}
	}
}

// A Delete that fails has removed the record or not, and the next Delete, the next Put or the next start finishes
// it: afterwards none of the old value's bytes are left in any file.
func TestDeleteFaults(t *testing.T) {
	finish := map[string]func(t *testing.T, s *Store) *Store{
		"Delete": func(t *testing.T, s *Store) *Store {
			if err := s.Delete("a"); err != nil {
				t.Errorf("deleting again: %v", err)
			}
			return s
		},
		"Put": func(t *testing.T, s *Store) *Store {
			mustPut(t, s, "a", "new")
			return s
		},
		"start": reopenAny,
	}
	for how, finish := range finish {
		t.Run(how, func(t *testing.T) {
			eachFault(t, func(t *testing.T, d *faultyDisk) {
				s := newStore(t)
				mustPut(t, s, "other", "else")
				mustPut(t, s, "a", "old")
				content, err := os.Open(filepath.Join(s.folder.path, "a.rec"))
				if err != nil {
					t.Fatal(err)
				}
				defer content.Close()
				s.disk = d.over(s.folder)
				err = s.Delete("a")
				if err == nil {
					if _, err := s.Get("a"); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("deleted, and Get says %v", err)
					}
				} else {
					wantFault(t, d, err)
				}
				_, getErr := s.Get("a")
				if getErr != nil && !errors.Is(getErr, fs.ErrNotExist) {
					t.Errorf("neither there nor gone: %v", getErr)
				}
				s.disk = s.folder
				s = finish(t, s)
				// One call may fail without a word and take the zeros with it: overwriting, and on a disk
				// without room all of it.
				if err != nil && getErr != nil {
					wantZeros(t, content)
				}
				if how == "Delete" {
					wantList(t, s, "other")
				}
				for _, file := range files(t, s.folder.path) {
					if strings.HasSuffix(file, tempExt) {
						t.Errorf("left over: %s", file)
					}
				}
				wantValue(t, s, "other", "else")
			})
		})
	}
}

func reopenAny(t *testing.T, s *Store) *Store { return reopen(t, s) }

// wantZeros holds that a file that has no name any more was overwritten.
func wantZeros(t *testing.T, f *os.File) {
	t.Helper()
	got := make([]byte, MaxValue)
	n, _ := f.ReadAt(got, 0)
	if n == 0 || strings.Trim(string(got[:n]), "\x00") != "" {
		t.Errorf("left in the file: %x", got[:n])
	}
}

// On a full jffs2 there is no room for a new name, but for removing one there is.
func TestDeleteWithoutRoom(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		s := newStore(t)
		mustPut(t, s, "a", "1")
		s.disk = (&faultyDisk{failAt: 1, err: cause}).over(s.folder)
		if err := s.Delete("a"); err != nil {
			t.Errorf("%v: %v", cause, err)
		}
		wantList(t, reopen(t, s))
	}
}

// A record that a person has removed is deleted.
func TestDeleteWhatIsGone(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	if err := os.Remove(filepath.Join(s.folder.path, "a.rec")); err != nil {
		t.Fatal(err)
	}
	d := &faultyDisk{}
	s.disk = d.over(s.folder)
	if err := s.Delete("a"); err != nil {
		t.Error(err)
	}
	if d.calls != 2 {
		t.Errorf("%d calls, want 2: a rename, and a sync of what the person may not have synced", d.calls)
	}
}

func TestCreateFaults(t *testing.T) {
	eachFault(t, func(t *testing.T, d *faultyDisk) {
		dir := filepath.Join(t.TempDir(), "keys")
		err := create(dir, &testSecret, d.over)
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
	if err := os.Link(filepath.Join(s.folder.path, "a.rec"), filepath.Join(s.folder.path, "a.rec.tmp")); err != nil {
		t.Fatal(err)
	}
	var halves []*os.File
	for _, name := range []string{"b.rec.tmp", "header.tmp"} {
		path := filepath.Join(s.folder.path, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		half, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer half.Close()
		halves = append(halves, half)
	}
	s.Close()
	d := &faultyDisk{failAt: 1, err: syscall.EROFS}
	r := record(t, s.folder.path)
	s, err := open(s.folder.path, &testSecret, func(f *folder) disk { r.disk = d.over(f); return r })
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.events); n == 0 || !r.events[n-1].syncDir {
		t.Errorf("what was finished is not synced: %+v", r.events)
	}
	wantList(t, s, "a")
	wantValue(t, s, "a", "1")
	// The left-over of a is still there, and a failed Put must not harm the record through it.
	s.disk = (&faultyDisk{failAt: 3, err: syscall.ENOSPC}).over(s.folder)
	if err := s.Put("a", []byte("2")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	wantValue(t, s, "a", "1")
	s = reopen(t, s)
	if got := files(t, s.folder.path); len(got) != 2 {
		t.Errorf("left: %q, want a.rec and header", got)
	}
	wantValue(t, s, "a", "1")
	for _, half := range halves {
		wantZeros(t, half)
	}
}

// The bytes of a deleted record are overwritten before the file is removed.
func TestDeleteOverwrites(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "value")
	f, err := os.Open(filepath.Join(s.folder.path, "a.rec"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Delete("a"); err != nil {
		t.Fatal(err)
	}
	wantZeros(t, f)
}
