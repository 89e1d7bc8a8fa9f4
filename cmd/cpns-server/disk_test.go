package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cpns.example.net/pngw/internal/tmpfstest"
)

// Every command says that the disk is full or read-only, and what to do; none says what
// SQLite or the kernel call it only.
func TestDisk(t *testing.T) {
	needRoot(t)
	outside := t.TempDir()
	csv := write(t, filepath.Join(outside, "tks.csv"), "entity_id,tk\npne-1,00112233445566778899aabbccddeeff\n", 0o600)
	commands := [][]string{
		{"user", "list"}, {"user", "add", "--password-file", "-", "alice"}, {"user", "passwd", "--password-file", "-", "alice"}, {"user", "remove", "alice"},
		{"gateway", "list"}, {"gateway", "add", "gw-1", "--psk-out", filepath.Join(outside, "psk1")}, {"gateway", "remove", "gw-1"},
		{"pne", "import", csv}, {"pne", "list"}, {"pne", "release", "pne-1"}, {"pne", "remove", "--yes", "pne-1"},
		{"pne", "set-tk", "--yes", "--tk-in", write(t, filepath.Join(outside, "tk"), "00112233445566778899aabbccddeeff", 0o600), "pne-1"},
		{"audit"}, {"run", "--listen", "127.0.0.1:0"}, {"init", "--renew-cert"},
	}
	fails := func(t *testing.T, data, what, advice string, commands [][]string) {
		t.Helper()
		for _, args := range commands {
			cmd := serverAs(0, append(args, "--data", data)...)
			cmd.Stdin = strings.NewReader("correct horse\n")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), what) || !strings.Contains(string(out), advice+" "+filepath.Dir(data)) ||
				strings.Contains(string(out), "pragma") || strings.Contains(string(out), "permission") {
				t.Errorf("%v: %v, %s", args, err, out)
			}
		}
		if _, err := os.Stat(filepath.Join(outside, "psk1")); err == nil {
			t.Error("the PSK1 of a gateway that was not added is still there")
		}
	}
	const room, writing = "make room on the file system of", "mount the file system of"

	t.Run("full", func(t *testing.T) {
		tmpfstest.Run(t, "size=600k", func(t *testing.T, dir string, _ func(uintptr)) {
			data := filepath.Join(dir, "data")
			output(t, serverAs(0, "init", "--data", data), false, "")
			filler := filepath.Join(dir, "filler")
			os.WriteFile(filler, make([]byte, 1<<20), 0o600)
			fails(t, data, "full", room, commands[:len(commands)-1])
			fails(t, data, "no space left on device", room, commands[len(commands)-1:])
			fails(t, filepath.Join(dir, "new"), "no space left on device", room, [][]string{{"init"}})
			fails(t, data, "no space left on device", room, [][]string{{"gateway", "add", "gw-1", "--psk-out", filepath.Join(dir, "psk1")}})
			os.Remove(filler)
			output(t, serverAs(0, "user", "list", "--data", data), false, "")
			if names, _ := filepath.Glob(filepath.Join(data, ".*")); len(names) > 0 {
				t.Errorf("left over: %v", names)
			}
		})
	})
	t.Run("no files left", func(t *testing.T) {
		tmpfstest.Run(t, "nr_inodes=12", func(t *testing.T, dir string, _ func(uintptr)) {
			data := filepath.Join(dir, "data")
			output(t, serverAs(0, "init", "--data", data), false, "")
			for n := 0; os.WriteFile(filepath.Join(dir, strconv.Itoa(n)), nil, 0o600) == nil; n++ {
			}
			fails(t, data, "full", room, commands[:len(commands)-1])
		})
	})
	t.Run("read-only", func(t *testing.T) {
		tmpfstest.Run(t, "size=1m", func(t *testing.T, dir string, remount func(uintptr)) {
			data := filepath.Join(dir, "data")
			output(t, serverAs(0, "init", "--data", data), false, "")
			remount(syscall.MS_RDONLY)
			fails(t, data, "read-only", writing, commands)
			fails(t, filepath.Join(dir, "new"), "read-only", writing, [][]string{{"init"}})
			remount(0)
			output(t, serverAs(0, "user", "list", "--data", data), false, "")
		})
	})
}
