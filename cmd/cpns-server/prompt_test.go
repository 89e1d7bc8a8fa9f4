package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo terminal: the program's side and the person's.
func terminal(t *testing.T) (near, far *os.File) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(far.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	near, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	return near, far
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// readUntil reads until what was read has the text.
func readUntil(t *testing.T, r io.Reader, text string) string {
	t.Helper()
	var all bytes.Buffer
	for b := make([]byte, 256); !strings.Contains(all.String(), text); {
		n, err := r.Read(b)
		all.Write(b[:n])
		if err != nil {
			t.Fatalf("got %q, then %v, want %q", all.String(), err, text)
		}
	}
	return all.String()
}

// What is typed is not shown, and an interrupt leaves the terminal as it was.
func TestPromptEcho(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if out, err := exec.Command("cpns-server", "init", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	tests := []struct {
		name, typed string
		want        string
		ok          bool
	}{
		{"typed twice", "correct horse\n", "user alice added", true},
		{"interrupted", "corr\x03", "reading the password: ", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, far := terminal(t)
			cmd := exec.Command("cpns-server", "user", "add", "--data", data, "alice")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = near, near, near
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			seen := readUntil(t, far, "Password of alice: ")
			for echoes(t, near) { // the prompt is written just before
			}
			io.WriteString(far, tt.typed)
			if tt.ok {
				seen += readUntil(t, far, "Once more: ")
				for echoes(t, near) {
				}
				io.WriteString(far, tt.typed)
			}
			seen += readUntil(t, far, tt.want)
			if err := cmd.Wait(); (err == nil) != tt.ok {
				t.Errorf("ended with %v: %s", err, seen)
			}
			if strings.Contains(seen, "corr") {
				t.Errorf("the terminal shows what was typed: %q", seen)
			}
			if !echoes(t, near) {
				t.Error("the terminal is left without echo")
			}
		})
	}
}
