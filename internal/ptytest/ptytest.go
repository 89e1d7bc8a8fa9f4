// Package ptytest opens pseudo terminals for tests of programs that talk to
// somebody at a terminal.
package ptytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a program may take to say what is waited for.
const patience = 30 * time.Second

// A Terminal is a pseudo terminal, seen from the person's side.
type Terminal struct {
	Near *os.File // the program's side
	far  *os.File
	Seen bytes.Buffer // everything that was on the screen
}

// New opens a terminal, which is closed when the test ends.
func New(t testing.TB) *Terminal {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	number := 0
	conn, err := far.SyscallConn()
	if err == nil {
		conn.Control(func(fd uintptr) {
			err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
			if err == nil {
				number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			}
			if err == nil { // wide, so that no shell breaks a line
				err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 500})
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	near, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	return &Terminal{Near: near, far: far}
}

// Start starts a program as a person does: the terminal is its own, and its
// standard input and output where the command says nothing else. It is killed
// with all of its session's foreground when the test ends before it.
func (term *Terminal) Start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if cmd.Stdin == nil {
		cmd.Stdin = term.Near
	}
	if cmd.Stdout == nil {
		cmd.Stdout = term.Near
	}
	if cmd.Stderr == nil {
		cmd.Stderr = term.Near
	}
	// The terminal is controlled by way of a descriptor that is surely it.
	cmd.ExtraFiles = append(cmd.ExtraFiles, term.Near)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2 + len(cmd.ExtraFiles)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
}

// Ready is what a shell of StartShell prompts with.
const Ready = "ready> "

// Need finds a program. Without it a test is skipped, and where CI is set it fails.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%v: scripts/setup.sh installs it", err)
	}
	if err != nil {
		t.Skipf("%v: scripts/setup.sh installs it", err)
	}
	return path
}

// StartShell starts a shell with job control, and waits until it is ready.
func (term *Terminal) StartShell(t testing.TB, shell ...string) *exec.Cmd {
	t.Helper()
	sh := exec.Command(Need(t, shell[0]), shell[1:]...)
	sh.Env = append(os.Environ(), "PS1="+Ready, "HISTFILE=", "TERM=dumb")
	term.Start(t, sh)
	term.Until(t, Ready)
	return sh
}

// ShellEchoes tells whether a shell that is ready shows what is typed to the
// programs that it starts: while it edits a line it does that itself.
func (term *Terminal) ShellEchoes(t testing.TB) bool {
	t.Helper()
	term.Type(t, "stty -a; echo done\n")
	modes := term.Until(t, "\ndone") // not what was typed
	term.Until(t, Ready)
	return strings.Contains(modes, " echo ")
}

// Until reads the screen until it shows text, and returns what it showed since
// the last time.
func (term *Terminal) Until(t testing.TB, text string) string {
	t.Helper()
	shown, ok := term.Shows(text, patience)
	if !ok {
		t.Fatalf("the terminal shows %q, want %q", shown, text)
	}
	return shown
}

// Shows is Until for what may not come within a time.
func (term *Terminal) Shows(text string, within time.Duration) (shown string, ok bool) {
	term.far.SetReadDeadline(time.Now().Add(within))
	for b := make([]byte, 1); !strings.Contains(shown, text); {
		n, err := term.far.Read(b)
		shown += string(b[:n])
		term.Seen.Write(b[:n])
		if err != nil {
			return shown, false
		}
	}
	return shown, true
}

// Type types text.
func (term *Terminal) Type(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(term.far, text); err != nil {
		t.Fatal(err)
	}
}

// Echoes tells whether the terminal shows what is typed.
func (term *Terminal) Echoes(t testing.TB) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(term.Near.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// Exit waits for the program's end and returns its exit code, -1 where a signal
// ended it.
func Exit(t testing.TB, cmd *exec.Cmd) int {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if e := new(exec.ExitError); err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		cmd.Process.Kill()
		<-ended
		t.Fatalf("%v did not end", cmd.Args)
		return -1
	}
}
