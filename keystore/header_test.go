package keystore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
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
}

func TestDamagedHeaderFile(t *testing.T) {
	for _, content := range []string{"", "PKL2", strings.Repeat("x", 1000)} {
		s := newStore(t)
		s.Close()
		if err := os.WriteFile(filepath.Join(s.folder.path, logFile), []byte(content), 0o600); err != nil {
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
	binary.BigEndian.PutUint32(header[headerSize-4:], crc32.ChecksumIEEE(header[:headerSize-4]))
	if _, err := parseHeader(header, &testSecret); !errors.Is(err, ErrWrongSecret) {
		t.Errorf("got %v, want ErrWrongSecret", err)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(newHeader(&otherSecret))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, header []byte) {
		if _, err := parseHeader(header, &testSecret); err == nil {
			t.Fatalf("forged header %x", header)
		}
	})
}
