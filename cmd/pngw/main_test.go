package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cpns.example.net/pngw/cpns"
)

// raceOptions spares each program that was built with the race detector its
// second of waiting at the end.
const raceOptions = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	os.Setenv("GORACE", raceOptions)
	// What tryMemLimit starts is this program by its own name, or by that of an
	// emulator.
	if len(os.Args) == 2 && os.Args[1] == "version" {
		main()
	}
	testscript.Main(m, map[string]func(){"pngw": main, "wakeups": sayWakeups})
}

// alicesHash is computed once, for it takes its time under the race detector.
var alicesHash = sync.OnceValue(func() [32]byte { return cpns.HashPassword("alice", []byte(alicesPassword)) })

// The scripts in testdata run the real program, against a real CPNS Server and
// with a real serial line. Beside testscript's commands there are:
//
//	exits N COMMAND ARGS...   runs the command, wants exit code N
//	plugin ENTITY_ID [STATE]  puts a device at the far end of the serial line $TTY,
//	                          which holds what was saved under STATE
//	clone STATE COPY          copies what a device has saved
//	rekey FILE                gives gw-0002 another PSK1, in FILE
//	until TEXT COMMAND...     repeats the command until its output has the text
func TestScripts(t *testing.T) {
	server := startServer(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			line, err := openLine()
			if err != nil {
				return err
			}
			env.Defer(line.close)
			env.Values["line"] = line
			env.Setenv("TTY", line.tty)
			env.Setenv("ESC", "\x1b")
			env.Setenv("SERVER", server.url)
			env.Setenv("SMALL_SERVER", server.small)
			env.Setenv("GORACE", raceOptions)
			env.Setenv("HASH", fmt.Sprintf("%x", alicesHash()))
			return server.configure(env.WorkDir, line.tty)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "plugin": plugIn, "clone": clone, "until": until, "rekey": server.rekey,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e := new(exec.ExitError)
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	ts.Logf("[exit code %d]", got)
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func plugIn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: plugin ENTITY_ID [STATE]")
	}
	ts.Check(ts.Value("line").(*line).plugIn(args[0], append(args, "")[1]))
}

func clone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: clone STATE COPY")
	}
	ts.Check(ts.Value("line").(*line).copyState(args[0], args[1]))
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT COMMAND ARGS...")
	}
	for again := true; again; again = !strings.Contains(ts.ReadFile("stdout"), args[0]) {
		ts.Exec(args[1], args[2:]...) // fails while the agent is not there yet
	}
}

func (s *testServer) rekey(ts *testscript.TestScript, neg bool, args []string) {
	psk := make(cpns.PSK1, 32)
	rand.Read(psk)
	_, err := s.op.RekeyGateway(context.Background(), "gw-0002", psk, time.Hour)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fmt.Appendf(nil, "%x\n", []byte(psk)), 0o600))
}

// configure writes what a gateway named gw-0001 needs into a script's folder:
// pngw.conf, psk1, ca.pem, and passwords.
func (s *testServer) configure(dir, tty string) error {
	conf := strings.NewReplacer("DIR", dir, "SERVER", s.url, "TTY", tty).Replace(`config gateway 'main'
	option id 'gw-0001'
	option server 'SERVER'
	option ca 'DIR/ca.pem'
	option psk_file 'DIR/psk1'
	option store 'DIR/keys'
	option root_key 'DIR/root.key'
	option socket 'DIR/pngw.sock'
	option hook_dir 'DIR/hooks.d'

config link 'rs232'
	option type 'serial'
	option device 'TTY'
	option baud '115200'
`)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "pngw.conf"), []byte(conf), 0o644),
		os.WriteFile(filepath.Join(dir, "ca.pem"), s.ca, 0o644),
		os.WriteFile(filepath.Join(dir, "psk1"), []byte(pskHex+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "password"), []byte(alicesPassword+"\n"), 0o600),
	)
}
