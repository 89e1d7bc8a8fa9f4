package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

func newStateFile(t *testing.T) *stateFile {
	return &stateFile{path: filepath.Join(t.TempDir(), "state"), entity: testEntity}
}

func (f *stateFile) want(t *testing.T, want pne.State) {
	t.Helper()
	got, err := f.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("loaded %q %d %d, want %q %d %d, or another key", got.Gateway, got.Epoch, got.Index, want.Gateway, want.Epoch, want.Index)
	}
}

var (
	stateA = pne.State{Gateway: testGateway, Epoch: 1, Index: 2, EUKey: cpns.EUKey{1, 2, 31: 3}}
	stateB = pne.State{Gateway: "gw<&>2", Epoch: 1<<32 - 1, Index: 1024, EUKey: cpns.EUKey{4}}
)

func TestStateFile(t *testing.T) {
	f := newStateFile(t)
	f.want(t, pne.State{})
	for _, s := range []pne.State{stateA, stateB} {
		if err := f.Save(&s); err != nil {
			t.Fatal(err)
		}
		f.want(t, s)
	}
	info, err := os.Stat(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	if _, err := os.Stat(f.path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file is left: %v", err)
	}
}

// TestStateFileEpochOnly: no key is written, and none is read where one was.
func TestStateFileEpochOnly(t *testing.T) {
	f := newStateFile(t)
	f.epochOnly = true
	if err := f.Save(&stateB); err != nil {
		t.Fatal(err)
	}
	f.want(t, pne.State{Epoch: stateB.Epoch})
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"version":1,"entity_id":"` + string(testEntity) + `","epoch":4294967295}` + "\n"; string(text) != want {
		t.Errorf("the file is %s, want %s", text, want)
	}

	f.epochOnly = false
	f.want(t, pne.State{Epoch: stateB.Epoch}) // a device that has lost its key
	if err := f.Save(&stateA); err != nil {
		t.Fatal(err)
	}
	f.want(t, stateA)
	f.epochOnly = true
	f.want(t, pne.State{Epoch: stateA.Epoch})
}

// TestStateFileLeftOver: what a power cut left is neither read nor in the way.
func TestStateFileLeftOver(t *testing.T) {
	f := newStateFile(t)
	if err := f.Save(&stateA); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path+".new", []byte(`{"version":1,`), 0o644); err != nil {
		t.Fatal(err)
	}
	f.want(t, stateA)
	if err := f.Save(&stateB); err != nil {
		t.Fatal(err)
	}
	f.want(t, stateB)
}

// TestStateFileFails lets each step of Save fail in turn: the State before
// survives, and nothing is left beside it.
func TestStateFileFails(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, f *stateFile)
		want  error
	}{
		{"removing the left-over", func(t *testing.T, f *stateFile) {
			if err := os.MkdirAll(f.path+".new/in/the/way", 0o700); err != nil {
				t.Fatal(err)
			}
		}, syscall.ENOTEMPTY},
		{"writing", func(t *testing.T, f *stateFile) { limitFileSize(t, 10) }, syscall.EFBIG},
		{"renaming", func(t *testing.T, f *stateFile) {
			// An immutable target cannot be made everywhere; a folder in its place can.
			if err := os.Rename(f.path, f.path+".kept"); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(f.path+"/in/the/way", 0o700); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				os.RemoveAll(f.path)
				os.Rename(f.path+".kept", f.path)
			})
		}, syscall.EEXIST},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newStateFile(t)
			if err := f.Save(&stateA); err != nil {
				t.Fatal(err)
			}
			t.Run("fail", func(t *testing.T) {
				tt.spoil(t, f)
				if err := f.Save(&stateB); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
			f.want(t, stateA)
			if err := os.RemoveAll(f.path + ".new"); err != nil {
				t.Fatal(err)
			}
			if err := f.Save(&stateB); err != nil {
				t.Fatalf("once the fault is gone: %v", err)
			}
			f.want(t, stateB)
		})
	}
}

// saverEnv makes the test binary a second process that saves to this file until killed.
const saverEnv = "PNE_TEST_SAVER"

// saveForEver takes a device from index to index, and prints each once it is saved.
func saveForEver(path string) error {
	f := &stateFile{path: path, entity: testEntity}
	for index := cpns.Index(1); index <= cpns.MaxSetLength; index++ {
		if err := f.Save(&pne.State{Gateway: testGateway, Epoch: 1, Index: index, EUKey: cpns.EUKey{byte(index), byte(index >> 8)}}); err != nil {
			return err
		}
		fmt.Println(index)
	}
	return nil
}

// TestStateFileKilled kills a program in the midst of saving, time and again: what it
// has said to be saved is there, or the one after it, whole.
func TestStateFileKilled(t *testing.T) {
	for range 20 {
		f := newStateFile(t)
		saver := exec.Command(os.Args[0])
		saver.Env = append(os.Environ(), saverEnv+"="+f.path)
		out, err := saver.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := saver.Start(); errors.Is(err, syscall.ENOEXEC) && os.Getenv("CI") == "" {
			t.Skipf("the test binary cannot run itself here: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		lines, last := bufio.NewScanner(out), 0
		for lines.Scan() {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Error(lines.Text())
			}
			if last == 5 {
				time.AfterFunc(rand.N(5*time.Millisecond), func() { saver.Process.Kill() })
			}
		}
		saver.Wait()
		got, err := f.Load()
		if err != nil {
			t.Fatalf("killed after %d: %v", last, err)
		}
		if n := int(got.Index); last < 5 || n != last && n != last+1 || got.EUKey != (cpns.EUKey{byte(n), byte(n >> 8)}) {
			t.Errorf("killed after %d: index %d is there, or another's key", last, got.Index)
		}
	}
}

// limitFileSize lets no file of this process grow past size until the test ends.
func limitFileSize(t *testing.T, size uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	})
}
