package keystore

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// writerEnv makes the test binary a second process that writes to the store in this folder until killed.
const writerEnv = "KEYSTORE_TEST_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeForEver counts upwards in the record a and prints each number once it is stored.
func writeForEver(dir string) error {
	s, err := Open(dir, &testSecret)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		if err := s.Put("a", []byte(strconv.Itoa(n))); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// While one process has the store another is refused; when the first is killed in the midst of writing, the
// next one finds what was acknowledged.
func TestTwoProcesses(t *testing.T) {
	s := newStore(t)
	s.Close()

	writer := exec.Command(os.Args[0])
	writer.Env = append(os.Environ(), writerEnv+"="+s.folder.path)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); errors.Is(err, syscall.ENOEXEC) && os.Getenv("CI") == "" {
		t.Skipf("the test binary cannot run itself here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer writer.Process.Kill()
	lines := bufio.NewScanner(out)
	for range 20 {
		if !lines.Scan() {
			t.Fatal("the other process writes nothing")
		}
	}

	if _, err := Open(s.folder.path, &testSecret); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("Open: got %v, want ErrLocked", err)
	}
	if err := Create(s.folder.path, &testSecret); !errors.Is(err, ErrLocked) {
		t.Errorf("Create: got %v, want ErrLocked", err)
	}

	if err := writer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	last := lines.Text()
	for lines.Scan() {
		last = lines.Text()
	}
	writer.Wait()
	acknowledged, err := strconv.Atoi(last)
	if err != nil {
		t.Fatalf("the other process says %q", last)
	}

	s = mustOpen(t, s.folder.path)
	value, err := s.Get("a")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := strconv.Atoi(string(value)); err != nil || got != acknowledged && got != acknowledged+1 {
		t.Errorf("got %q, want %d or one more", value, acknowledged)
	}
	if got := files(t, s.folder.path); len(got) != 2 {
		t.Errorf("left: %q, want log and reserve", got)
	}
}
