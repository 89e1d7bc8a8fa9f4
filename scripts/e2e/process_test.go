//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// process is a program that a script runs in the background.
type process struct {
	name    string
	log     string // what it prints, over all its lives
	awaited int    // up to where await has looked
	cmd     *exec.Cmd
	ended   chan struct{} // closed once it has, and err is there
	err     error
}

func startDaemon(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "daemon NAME PROGRAM ARGS…")
	r.start(ts, args[0], args[1], args[2:]...)
}

func (r *rig) start(ts *testscript.TestScript, name, program string, args ...string) *process {
	p := r.daemons[name]
	if p == nil {
		p = &process{name: name, log: r.path("log", name)}
		r.daemons[name] = p
	} else if p.running() {
		ts.Fatalf("%s is running already", name)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	defer log.Close()
	for _, c := range r.cables {
		ts.Check(c.Vacate())
	}
	p.cmd = command(ts, r, program, args)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	ts.Check(p.cmd.Start())
	ts.Check(os.WriteFile(r.path(name+".pid"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o600))
	ended := make(chan struct{})
	p.ended = ended
	go func(cmd *exec.Cmd) {
		p.err = cmd.Wait()
		close(ended)
	}(p.cmd)
	return p
}

// command is a program of the script's PATH, to run in its folder. It dies
// with this test, however that ends.
func command(ts *testscript.TestScript, r *rig, program string, args []string) *exec.Cmd {
	path := program
	if !strings.Contains(program, "/") {
		for _, folder := range filepath.SplitList(ts.Getenv("PATH")) {
			if info, err := os.Stat(filepath.Join(folder, program)); err == nil && info.Mode()&0o111 != 0 && !info.IsDir() {
				path = filepath.Join(folder, program)
				break
			}
		}
	}
	if path == program && !filepath.IsAbs(path) {
		r.missing(program)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = r.work
	// A program with the race detector sleeps for a second at its end by default.
	cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"), "HOME="+r.work, "TZ=UTC", "SERVER="+r.serve, "FRONT="+r.front, "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// missing skips the script for want of a program or a right, but never in CI.
func (r *rig) missing(what string) {
	if os.Getenv("CI") != "" {
		r.tb.Fatalf("%s: not available here, and CI must not skip", what)
	}
	r.tb.Skipf("%s: not available here; see scripts/setup.sh", what)
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// end asks for a clean end and gives it 20 s. Ended already is fine.
func (p *process) end() error {
	if !p.running() {
		return nil
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.ended:
		return p.err
	case <-time.After(2 * time.Minute):
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGQUIT) // for the goroutines' stacks
		time.Sleep(time.Second)
		p.kill()
		return errors.New("still running two minutes after SIGTERM")
	}
}

func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

func (r *rig) daemon(ts *testscript.TestScript, name string) *process {
	p := r.daemons[name]
	if p == nil {
		ts.Fatalf("%s was never started", name)
	}
	return p
}

func end(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "end NAME")
	p := r.daemon(ts, args[0])
	if !p.running() {
		ts.Fatalf("%s had ended by itself: %v", p.name, p.err)
	}
	ts.Check(p.end())
}

func crash(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "crash NAME")
	r.daemon(ts, args[0]).kill()
}

func await(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "await NAME REGEXP")
	p, re := r.daemon(ts, args[0]), compile(ts, args[1])
	eventually(ts, fmt.Sprintf("%s to print %q", p.name, args[1]), func() bool {
		text, err := os.ReadFile(p.log)
		ts.Check(err)
		if at := re.FindIndex(text[p.awaited:]); at != nil {
			p.awaited += at[1]
			return true
		}
		if !p.running() {
			ts.Fatalf("%s ended (%v) before it printed %q:\n%s", p.name, p.err, args[1], text)
		}
		return false
	})
}

func ok(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "ok PROGRAM ARGS…")
	r.run(ts, 0, args)
}

func exits(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "exits CODE PROGRAM ARGS…")
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	r.run(ts, code, args[1:])
}

func until(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "until REGEXP PROGRAM ARGS…")
	re := compile(ts, args[0])
	var stdout []byte
	eventually(ts, fmt.Sprintf("%q to print %q", strings.Join(args[1:], " "), args[0]), func() bool {
		stdout, _, _ = r.output(ts, args[1:])
		return re.Match(stdout)
	})
	ts.Stdout().Write(stdout)
}

// run runs a command to its end and shows its output to the script.
func (r *rig) run(ts *testscript.TestScript, want int, args []string) {
	stdout, stderr, code := r.output(ts, args)
	ts.Stdout().Write(stdout)
	ts.Stderr().Write(stderr)
	if code != want {
		ts.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, want, stdout, stderr)
	}
}

// output also keeps what the command prints, for the search for secrets.
func (r *rig) output(ts *testscript.TestScript, args []string) (stdout, stderr []byte, code int) {
	input := ""
	if last := args[len(args)-1]; strings.HasPrefix(last, "<") {
		input, args = last[1:], args[:len(args)-1]
	}
	cmd := command(ts, r, args[0], args[1:])
	if input != "" {
		f, err := os.Open(r.path(input))
		ts.Check(err)
		defer f.Close()
		cmd.Stdin = f
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%s: %v", args[0], err)
	}
	log, err := os.OpenFile(r.path("log", "commands"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	defer log.Close()
	fmt.Fprintf(log, "$ %s\n%s%s", strings.Join(args, " "), out.Bytes(), errs.Bytes())
	return out.Bytes(), errs.Bytes(), cmd.ProcessState.ExitCode()
}

func (r *rig) checkRaces() {
	logs, _ := filepath.Glob(r.path("log", "*"))
	for _, log := range logs {
		if text, _ := os.ReadFile(log); bytes.Contains(text, []byte("WARNING: DATA RACE")) {
			r.tb.Errorf("a data race, see %s", filepath.Base(log))
		}
	}
}

func compile(ts *testscript.TestScript, expr string) *regexp.Regexp {
	re, err := regexp.Compile("(?m)" + expr)
	ts.Check(err)
	return re
}

func eventually(ts *testscript.TestScript, what string, happened func() bool) {
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("waited %v for %s", patience, what)
		}
	}
}
