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
	lasting       bool // every later call fails as well
}

// over has d pass on to a store's folder what does not fail.
func (d *faultyDisk) over(f *folder) disk {
	d.disk = f
	return d
}

func (d *faultyDisk) fail() error {
	d.calls++
	if d.calls == d.failAt || d.lasting && d.calls > d.failAt {
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

func (f faultyFile) writeAt(b []byte, at int64) error {
	if err := f.disk.fail(); err != nil {
		_ = f.file.writeAt(b[:len(b)/2], at)
		return err
	}
	return f.file.writeAt(b, at)
}

func (f faultyFile) Truncate(size int64) error {
	if err := f.disk.fail(); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f faultyFile) Sync() error {
	if err := f.disk.fail(); err != nil {
		return err
	}
	return f.file.Sync()
}

// on has an open store use another disk, and back.
func (s *Store) on(d interface{ over(*folder) disk }) (back func()) {
	log := s.log
	s.disk = d.over(s.folder)
	switch d := d.(type) {
	case *faultyDisk:
		s.log = faultyFile{log, d}
	case *recorder:
		s.log = recordedFile{log, d, d.names[logFile]}
	}
	return func() {
		s.disk = s.folder
		for {
			switch f := s.log.(type) {
			case faultyFile:
				s.log = f.file
			case recordedFile:
				s.log = f.file
			default:
				return
			}
		}
	}
}

// eachFault runs an operation once for every system call in it, with that call failing, and once with all
// later ones failing too, and checks each time. It returns how many calls the operation makes.
func eachFault(t *testing.T, run func(t *testing.T, d *faultyDisk)) int {
	t.Helper()
	for call := 1; ; call++ {
		reached := true
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
			for _, lasting := range []bool{false, true} {
				d := &faultyDisk{failAt: call, err: cause, lasting: lasting}
				run(t, d)
				if t.Failed() {
					t.Fatalf("with call %d failing by %v, lasting: %v", call, cause, lasting)
				}
				reached = d.calls >= call
			}
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

// wantOneOf checks that a record is one of two values, "" for none.
func wantOneOf(t *testing.T, s *Store, name string, values ...string) {
	t.Helper()
	got, err := s.Get(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("neither old nor new: %v", err)
	}
	for _, value := range values {
		if string(got) == value && (err == nil) == (value != "") {
			return
		}
	}
	t.Errorf("got %q, %v; want one of %q", got, err, values)
}

// wantSound checks that Open has found nothing to speak of but a torn end.
func wantSound(t *testing.T, s *Store) {
	t.Helper()
	if f := s.Found(); f.Lost != 0 || f.Old != 0 {
		t.Errorf("found %+v", f)
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
			back := s.on(d)
			err := s.Put("a", []byte("new"))
			wantFault(t, d, err)
			want := "new"
			if err != nil {
				want = old
			}
			wantOneOf(t, s, "a", want)
			back()
			// The process may end here, and the next one finds the old or the new.
			copied := copyStore(t, s)
			wantOneOf(t, copied, "a", old, "new")
			wantValue(t, copied, "other", "else")
			wantSound(t, copied)
			// The fault over, it works.
			mustPut(t, s, "a", "newer")
			s = reopen(t, s)
			wantValue(t, s, "a", "newer")
			wantValue(t, s, "other", "else")
			wantSound(t, s)
			if s.Found().Torn != 0 {
				t.Errorf("found %+v", s.Found())
			}
		})
		if want := 2; calls != want {
			t.Errorf("a Put makes %d calls that change or sync, want %d", calls, want)
		}
	}
}

// copyStore opens what another process would find now.
func copyStore(t *testing.T, s *Store) *Store {
	t.Helper()
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	for _, name := range files(t, s.folder.path) {
		content, err := os.ReadFile(filepath.Join(s.folder.path, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return mustOpen(t, dir)
}

func TestDeleteFaults(t *testing.T) {
	eachFault(t, func(t *testing.T, d *faultyDisk) {
		s := newStore(t)
		s.disk.remove(reserveFile) // the fault is not to be helped out of
		mustPut(t, s, "other", "else")
		mustPut(t, s, "a", "old")
		back := s.on(d)
		err := s.Delete("a")
		wantFault(t, d, err)
		if err == nil {
			wantOneOf(t, s, "a", "")
		} else {
			wantOneOf(t, s, "a", "old")
		}
		back()
		copied := copyStore(t, s)
		wantOneOf(t, copied, "a", "", "old")
		wantSound(t, copied)
		if err := s.Delete("a"); err != nil {
			t.Errorf("deleting again: %v", err)
		}
		s = reopen(t, s)
		wantList(t, s, "other")
		wantSound(t, s)
	})
}

// Where there is no room the reserve makes some, for removing alone.
func TestDeleteWithoutRoom(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		s := newStore(t)
		mustPut(t, s, "a", "1")
		d := &faultyDisk{failAt: 1, err: cause}
		back := s.on(d)
		if err := s.Put("b", []byte("2")); !errors.Is(err, cause) {
			t.Errorf("Put: got %v, want %v", err, cause)
		}
		d.calls = 0
		if err := s.Delete("a"); err != nil {
			t.Errorf("%v: %v", cause, err)
		}
		back()
		wantList(t, reopen(t, s))
	}
}

// A batch that finds no room is done without its Puts.
func TestBatchWithoutRoom(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	mustPut(t, s, "b", "1")
	back := s.on(&faultyDisk{failAt: 2, err: syscall.ENOSPC})
	changes := []*change{{name: "a", value: []byte("2")}, {name: "b", remove: true}, {name: "c", value: []byte("2")}}
	s.writing.take()
	s.write(changes)
	s.writing.give()
	back()
	if changes[1].err != nil || !errors.Is(changes[0].err, syscall.ENOSPC) || !errors.Is(changes[2].err, syscall.ENOSPC) {
		t.Errorf("got %v, %v, %v", changes[0].err, changes[1].err, changes[2].err)
	}
	s = reopen(t, s)
	wantList(t, s, "a")
	wantValue(t, s, "a", "1")
}

// To delete what is not there costs nothing.
func TestDeleteWhatIsGone(t *testing.T) {
	s := newStore(t)
	d := &faultyDisk{}
	defer s.on(d)()
	if err := s.Delete("a"); err != nil {
		t.Error(err)
	}
	if d.calls != 0 {
		t.Errorf("%d calls, want none", d.calls)
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
		wantSound(t, s)
		mustPut(t, s, "a", "1")
		s.Close()
	})
}

// A compaction that fails at any step costs nothing, and later ones succeed.
func TestCompactFaults(t *testing.T) {
	calls := eachFault(t, func(t *testing.T, d *faultyDisk) {
		s := newStore(t)
		mustPut(t, s, "a", "0")
		mustPut(t, s, "a", "1")
		mustPut(t, s, "b", strings.Repeat("x", 5000))
		mustPut(t, s, "c", "3")
		if err := s.Delete("c"); err != nil {
			t.Fatal(err)
		}
		back := s.on(d)
		err := s.compact()
		if (err != nil) != (d.calls >= d.failAt) || err != nil && !errors.Is(err, d.err) {
			t.Errorf("got %v", err)
		}
		check := func(s *Store, a string) {
			t.Helper()
			wantList(t, s, "a", "b")
			wantValue(t, s, "a", a)
			wantValue(t, s, "b", strings.Repeat("x", 5000))
			wantSound(t, s)
		}
		check(s, "1")
		back()
		check(copyStore(t, s), "1")
		mustPut(t, s, "a", "2")
		check(copyStore(t, s), "2")
		if err := s.compact(); err != nil {
			t.Error(err)
		}
		check(s, "2")
		mustPut(t, s, "a", "3")
		s = reopen(t, s)
		check(s, "3")
		if got := files(t, s.folder.path); len(got) != 2 {
			t.Errorf("left: %q", got)
		}
	})
	if want := 6; calls != want {
		t.Errorf("a compaction makes %d calls that change or sync, want %d", calls, want)
	}
}
