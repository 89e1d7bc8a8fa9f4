package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spoken is what a program writes, to be waited for.
type spoken struct {
	mu   sync.Mutex
	text bytes.Buffer
	from int // what is before has been waited for
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// await waits until the program says want, after what was awaited before.
func (s *spoken) await(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		i := strings.Index(s.text.String()[s.from:], want)
		if i >= 0 {
			s.from += i + len(want)
		}
		s.mu.Unlock()
		if i >= 0 {
			return
		}
	}
	t.Fatalf("does not say %q, but\n%s", want, s.text.String())
}

// configure exchanges the configuration, as uci commit does.
func (w *workshop) configure(t *testing.T, conf string) {
	t.Helper()
	if err := os.WriteFile(w.path("conf.new"), []byte(strings.ReplaceAll(conf, "DIR", w.dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.path("conf.new"), w.path("conf")); err != nil {
		t.Fatal(err)
	}
}

// heedHangups has the programs that a test starts heed SIGHUP, also where the tests
// themselves run under nohup: what is caught here is the default there.
func heedHangups(t *testing.T) {
	t.Helper()
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
}

// TestHangup: SIGHUP has the agent take another configuration, in the same process; a
// wrong one changes nothing, and SIGTERM ends it in good order all the same.
func TestHangup(t *testing.T) {
	heedHangups(t)
	w := newWorkshop(t, programForAll(t))
	w.configure(t, partsGateway)
	if code, says := w.init(t); code != 0 {
		t.Fatalf("init: %d\n%s", code, says)
	}
	said := new(spoken)
	cmd := w.command(t.Context(), "run")
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said.await(t, "msg=ready")
	links := func() string {
		out, err := w.command(t.Context(), "links").CombinedOutput()
		if err != nil {
			t.Errorf("links: %v\n%s", err, out)
		}
		return string(out)
	}
	const line = "config link line\n option type serial\n option device /dev/pngw-none\n"

	w.configure(t, partsGateway+line)
	cmd.Process.Signal(syscall.SIGHUP)
	said.await(t, "msg=reloading")
	said.await(t, "msg=stopping")
	said.await(t, "msg=ready")
	if got := links(); !strings.Contains(got, "/dev/pngw-none") {
		t.Errorf("after a hangup the links are\n%s", got)
	}

	for _, wrong := range []string{"option baud 9601\n", "option nonsense 1\n"} {
		w.configure(t, partsGateway+line+wrong)
		cmd.Process.Signal(syscall.SIGHUP)
		said.await(t, "not reloaded, the agent goes on as it is")
		said.await(t, "conf:13")
	}
	// One that is right, but for that somebody else has what it wants: it is found out
	// when the agent has stopped for it, and begins again as it was.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for range 2 {
		w.configure(t, partsGateway+" option metrics "+taken.Addr().String()+"\n")
		cmd.Process.Signal(syscall.SIGHUP)
		said.await(t, "msg=reloading")
		said.await(t, "not reloaded, the agent goes on as it was")
		said.await(t, "address already in use")
		said.await(t, "msg=ready")
	}
	w.configure(t, partsGateway+line) // which commands read, too
	if got := links(); !strings.Contains(got, "/dev/pngw-none") {
		t.Errorf("after a wrong configuration the links are\n%s", got)
	}

	// Another socket, and many hangups at once.
	w.configure(t, strings.Replace(partsGateway, "run/sock", "run/other", 1))
	for range 20 {
		cmd.Process.Signal(syscall.SIGHUP)
	}
	said.await(t, w.path("run/other"))
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		out, err := w.command(t.Context(), "status").CombinedOutput()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("status: %v\n%s", err, out)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if left, err := os.ReadDir(w.path("run")); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestTerminalGone: the agent that a person started at a terminal ends in good order
// when that hangs up, and one under nohup does not notice.
func TestTerminalGone(t *testing.T) {
	heedHangups(t)
	program := programForAll(t)
	for name, ignored := range map[string]bool{"plain": false, "nohup": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t, program)
			w.configure(t, partsGateway)
			if code, says := w.init(t); code != 0 {
				t.Fatalf("init: %d\n%s", code, says)
			}
			master, terminal := openTerminal(t)
			said := new(spoken)
			cmd := w.command(t.Context(), "run")
			if ignored {
				// exec, so that the shell is none of the processes.
				cmd.Args = append([]string{"sh", "-c", `trap '' HUP; exec "$@"`, "sh"}, cmd.Args...)
				cmd.Path = "/bin/sh"
			}
			cmd.Stdin, cmd.Stderr = terminal, said
			cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			terminal.Close()
			said.await(t, "msg=ready")
			master.Close()
			if ignored {
				time.Sleep(200 * time.Millisecond)
				if out, err := w.command(t.Context(), "status").CombinedOutput(); err != nil {
					t.Errorf("under nohup: %v\n%s", err, out)
				}
				cmd.Process.Signal(syscall.SIGTERM)
			} else {
				said.await(t, "the terminal is gone")
			}
			said.await(t, "msg=stopping")
			if err := cmd.Wait(); err != nil {
				t.Errorf("the agent ended with %v", err)
			}
		})
	}
}

// openTerminal gives both ends of a terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

// The runtime's own word on memory limits, for each kind of value. None of those that
// it takes is so small that it would do nothing but collect garbage.
func TestTryMemLimit(t *testing.T) {
	for limit, good := range map[string]bool{
		"12MiB": true, "12582912": true, "12582912B": true, "1GiB": true, "off": true,
		"12Mi": false, "12M": false, "12MB": false, "12 MiB": false, "MiB": false, "1e6": false, "0x10": false, "-12582912": false, "+12582912": true, "99999999999TiB": false,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), memLimitTrial)
		cmd := exec.CommandContext(ctx, os.Args[0], "version")
		cmd.Env = []string{"GOMEMLIMIT=" + limit}
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		if err := cmd.Run(); (err == nil) != good {
			t.Errorf("%q: the runtime says %v", limit, err)
		}
		cancel()
		if err := tryMemLimit(t.Context(), limit); (err == nil) != good {
			t.Errorf("%q: got %v, want %v", limit, err, good)
		}
	}
	// What this program was started with has been judged.
	t.Setenv("GOMEMLIMIT", "12Mi")
	if err := tryMemLimit(t.Context(), "12Mi"); err != nil {
		t.Errorf("tried although it is in the environment: %v", err)
	}
}
