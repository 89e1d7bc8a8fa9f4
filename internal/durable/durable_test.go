package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteNewAndReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	holds := func(text string, mode fs.FileMode) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("holds %q, %v, want %q", got, err, text)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, mode)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
			t.Errorf("left behind: %v, %v", names, err)
		}
	}
	if err := WriteNew(path, []byte("one"), 0o640); err != nil {
		t.Fatal(err)
	}
	holds("one", 0o640)
	if err := WriteNew(path, []byte("two"), 0o640); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another: %v", err)
	}
	holds("one", 0o640)
	// What an interrupted one left is in nobody's way.
	if err := os.WriteFile(path+".new", []byte("half"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("three"), 0o400); err != nil {
		t.Fatal(err)
	}
	holds("three", 0o400)
	if err := WriteNew(filepath.Join(dir, "none", "file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestRehearse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, there := range []string{"", "old"} {
		if there != "" {
			if err := os.WriteFile(path, []byte(there), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path+".new", []byte("half"), 0o400); err != nil { // of one that was interrupted
			t.Fatal(err)
		}
		if err := Rehearse(path, 100); err != nil {
			t.Error(err)
		}
		if got, _ := os.ReadFile(path); string(got) != there {
			t.Errorf("the file holds %q, want %q", got, there)
		}
		if _, err := os.Lstat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something is left: %v", err)
		}
	}
	if err := Rehearse(filepath.Join(dir, "none", "file"), 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if err := Rehearse(filepath.Join(path, "file"), 100); err == nil {
		t.Error("a file in place of the folder passes")
	}
}
