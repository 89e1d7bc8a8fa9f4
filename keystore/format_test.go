package keystore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrongSecret(t *testing.T) {
	s := newStore(t)
	s.Close()
	if _, err := Open(s.folder.path, &otherSecret); !errors.Is(err, ErrWrongSecret) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want ErrWrongSecret", err)
	}
	mustOpen(t, s.folder.path) // the failure has left no lock
}

// Every single bit of the header matters, and none of them looks like a wrong secret.
func TestDamagedHeader(t *testing.T) {
	header := newHeader(&testSecret)
	if _, err := parseHeader(header, &testSecret); err != nil {
		t.Fatal(err)
	}
	for i := range header {
		for bit := range 8 {
			damaged := bytes.Clone(header)
			damaged[i] ^= 1 << bit
			_, err := parseHeader(damaged, &testSecret)
			version := i == magicSize-1
			if err == nil || errors.Is(err, ErrWrongSecret) || errors.Is(err, ErrDamaged) == version {
				t.Fatalf("byte %d bit %d: got %v", i, bit, err)
			}
		}
	}
	for size := range header {
		if _, err := parseHeader(header[:size], &testSecret); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: got %v, want ErrDamaged", size, err)
		}
	}
	if _, err := parseHeader(append(header, 0), &testSecret); !errors.Is(err, ErrDamaged) {
		t.Errorf("one byte more: got %v, want ErrDamaged", err)
	}
}

func TestDamagedHeaderFile(t *testing.T) {
	for _, content := range []string{"", "PKH1", strings.Repeat("x", 1000)} {
		s := newStore(t)
		s.Close()
		if err := os.WriteFile(filepath.Join(s.folder.path, headerFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(s.folder.path, &testSecret); !errors.Is(err, ErrDamaged) {
			t.Errorf("header %.10q: got %v, want ErrDamaged", content, err)
		}
	}
}

// A salt swapped in from another store, with the checksum made right: not damage, but not this store's either.
func TestForgedHeader(t *testing.T) {
	header, other := newHeader(&testSecret), newHeader(&testSecret)
	copy(header[magicSize:], other[magicSize:magicSize+saltSize])
	sum := sha256.Sum256(header[:headerSize-sha256.Size])
	copy(header[headerSize-sha256.Size:], sum[:])
	if _, err := parseHeader(header, &testSecret); !errors.Is(err, ErrWrongSecret) {
		t.Errorf("got %v, want ErrWrongSecret", err)
	}
}

// The files were made after docs/keystore-format.md by another program in another language
// (testdata/make_v1.py): this version opens them, and so must every later one.
func TestOpensVersion1(t *testing.T) {
	content, err := os.ReadFile("testdata/v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var v1 map[string]string
	if err := json.Unmarshal(content, &v1); err != nil || len(v1) != 3 {
		t.Fatalf("%d files, %v; want 3", len(v1), err)
	}
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	for name, text := range v1 {
		file, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, dir)
	wantList(t, s, "pne-0001", "urn:x/y")
	wantValue(t, s, "pne-0001", "a value of version 1")
	wantValue(t, s, "urn:x/y", "")
}

// Two records of one value differ: nonces are fresh.
func TestSealsDiffer(t *testing.T) {
	aead := deriveAEAD(&testSecret, nil, recordPurpose)
	if bytes.Equal(sealRecord(aead, "a.rec", []byte("v")), sealRecord(aead, "a.rec", []byte("v"))) {
		t.Error("two seals are the same")
	}
}

// A record that is not as it was written does not open, is reported by name, listed, kept, and can be deleted.
func TestDamagedRecords(t *testing.T) {
	rewrite := func(change func([]byte) []byte) func(string) error {
		return func(path string) error {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, change(content), 0o600)
		}
	}
	tests := []struct {
		name  string
		spoil func(path string) error
		want  string
	}{
		{"empty", rewrite(func([]byte) []byte { return nil }), "empty"},
		{"cut in the magic", rewrite(func(b []byte) []byte { return b[:2] }), "damaged"},
		{"cut in the nonce", rewrite(func(b []byte) []byte { return b[:20] }), "damaged"},
		{"cut in the value", rewrite(func(b []byte) []byte { return b[:len(b)-1] }), "damaged"},
		{"one byte more", rewrite(func(b []byte) []byte { return append(b, 0) }), "damaged"},
		{"bit in the nonce", rewrite(func(b []byte) []byte { b[5] ^= 1; return b }), "damaged"},
		{"bit in the value", rewrite(func(b []byte) []byte { b[30] ^= 1; return b }), "damaged"},
		{"bit in the tag", rewrite(func(b []byte) []byte { b[len(b)-1] ^= 128; return b }), "damaged"},
		{"all zeros", rewrite(func(b []byte) []byte { return make([]byte, len(b)) }), "damaged"},
		{"all ones", rewrite(func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) }), "damaged"},
		{"too long", rewrite(func([]byte) []byte { return make([]byte, MaxValue+Overhead+1) }), "longer than"},
		{"later version", rewrite(func(b []byte) []byte { b[3] = '2'; return b }), `format version '2'`},
		{"another record's file", func(path string) error {
			other, err := os.ReadFile(filepath.Join(filepath.Dir(path), "other.rec"))
			return errors.Join(err, os.WriteFile(path, other, 0o600))
		}, "renamed"},
		{"a link", func(path string) error {
			return errors.Join(os.Remove(path), os.Symlink("other.rec", path))
		}, "does not open"},
		{"a folder", func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			mustPut(t, s, "pne-1", "value")
			mustPut(t, s, "other", "else")
			path := filepath.Join(s.folder.path, "pne-1.rec")
			if err := tt.spoil(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)

			s = reopen(t, s)
			_, getErr := s.Get("pne-1")
			for what, err := range map[string]error{"Get": getErr, "Put": s.Put("pne-1", []byte("new"))} {
				var record *RecordError
				if !errors.As(err, &record) || record.Name != "pne-1" || record.Path != path || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: got %v, want a *RecordError of pne-1 with %q", what, err, tt.want)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
				t.Error("the record has changed")
			}
			wantList(t, s, "other", "pne-1")
			wantValue(t, s, "other", "else")
			if err := s.Delete("pne-1"); err != nil {
				t.Fatal(err)
			}
			mustPut(t, s, "pne-1", "new")
			wantValue(t, s, "pne-1", "new")
			wantValue(t, s, "other", "else")
		})
	}
}

// Only what was sealed for that name opens; what opens is what was sealed.
func FuzzOpenRecord(f *testing.F) {
	aead := deriveAEAD(&testSecret, make([]byte, saltSize), recordPurpose)
	f.Add(sealRecord(aead, "b.rec", []byte("sealed for another name")), []byte("value"), 0)
	f.Add([]byte(recordMagic), []byte{}, 3)
	f.Add([]byte("PKR2............................................"), []byte{0}, 40)
	f.Fuzz(func(t *testing.T, file, value []byte, flip int) {
		if got, err := openRecord(aead, "a.rec", file); err == nil {
			t.Fatalf("forged: %x opens as %x", file, got)
		}
		sealed := sealRecord(aead, "a.rec", value)
		if got, err := openRecord(aead, "a.rec", sealed); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("got %x, %v; want %x", got, err, value)
		}
		sealed[uint(flip)%uint(len(sealed))] ^= 1
		if got, err := openRecord(aead, "a.rec", sealed); err == nil {
			t.Fatalf("changed, and yet opens as %x", got)
		}
	})
}

func FuzzParseHeader(f *testing.F) {
	f.Add(newHeader(&otherSecret))
	f.Add([]byte(headerMagic))
	f.Fuzz(func(t *testing.T, header []byte) {
		if _, err := parseHeader(header, &testSecret); err == nil {
			t.Fatalf("forged header %x", header)
		}
	})
}

func FuzzRecordName(f *testing.F) {
	f.Add("pne-1.rec")
	f.Add("%2F%252F.rec")
	f.Add("%2f.rec")
	f.Fuzz(func(t *testing.T, file string) {
		name, ok := recordName(file)
		if !ok {
			return
		}
		if strings.ContainsAny(file, "/\x00") {
			t.Errorf("record %q has the file %q outside of the folder", name, file)
		}
		if again, err := fileName(name); err != nil || again != file {
			t.Errorf("record %q of the file %q has the file %q, %v", name, file, again, err)
		}
	})
}
