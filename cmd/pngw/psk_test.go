package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPSKFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psk1")
	f := &pskFile{path: path, identity: "gw-0001"}
	if _, _, err := f.PSK1(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want fs.ErrNotExist", err)
	}
	hex32 := strings.Repeat("a1", 32)
	tests := []struct {
		name, text string
		mode       os.FileMode
		length     int    // of PSK1, 0 for an error
		want       string // in the error
	}{
		{"32 bytes", hex32 + "\n", 0o600, 32, ""},
		{"without a line end", hex32, 0o400, 32, ""},
		{"of another system", hex32 + "\r\n", 0o600, 32, ""},
		{"capitals", strings.ToUpper(hex32), 0o600, 32, ""},
		{"group may read", hex32, 0o640, 32, ""},
		{"16 bytes", hex32[:32], 0o600, 16, ""},
		{"64 bytes", hex32 + hex32 + "\n", 0o600, 64, ""},
		{"empty", "", 0o600, 0, "psk1 is empty"},
		{"15 bytes", hex32[:30], 0o600, 0, "PSK1"},
		{"65 bytes", hex32 + hex32 + "a1", 0o600, 0, "psk1 is too long"},
		{"half a byte", hex32[:63], 0o600, 0, "not hex digits"},
		{"not hex", "g" + hex32[1:], 0o600, 0, "not hex digits"},
		{"space", " " + hex32, 0o600, 0, "not hex digits"},
		{"two lines", hex32 + "\n" + hex32[:32], 0o600, 0, "psk1 has more than one line"},
		{"others may read", hex32, 0o604, 0, "mode 0604"},
		{"group may write", hex32, 0o660, 0, "mode 0660"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// In the place of what is there: the file is read at each use.
			if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte(tt.text), tt.mode), os.Chmod(path, tt.mode)); err != nil {
				t.Fatal(err)
			}
			id, psk, err := f.PSK1(t.Context())
			if tt.length == 0 {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want an error with %q", err, tt.want)
				}
				if strings.Contains(err.Error(), "a1a1") {
					t.Errorf("the error tells a part of PSK1: %v", err)
				}
				return
			}
			if err != nil || id != "gw-0001" || len(psk) != tt.length || psk[0] != 0xa1 {
				t.Errorf("got %q, %d bytes, %v, want gw-0001, %d bytes", id, len(psk), err, tt.length)
			}
		})
	}
}
