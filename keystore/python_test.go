package keystore

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// python runs testdata/store.py, which was written after docs/keystore-format.md in another language.
func python(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("python3 is not installed")
	}
	cmd := exec.Command(path, append([]string{"testdata/store.py"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("store.py: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// A log that another program has made opens. testdata/v2.hex is what it made when this version was new: this
// version opens it, and so must every later one.
func TestOpensVersion2(t *testing.T) {
	fixed, err := os.ReadFile("testdata/v2.hex")
	if err != nil {
		t.Fatal(err)
	}
	if made := python(t, "make", hex.EncodeToString(testSecret[:])); made != strings.TrimSpace(string(fixed)) {
		t.Error("store.py makes another log than it did")
	}
	log, err := hex.DecodeString(strings.TrimSpace(string(fixed)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	noReserve(t, dir)
	s, err := openLog(t, dir, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var long []byte
	for range 20 {
		for i := range 250 {
			long = append(long, byte(i))
		}
	}
	wantSound(t, s)
	wantRecords(t, s, map[string]string{"pne-0001": "a later one", "urn:x/y": "", "long": string(long), "spoilt": broken})
}

// The other program reads what is written here.
func TestPythonReads(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		s := history(t)
		mustPut(t, s, "pages", strings.Repeat("x", 3*entryPage))
		mustPut(t, s, "small", "1")
		if compacted {
			if err := s.compact(); err != nil {
				t.Fatal(err)
			}
		}
		want := after(steps(t, s))
		var got struct {
			Records map[string]string
			Damaged []string
		}
		if err := json.Unmarshal([]byte(python(t, "read", s.folder.path, hex.EncodeToString(testSecret[:]))), &got); err != nil {
			t.Fatal(err)
		}
		for name, value := range got.Records {
			text, err := hex.DecodeString(value)
			if err != nil || string(text) != want[name] {
				t.Errorf("it reads %q as %.40q, %v; want %.40q", name, text, err, want[name])
			}
		}
		if names := slices.Sorted(maps.Keys(got.Records)); len(names) != len(want) || len(got.Damaged) != 0 {
			t.Errorf("it reads %q, damaged %q; want %d", names, got.Damaged, len(want))
		}
		// And says the same of what does not open.
		log := logOf(t, s)
		log[s.index["b"].at+headSize+2] ^= 1
		dir := s.folder.path
		s.Close()
		s, err := openLog(t, dir, log)
		if err != nil {
			t.Fatal(err)
		}
		var record *RecordError
		if _, err := s.Get("b"); !errors.As(err, &record) {
			t.Errorf("Get: %v", err)
		}
		if err := json.Unmarshal([]byte(python(t, "read", dir, hex.EncodeToString(testSecret[:]))), &got); err != nil || !slices.Equal(got.Damaged, []string{"b"}) {
			t.Errorf("it says that %q is damaged, %v; want b", got.Damaged, err)
		}
		s.Close()
	}
}
