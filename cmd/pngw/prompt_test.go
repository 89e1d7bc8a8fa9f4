package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cpns.example.net/pngw/internal/ptytest"
)

// gateway is a folder with a configured gateway whose agent runs.
func gateway(t *testing.T) (dir string) {
	t.Helper()
	dir, _ = configured(t)
	conf := filepath.Join(dir, "pngw.conf")
	if out, err := exec.Command("pngw", "init", "--config", conf).CombinedOutput(); err != nil {
		t.Fatalf("pngw init: %v\n%s", err, out)
	}
	startAgent(t, conf)
	return dir
}

// configured is a folder with a gateway's configuration, and the line of that.
func configured(t *testing.T) (dir string, l *line) {
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
	return dir, l
}

// startAgent runs the agent until the test ends, or stop is called.
func startAgent(t *testing.T, conf string) (stop func()) {
	t.Helper()
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
	stop = sync.OnceFunc(func() {
		agent.Process.Signal(syscall.SIGTERM)
		text += string(<-rest)
		if err := agent.Wait(); err != nil {
			t.Errorf("the agent: %v\n%s", err, text)
		}
	})
	t.Cleanup(stop)
	return stop
}

// onTerminal starts pngw as a person does.
func onTerminal(t *testing.T, args ...string) (*exec.Cmd, *ptytest.Terminal) {
	t.Helper()
	term := ptytest.New(t)
	cmd := exec.Command("pngw", args...)
	term.Start(t, cmd)
	return cmd, term
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
		seen := l.Until(t, "Password of alice: ")
		l.Type(t, alicesPassword+"\n")
		seen += l.Until(t, "  next: ")
		if got := ptytest.Exit(t, cmd); got != 3 {
			t.Errorf("exit code %d, want 3:\n%s", got, seen)
		}
		if strings.Contains(seen, alicesPassword) {
			t.Errorf("the terminal shows the password:\n%s", seen)
		}
		if !l.Echoes(t) {
			t.Error("the terminal is left without echo")
		}
	})

	t.Run("nothing typed", func(t *testing.T) {
		cmd, l := onTerminal(t, "provision", "--config", conf, "--user", "alice", "urn:dev:lamp-1")
		l.Until(t, "Password of alice: ")
		l.Type(t, "\n")
		l.Until(t, "no password was typed")
		if got := ptytest.Exit(t, cmd); got != 1 {
			t.Errorf("exit code %d, want 1", got)
		}
	})

	t.Run("interrupted", func(t *testing.T) {
		cmd, l := onTerminal(t, "provision", "--config", conf, "--user", "alice", "urn:dev:lamp-1")
		l.Until(t, "Password of alice: ")
		l.Type(t, "half a pass\x03") // Ctrl-C
		seen := l.Until(t, "interrupted: nothing was asked of the server")
		if got := ptytest.Exit(t, cmd); got != 1 {
			t.Errorf("exit code %d, want 1", got)
		}
		if strings.Contains(seen, "half") || !l.Echoes(t) {
			t.Errorf("echo: %v; the terminal shows %q", l.Echoes(t), seen)
		}
	})

	t.Run("interrupted while waiting", func(t *testing.T) {
		cmd, l := onTerminal(t, "provision", "--config", conf, "--user", "alice", "--wait", "1h", "urn:dev:lamp-2")
		l.Until(t, "Password of alice: ")
		l.Type(t, alicesPassword+"\n")
		l.Until(t, "waiting for the device")
		l.Type(t, "\x03")
		l.Until(t, "interrupted: the keys are stored and stay pending")
		if got := ptytest.Exit(t, cmd); got != 3 {
			t.Errorf("exit code %d, want 3", got)
		}
	})

	t.Run("a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "devices.csv")
		if err := os.WriteFile(file, []byte("entity_id,user\nurn:dev:lamp-1,\nurn:dev:bobs,bob\nno-such,\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd, l := onTerminal(t, "provision", "--config", conf, "--user", "alice", "--csv", file, "--wait", "1h")
		l.Until(t, "Password of bob: ")
		l.Type(t, alicesPassword+"\n")
		l.Until(t, "Password of alice: ") // for no-such: lamp-1 has its keys
		l.Type(t, alicesPassword+"\n")
		l.Until(t, "line 4: no-such: refused")
		l.Until(t, "[##########                    ] 1 of 3, 0 delivered")
		l.Type(t, "\x03")
		l.Until(t, "3 rows: 2 assigned, not yet delivered, 1 refused")
		l.Until(t, "interrupted: what was delivered stays so; give the same command again")
		if got := ptytest.Exit(t, cmd); got != 1 {
			t.Errorf("exit code %d, want 1", got)
		}
	})

	t.Run("forget", func(t *testing.T) {
		cmd, l := onTerminal(t, "forget", "--config", conf, "urn:dev:lamp-2")
		l.Until(t, "Delete the keys of urn:dev:lamp-2 from this gateway? [y/N] ")
		l.Type(t, "n\n")
		l.Until(t, "nothing was deleted")
		if got := ptytest.Exit(t, cmd); got != 1 {
			t.Errorf("no: exit code %d, want 1", got)
		}
		cmd, l = onTerminal(t, "forget", "--config", conf, "urn:dev:lamp-2")
		l.Until(t, "[y/N] ")
		l.Type(t, "y\n")
		l.Until(t, "urn:dev:lamp-2: forgotten")
		if got := ptytest.Exit(t, cmd); got != 0 {
			t.Errorf("yes: exit code %d, want 0", got)
		}
	})
}

// The list of a loop is not the password, and under a shell with job control
// Ctrl-Z gives the terminal back.
func TestPromptInShell(t *testing.T) {
	dir := gateway(t)
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte("urn:dev:lamp-1\nurn:dev:lamp-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONF", filepath.Join(dir, "pngw.conf"))
	t.Setenv("LIST", filepath.Join(dir, "list"))
	term := ptytest.New(t)
	term.StartShell(t, "bash", "--norc", "--noprofile", "-i")
	term.Type(t, "while read -r id; do pngw provision --config $CONF --user alice --wait 0s \"$id\"; done <$LIST\n")
	for _, id := range []string{"urn:dev:lamp-1", "urn:dev:lamp-2"} {
		term.Until(t, "Password of alice: ")
		term.Type(t, alicesPassword+"\n")
		term.Until(t, id+": assigned, not yet delivered")
	}
	term.Until(t, ptytest.Ready)
	term.Type(t, "pngw provision --config $CONF --user alice --wait 0s urn:dev:lamp-1\n")
	term.Until(t, "Password of alice: ")
	term.Type(t, "half\x1a")
	term.Until(t, ptytest.Ready)
	if !term.ShellEchoes(t) {
		t.Error("stopped, it leaves the shell without echo")
	}
	term.Type(t, "fg\n")
	term.Until(t, "Password of alice: ")
	term.Type(t, alicesPassword+"\n")
	term.Until(t, "assigned, not yet delivered")
	term.Until(t, ptytest.Ready)
	for _, text := range []string{"half", alicesPassword} {
		if strings.Contains(term.Seen.String(), text) {
			t.Errorf("the terminal shows %q: %q", text, term.Seen.String())
		}
	}
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
	if got := exitCodeOf(t, err); got != 2 || !strings.Contains(string(out), "there is no terminal to ask for the password") {
		t.Errorf("exit code %d: %s", got, out)
	}
}
