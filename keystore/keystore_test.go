package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	testSecret  = Secret(bytes.Repeat([]byte{7}, 32))
	otherSecret = Secret(bytes.Repeat([]byte{8}, 32))
)

// newStore makes a store in a folder of its own and opens it. Its reserve is empty.
func newStore(t testing.TB) *Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if err := Create(dir, &testSecret); err != nil {
		t.Fatal(err)
	}
	noReserve(t, dir)
	return mustOpen(t, dir)
}

// noReserve has a store believe that its reserve is there: to write one takes time.
func noReserve(t testing.TB, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, reserveFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, &testSecret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopen closes a store and opens it as the next process would.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, s.folder.path)
}

func mustPut(t testing.TB, s *Store, name, value string) {
	t.Helper()
	if err := s.Put(name, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t testing.TB, s *Store, name, want string) {
	t.Helper()
	if got, err := s.Get(name); err != nil || string(got) != want {
		t.Errorf("Get(%q) = %.40q, %v; want %.40q", name, got, err, want)
	}
}

func wantList(t testing.TB, s *Store, want ...string) {
	t.Helper()
	if got, err := s.List(); err != nil || !slices.Equal(got, want) {
		t.Errorf("List() = %q, %v; want %q", got, err, want)
	}
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestStore(t *testing.T) {
	s := newStore(t)
	wantList(t, s)
	if _, err := s.Get("pne-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get of nothing: got %v, want fs.ErrNotExist", err)
	}
	if err := s.Delete("pne-1"); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	mustPut(t, s, "pne-2", "two")
	mustPut(t, s, "pne-1", "")
	mustPut(t, s, "pne-1", "one")
	wantValue(t, s, "pne-1", "one")
	wantList(t, s, "pne-1", "pne-2")

	s = reopen(t, s)
	wantValue(t, s, "pne-1", "one")
	wantValue(t, s, "pne-2", "two")
	if err := s.Delete("pne-1"); err != nil {
		t.Fatal(err)
	}
	wantList(t, s, "pne-2")
	if want := []string{"log", "reserve"}; !slices.Equal(files(t, s.folder.path), want) {
		t.Errorf("files %q, want %q", files(t, s.folder.path), want)
	}
	s = reopen(t, s)
	wantList(t, s, "pne-2")
}

func TestClosed(t *testing.T) {
	s := newStore(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get("a")
	_, listErr := s.List()
	for what, err := range map[string]error{"Get": getErr, "List": listErr, "Put": s.Put("a", nil), "Delete": s.Delete("a"), "Close": s.Close()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s of a closed store: got %v, want fs.ErrClosed", what, err)
		}
	}
}

func TestNames(t *testing.T) {
	names := []string{"pne-0001", "urn:dev:mac:0024befffe804ff1", ".", "..", "../../etc/passwd", "log", "log.new", "reserve", "%2F",
		"this gateway", "A", "a", "~!\"#$&'()*+,", strings.Repeat("/", MaxName)}
	s := newStore(t)
	for _, name := range names {
		mustPut(t, s, name, name)
	}
	slices.Sort(names)
	for range 2 {
		wantList(t, s, names...)
		for _, name := range names {
			wantValue(t, s, name, name)
		}
		s = reopen(t, s)
	}
	for _, name := range []string{"", strings.Repeat("x", MaxName+1), "a\tb", "a\x00", "ä", "a\n"} {
		if err := s.Put(name, nil); err == nil {
			t.Errorf("Put under the name %q succeeds", name)
		}
		if err := s.Delete(name); err == nil {
			t.Errorf("Delete of the name %q succeeds", name)
		}
		if _, err := s.Get(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get of the name %q: %v", name, err)
		}
	}
}

// Who sees the folder sees no names.
func TestNamesAreNotInClear(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "pne-0001", "value")
	mustPut(t, s, "pne-0001", "another")
	if err := s.Delete("pne-0001"); err != nil {
		t.Fatal(err)
	}
	log := logOf(t, s)
	if bytes.Contains(log, []byte("pne")) || bytes.Contains(log, []byte("value")) {
		t.Errorf("in clear: %q", log)
	}
}

func logOf(t testing.TB, s *Store) []byte {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(s.folder.path, logFile))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// Whatever else lies in the folder is left alone.
func TestAlienFiles(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	aliens := []string{"notes", "notes.tmp", "log.old", "%61"}
	for _, alien := range aliens {
		if err := os.WriteFile(filepath.Join(s.folder.path, alien), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = reopen(t, s)
	wantList(t, s, "a")
	if got, want := len(files(t, s.folder.path)), len(aliens)+2; got != want {
		t.Errorf("%d files left, want %d", got, want)
	}
}

func TestValueSizes(t *testing.T) {
	s := newStore(t)
	for _, size := range []int{0, 1, 300, entryPage - Overhead - 2, entryPage - Overhead - 1, 5000, MaxValue} {
		value := bytes.Repeat([]byte{1}, size)
		before := s.end
		for range 2 { // the second does not name it any more
			before = s.end
			if err := s.Put("a", value); err != nil {
				t.Fatal(err)
			}
		}
		wantValue(t, s, "a", string(value))
		entry := size + Overhead + len("a")
		if got, want := s.end, place(before, entry)+int64(entry); got != want {
			t.Errorf("value of %d bytes: the log grew from %d to %d, want %d", size, before, got, want)
		}
		s = reopen(t, s)
		wantValue(t, s, "a", string(value))
	}
	if err := s.Put("a", make([]byte, MaxValue+1)); err == nil {
		t.Error("a value past MaxValue is stored")
	}
	wantValue(t, s, "a", string(bytes.Repeat([]byte{1}, MaxValue)))
}

func TestCreateRefuses(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	if err := Create(s.folder.path, &testSecret); !errors.Is(err, ErrLocked) {
		t.Errorf("Create over an open store: got %v, want ErrLocked", err)
	}
	s.Close()
	if err := Create(s.folder.path, &otherSecret); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a store: got %v, want fs.ErrExist", err)
	}
	wantValue(t, mustOpen(t, s.folder.path), "a", "1")

	if err := Create(filepath.Join(t.TempDir(), "no", "such"), &testSecret); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create without the folder above: got %v, want fs.ErrNotExist", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if err := Create(file, &testSecret); err == nil {
		t.Error("Create in the place of a file succeeds")
	}
}

// A store of the first format is nobody's to make anew or to convert.
func TestFirstFormat(t *testing.T) {
	for _, file := range []string{"header", "pne-1.rec"} {
		dir := t.TempDir()
		os.Chmod(dir, 0o700)
		if err := os.WriteFile(filepath.Join(dir, file), []byte("PKH1"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Create(dir, &testSecret); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: Create: got %v, want fs.ErrExist", file, err)
		}
		if _, err := Open(dir, &testSecret); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "move the folder away, run pngw init") {
			t.Errorf("%s: Open: got %v, want what to do", file, err)
		}
	}
}

func TestCreateInEmptyFolder(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	if err := Create(dir, &testSecret); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
}

func TestOpenMissing(t *testing.T) {
	empty := t.TempDir()
	os.Chmod(empty, 0o700)
	for _, dir := range []string{empty, filepath.Join(empty, "absent")} {
		_, err := Open(dir, &testSecret)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "run pngw init") {
			t.Errorf("got %v, want fs.ErrNotExist and what to do", err)
		}
	}
	if got := files(t, empty); len(got) != 0 {
		t.Errorf("Open made %q", got)
	}
}

func TestModes(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", "1")
	want := map[string]fs.FileMode{".": 0o700, "log": 0o600}
	for file, mode := range want {
		path := filepath.Join(s.folder.path, file)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: mode %04o, %v; want %04o", file, info.Mode().Perm(), err, mode)
		}
		s.Close()
		for _, open := range []fs.FileMode{mode | 0o040, mode | 0o004, mode | 0o010} {
			os.Chmod(path, open)
			_, err := Open(s.folder.path, &testSecret)
			var modeErr *ModeError
			if !errors.As(err, &modeErr) || !strings.Contains(err.Error(), "chmod -R go= "+s.folder.path) {
				t.Errorf("%s of mode %04o: got %v, want a *ModeError", file, open, err)
			}
		}
		os.Chmod(path, mode)
		s = mustOpen(t, s.folder.path)
	}
	wantValue(t, s, "a", "1")
}

func TestConcurrentUse(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			name := fmt.Sprint("pne-", i)
			for n := range 10 {
				want := fmt.Sprint(i, n)
				if err := s.Put(name, []byte(want)); err != nil {
					t.Error(err)
				}
				if got, err := s.Get(name); err != nil || string(got) != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
				if _, err := s.List(); err != nil {
					t.Error(err)
				}
			}
			if err := s.Delete(name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantList(t, s)
}

func TestSecretGivesNothingAway(t *testing.T) {
	secret := Secret(bytes.Repeat([]byte("k"), 32))
	wrapped := struct{ S Secret }{secret}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "pointer", &secret)
	texts := []string{log.String(), secret.String(), fmt.Sprintf("%v %s %q %x %X %d %+v %#v %v %x", secret, secret, secret, secret, secret, secret, secret, secret, wrapped, &wrapped)}
	for _, text := range texts {
		for _, leak := range []string{"kk", "6b6b", "6B6B", "107 107", "0x6b"} {
			if strings.Contains(text, leak) {
				t.Errorf("%q shows the secret", text)
			}
		}
	}
	if text, err := json.Marshal(wrapped); err == nil {
		t.Errorf("serialised as %s", text)
	}
}
