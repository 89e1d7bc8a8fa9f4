package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// gateway is a folder with a configured gateway whose agent runs.
func gateway(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	l, err := openLine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if err := startServer(t).configure(dir, l.tty); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "pngw.conf")
	if out, err := exec.Command("pngw", "init", "--config", conf).CombinedOutput(); err != nil {
		t.Fatalf("pngw init: %v\n%s", err, out)
	}
	agent := exec.Command("pngw", "run", "--config", conf)
	log, err := agent.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	text := readUntil(t, log, "msg=ready")
	rest := make(chan []byte)
	go func() { b, _ := io.ReadAll(log); rest <- b }()
	t.Cleanup(func() {
		agent.Process.Signal(syscall.SIGTERM)
		text += string(<-rest)
		if err := agent.Wait(); err != nil {
			t.Errorf("the agent: %v\n%s", err, text)
		}
	})
	return dir
}

// onTerminal starts pngw as a person does: with a terminal, of which the
// returned file is the person's side.
func onTerminal(t *testing.T, args ...string) (*exec.Cmd, *line) {
	t.Helper()
	l, err := openLine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	cmd := exec.Command("pngw", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = l.near, l.near, l.near
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, l
}

// readUntil reads until what was read has the text.
func readUntil(t *testing.T, r io.Reader, text string) string {
	t.Helper()
	var all bytes.Buffer
	buf := make([]byte, 1024)
	for !strings.Contains(all.String(), text) {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("got %q, then %v, want %q", all.String(), err, text)
		}
	}
	return all.String()
}

func echoes(t *testing.T, l *line) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(l.near.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func exitCodeOf(t *testing.T, err error) int {
	t.Helper()
	e := new(exec.ExitError)
	if err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	if err == nil {
		return 0
	}
	return e.ExitCode()
}

func TestPrompt(t *testing.T) {
	conf := filepath.Join(gateway(t), "pngw.conf")

	t.Run("password", func(t *testing.T) {
		cmd, l := onTerminal(t, "provision", "--config", conf, "--user", "alice", "--wait", "0s", "urn:dev:lamp-1")
		seen := readUntil(t, l.far, "Password of alice: ")
		io.WriteString(l.far, alicesPassword+"\n")
		seen += readUntil(t, l.far, "  next: ")
		if got := exitCodeOf(t, cmd.Wait()); got != 3 {
			t.Errorf("exit code %d, want 3:\n%s", got, seen)
		}
		if strings.Contains(seen, alicesPassword) {
			t.Errorf("the terminal shows the password:\n%s", seen)
		}
		if !echoes(t, l) {
			t.Error("the terminal is left without echo")
		}
	})

	t.Run("nothing typed", func(t *testing.T) {
		cmd, l := onTerminal(t, "provision", "--config", conf, "--user", "alice", "urn:dev:lamp-1")
		readUntil(t, l.far, "Password of alice: ")
		io.WriteString(l.far, "\n")
		readUntil(t, l.far, "no password was typed")
		if got := exitCodeOf(t, cmd.Wait()); got != 1 {
			t.Errorf("exit code %d, want 1", got)
		}
	})

	t.Run("interrupted", func(t *testing.T) {
		cmd, l := onTerminal(t, "provision", "--config", conf, "--user", "alice", "urn:dev:lamp-1")
		readUntil(t, l.far, "Password of alice: ")
		io.WriteString(l.far, "half a pass\x03") // Ctrl-C
		seen := readUntil(t, l.far, "interrupted: nothing was asked of the server")
		if got := exitCodeOf(t, cmd.Wait()); got != 1 {
			t.Errorf("exit code %d, want 1", got)
		}
		if strings.Contains(seen, "half") || !echoes(t, l) {
			t.Errorf("echo: %v; the terminal shows %q", echoes(t, l), seen)
		}
	})

	t.Run("interrupted while waiting", func(t *testing.T) {
		cmd, l := onTerminal(t, "provision", "--config", conf, "--user", "alice", "--wait", "1h", "urn:dev:lamp-2")
		readUntil(t, l.far, "Password of alice: ")
		io.WriteString(l.far, alicesPassword+"\n")
		readUntil(t, l.far, "waiting for the device")
		io.WriteString(l.far, "\x03")
		readUntil(t, l.far, "interrupted: the keys are stored and stay pending")
		if got := exitCodeOf(t, cmd.Wait()); got != 3 {
			t.Errorf("exit code %d, want 3", got)
		}
	})

	t.Run("forget", func(t *testing.T) {
		cmd, l := onTerminal(t, "forget", "--config", conf, "urn:dev:lamp-2")
		readUntil(t, l.far, "Delete the keys of urn:dev:lamp-2 from this gateway? [y/N] ")
		io.WriteString(l.far, "n\n")
		readUntil(t, l.far, "nothing was deleted")
		if got := exitCodeOf(t, cmd.Wait()); got != 1 {
			t.Errorf("no: exit code %d, want 1", got)
		}
		cmd, l = onTerminal(t, "forget", "--config", conf, "urn:dev:lamp-2")
		readUntil(t, l.far, "[y/N] ")
		io.WriteString(l.far, "y\n")
		readUntil(t, l.far, "urn:dev:lamp-2: forgotten")
		if got := exitCodeOf(t, cmd.Wait()); got != 0 {
			t.Errorf("yes: exit code %d, want 0", got)
		}
	})
}

// Without a terminal, and with nothing piped in, there is nobody to ask.
func TestNoTerminal(t *testing.T) {
	conf := filepath.Join(gateway(t), "pngw.conf")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := exec.Command("pngw", "provision", "--config", conf, "--user", "alice", "urn:dev:lamp-1")
	cmd.Stdin = null
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if got := exitCodeOf(t, err); got != 1 || !strings.Contains(string(out), "the password from standard input is empty") {
		t.Errorf("exit code %d: %s", got, out)
	}
}
