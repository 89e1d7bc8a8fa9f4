package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Records come again in their order, as often as is wanted, whether they fit into memory or
// not; nothing of them can be read in the folder, and no file is left there.
func TestSpool(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 200_000} {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		s, err := New()
		if err != nil {
			t.Fatal(err)
		}
		record := func(n int) string {
			return fmt.Sprintf("record %d %s", n, strings.Repeat("x", n%97))
		}
		for n := range n {
			if err := s.Add([]byte(record(n))); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			at := 0
			err := s.Each(func(b []byte) error {
				if string(b) != record(at) {
					t.Fatalf("record %d is %q", at, b)
				}
				at++
				return nil
			})
			if err != nil || at != n {
				t.Errorf("%d records, want %d: %v", at, n, err)
			}
		}
		if big := n == 200_000; big != (s.file != nil) {
			t.Errorf("%d records: in a file: %v", n, s.file != nil)
		} else if big {
			text := make([]byte, 1<<20)
			if _, err := s.file.ReadAt(text, 0); err != nil || bytes.Contains(text, []byte("record")) || bytes.Contains(text, []byte("xxxx")) {
				t.Errorf("what is in the file can be read: %v", err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%v lies in the folder: %v", entries, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What goes wrong on the way is told.
func TestSpoolFails(t *testing.T) {
	dir := t.TempDir()
	fill := func(s *Spool) (err error) {
		for n := 0; n < 2*inMemory && err == nil; n++ {
			err = s.Add(make([]byte, chunkBytes))
		}
		return err
	}
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir+"/none")
	if err := fill(s); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "TMPDIR names another folder") {
		t.Errorf("no folder: %v", err)
	}
	t.Setenv("TMPDIR", dir)
	if s, err = New(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := fill(s); err != nil {
		t.Fatal(err)
	}
	wants := errors.New("enough")
	if err := s.Each(func([]byte) error { return wants }); err != wants {
		t.Errorf("got %v", err)
	}
	if _, err := s.file.WriteAt([]byte("changed"), 1000); err != nil {
		t.Fatal(err)
	}
	if err := s.Each(func([]byte) error { return nil }); err == nil {
		t.Error("what was changed is read")
	}
}
