package password

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/internal/ptytest"
)

// The test's program is a program that asks, too: for a password from the file
// that is named, twice where its name is twice.
const asks = "PASSWORD_TEST_ASKS"

func TestMain(m *testing.M) {
	if file, set := os.LookupEnv(asks); set {
		q := &Question{Whose: "alice", File: file, Twice: os.Getenv("PASSWORD_TEST_TWICE") != "", Program: "prog", Stdin: os.Stdin, Stderr: os.Stderr}
		got, err := q.Ask(context.Background())
		if err != nil {
			fmt.Println("ended:", err)
			os.Exit(1)
		}
		fmt.Println("got", hex.EncodeToString(got)) // not what the screen must not show
		os.Exit(0)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

func program(t *testing.T, file string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), asks+"="+file), env...)
	return cmd
}

const secret = "correct horse"

func got(password string) string { return "got " + hex.EncodeToString([]byte(password)) }

// typed checks that nothing of what was typed was on the screen, and that the
// terminal is as it was.
func typed(t *testing.T, term *ptytest.Terminal, text string) {
	t.Helper()
	if strings.Contains(term.Seen.String(), text) {
		t.Errorf("the terminal shows what was typed: %q", term.Seen.String())
	}
	if !term.Echoes(t) {
		t.Error("the terminal is left without echo")
	}
}

func TestTerminal(t *testing.T) {
	tests := []struct {
		name   string
		twice  bool
		typed  []string // each after a prompt
		want   string
		exits  int
		secret string
	}{
		{"once", false, []string{secret + "\n"}, got(secret), 0, secret},
		{"twice", true, []string{secret + "\n", secret + "\n"}, got(secret), 0, secret},
		{"twice, different", true, []string{secret + "\n", "battery\n"}, "ended: the two are not the same", 1, secret},
		{"nothing", false, []string{"\n"}, "ended: no password was typed", 1, secret},
		{"end of file", false, []string{"\x04"}, "ended: no password was typed", 1, secret},
		{"corrected", false, []string{"x\x7f" + secret + "\n"}, got(secret), 0, secret},
		{"Ctrl-C", false, []string{"half\x03"}, "ended: interrupted", 1, "half"},
		{"Ctrl-\\", false, []string{"half\x1c"}, "ended: interrupted", 1, "half"},
		{"Ctrl-C the second time", true, []string{secret + "\n", "half\x03"}, "ended: interrupted", 1, "half"},
		{"too long", false, []string{strings.Repeat("1234567890", Max/10) + "12345\n"}, "ended: the password is longer than 1024 bytes", 1, "1234567890"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := program(t, "")
			if tt.twice {
				cmd.Env = append(cmd.Env, "PASSWORD_TEST_TWICE=1")
			}
			// Standard input is not the terminal, and is left alone.
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			cmd.Stdin = null
			term := ptytest.New(t)
			term.Start(t, cmd)
			prompt := "Password of alice: "
			for _, text := range tt.typed {
				term.Until(t, prompt)
				term.Type(t, text)
				prompt = "Once more: "
			}
			term.Until(t, tt.want)
			if code := ptytest.Exit(t, cmd); code != tt.exits {
				t.Errorf("exit code %d, want %d", code, tt.exits)
			}
			typed(t, term, tt.secret)
		})
	}
}

// TestSignals: any signal that ends a program ends the question, and gives the
// terminal back.
func TestSignals(t *testing.T) {
	for _, s := range ending {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			cmd := program(t, "")
			term := ptytest.New(t)
			term.Start(t, cmd)
			term.Until(t, "Password of alice: ")
			term.Type(t, "half")
			time.Sleep(300 * time.Millisecond) // the kernel passes it on in its own time, and nothing shows when
			cmd.Process.Signal(s)
			term.Until(t, "ended: interrupted")
			if code := ptytest.Exit(t, cmd); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			typed(t, term, "half")
			// What was half typed does not wait for whoever reads next.
			term.Type(t, "next\n")
			b := make([]byte, 64)
			if n, err := term.Near.Read(b); err != nil || string(b[:n]) != "next\n" {
				t.Errorf("the terminal gives %q, %v", b[:n], err)
			}
		})
	}
}

// TestStopped: under a shell with job control, Ctrl-Z gives the terminal to the
// shell as it was, and fg asks again, however often.
func TestStopped(t *testing.T) {
	for _, shell := range [][]string{
		{"bash", "--norc", "--noprofile", "-i"},
		{"busybox", "sh", "-i"},
	} {
		t.Run(shell[0], func(t *testing.T) {
			ask := program(t, "")
			t.Setenv("PROGRAM", ask.Path)
			t.Setenv(asks, "")
			term := ptytest.New(t)
			term.StartShell(t, shell...)
			term.Type(t, "$PROGRAM\n")
			for range 3 {
				term.Until(t, "Password of alice: ")
				term.Type(t, "half\x1a")
				term.Until(t, ptytest.Ready)
				if !term.ShellEchoes(t) {
					t.Fatal("stopped, it leaves the shell without echo")
				}
				term.Type(t, "fg\n")
			}
			// Continued in the background it waits until it is in front.
			term.Until(t, "Password of alice: ")
			term.Type(t, "half\x1a")
			term.Until(t, ptytest.Ready)
			term.Type(t, "bg\n")
			term.Until(t, ptytest.Ready)
			if !term.ShellEchoes(t) {
				t.Fatal("in the background, it leaves the shell without echo")
			}
			term.Type(t, "fg\n")
			term.Until(t, "Password of alice: ")
			term.Type(t, secret+"\n")
			term.Until(t, got(secret))
			term.Until(t, ptytest.Ready)
			if !term.ShellEchoes(t) {
				t.Error("at its end it leaves the shell without echo")
			}
			// Stopped, it can be killed.
			term.Type(t, "$PROGRAM\n")
			term.Until(t, "Password of alice: ")
			term.Type(t, "\x1a")
			term.Until(t, ptytest.Ready)
			term.Type(t, "kill %1; kill -CONT %1 2>/dev/null\n")
			term.Until(t, "ended: interrupted")
			for _, text := range []string{"half", secret} {
				if strings.Contains(term.Seen.String(), text) {
					t.Errorf("the terminal shows %q: %q", text, term.Seen.String())
				}
			}
		})
	}
}

// TestStoppedByForce: SIGSTOP cannot be caught; what is told is the going on.
func TestStoppedByForce(t *testing.T) {
	cmd := program(t, "")
	term := ptytest.New(t)
	term.Start(t, cmd)
	term.Until(t, "Password of alice: ")
	cmd.Process.Signal(syscall.SIGSTOP)
	cmd.Process.Signal(syscall.SIGCONT)
	term.Until(t, "Password of alice: ")
	term.Type(t, secret+"\n")
	term.Until(t, got(secret))
	if code := ptytest.Exit(t, cmd); code != 0 {
		t.Errorf("exit code %d", code)
	}
	typed(t, term, secret)
}

// A file, a pipe and standard input.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(path, []byte(secret+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, file, stdin string
		want              string
	}{
		{"file", path, "", got(secret)},
		{"standard input", "-", secret + "\r\n", got(secret)},
		{"standard input, nothing", "-", "", "ended: the password: standard input is empty"},
		{"standard input, a list", "-", secret + "\nurn:dev:lamp-2\n", "ended: the password: standard input has more than one line"},
		{"no such file", path + "2", "", "ended: the password: open " + path + "2: no such file or directory"},
		{"no terminal", "", secret + "\n", "ended: there is no terminal to ask for the password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := program(t, tt.file)
			cmd.Stdin = strings.NewReader(tt.stdin)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			out, _ := cmd.CombinedOutput()
			if !strings.HasPrefix(string(out), tt.want) {
				t.Errorf("got %q, want %q", out, tt.want)
			}
		})
	}
}

// TestLoop: the list that a shell's loop reads is not the password.
func TestLoop(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("lamp-1\nlamp-2\nlamp-3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := program(t, "")
	sh := exec.Command("sh", "-c", `while read -r id; do "$PROGRAM"; echo "end of $id"; done <"$LIST"`)
	sh.Env = append(ask.Env, "PROGRAM="+ask.Path, "LIST="+list)
	term := ptytest.New(t)
	term.Start(t, sh)
	for _, id := range []string{"lamp-1", "lamp-2", "lamp-3"} {
		term.Until(t, "Password of alice: ")
		term.Type(t, secret+"\n")
		term.Until(t, got(secret))
		term.Until(t, "end of "+id)
	}
	if code := ptytest.Exit(t, sh); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestOpenPipe: whoever forgets that a pipe is open is told, and each signal that
// is asked for ends the wait, the first time.
func TestOpenPipe(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			cmd := program(t, "-")
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			io.WriteString(stdin, secret+"\n") // and no end
			term := ptytest.New(t)
			term.Start(t, cmd)
			term.Until(t, "prog: waiting for the password of alice from standard input, and for the end of it")
			begin := time.Now()
			cmd.Process.Signal(s)
			term.Until(t, "ended: interrupted")
			if code := ptytest.Exit(t, cmd); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("ended after %v", took)
			}
		})
	}
}

// TestInputIsTerminal: a terminal on standard input is asked without echo, too.
func TestInputIsTerminal(t *testing.T) {
	cmd := program(t, "-")
	term := ptytest.New(t)
	term.Start(t, cmd)
	term.Until(t, "Password of alice: ")
	term.Type(t, secret+"\n")
	term.Until(t, got(secret))
	ptytest.Exit(t, cmd)
	typed(t, term, secret)
}
