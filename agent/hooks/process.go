package hooks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lastWords is how long the output of a hook is read once the hook has ended.
// It ends by itself unless something that left the hook's process group still
// holds it.
const lastWords = time.Second

// dying is how long a hook that was killed may take to end.
const dying = 5 * time.Second

// environment is all that a hook finds in its environment.
func (r *Runner) environment(e *task) []string {
	env := []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"ACTION=" + string(e.Kind),
		"ENTITY_ID=" + string(e.Entity),
		"CPNS_USER=" + string(e.User),
		"EPOCH=" + strconv.FormatUint(uint64(e.Epoch), 10),
		"INDEX=" + strconv.FormatUint(uint64(e.Index), 10),
		"LENGTH=" + strconv.Itoa(e.Length),
		"LINK=" + e.Link,
		"GATEWAY=" + string(r.cfg.Gateway),
	}
	if a := e.application; a != nil {
		env = append(env, "APPLICATION="+a.Name, "LABEL="+a.Label, "IDENTITY="+e.identity)
	}
	return env
}

// run runs one hook and says how it ended.
func (r *Runner) run(ctx context.Context, path string, e *task) {
	log := r.cfg.Log.With("hook", path, "event", e.Kind, "entity_id", e.Entity)
	p, out, err := r.start(path, e)
	if err != nil {
		r.counts.failed.Add(1)
		log.Warn("hook failed", "reason", err)
		return
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		logOutput(log, out)
		out.Close() // to a hook that goes on writing, a broken pipe
	}()

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(p.Pid)
	}()
	limit := time.NewTimer(r.cfg.Timeout)
	defer limit.Stop()
	timedOut := false
	select {
	case <-ended:
	case <-limit.C:
		timedOut = true
	case <-ctx.Done():
	}
	// The whole process group, and the hook itself, which may have left the group.
	// Before it is waited for: until then its number is nobody else's.
	unix.Kill(-p.Pid, unix.SIGKILL) // an error is that there is nobody left
	unix.Kill(p.Pid, unix.SIGKILL)
	state, err := reap(p, ended)
	adopt()
	out.SetReadDeadline(time.Now().Add(lastWords))
	<-read

	counter, reason := &r.counts.failed, ""
	switch {
	case errors.Is(err, errUndead):
		reason = err.Error()
	case timedOut:
		counter, reason = &r.counts.timedOut, "killed after "+r.cfg.Timeout.String()
	case err != nil:
		reason = err.Error()
	case state.ExitCode() < 0:
		reason = "killed by a signal"
	case state.ExitCode() > 0:
		reason = "exit code " + strconv.Itoa(state.ExitCode())
	default:
		counter = &r.counts.ok
	}
	counter.Add(1)
	if reason != "" {
		log.Warn("hook failed", "reason", reason)
	}
}

// errUndead is that a process goes on in spite of SIGKILL: it waits in the kernel,
// say for a disk that does not answer.
var errUndead = errors.New("killed, and does not end: what does it wait for?")

// reap takes in a hook that has been killed, if need be later, when it does end:
// neither the next hook nor the agent's own end waits for that.
func reap(p *os.Process, ended <-chan struct{}) (*os.ProcessState, error) {
	limit := time.NewTimer(dying)
	defer limit.Stop()
	select {
	case <-ended:
		return p.Wait()
	case <-limit.C:
		go func() {
			<-ended
			p.Wait()
		}()
		return nil, errUndead
	}
}

// adopt takes in what hooks have left to us. In OpenWrt's jail the agent is the first
// process, whose children all those become that have lost their parent, and nobody
// else would ever wait for them. Hooks are all that the agent starts, one at a time.
func adopt() {
	if os.Getpid() != 1 {
		return
	}
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && err != unix.EINTR {
			return
		}
	}
}

// start starts a hook as the leader of a process group of its own. out is what
// it writes.
func (r *Runner) start(path string, e *task) (p *os.Process, out *os.File, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	out, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	files := []*os.File{null, w, w}
	if e.Session != nil {
		key, err := keyFile(e)
		if err != nil {
			out.Close()
			return nil, nil, err
		}
		defer key.Close()
		files = append(files, key) // file descriptor 3
	}
	p, err = os.StartProcess(path, []string{path}, &os.ProcAttr{
		Dir: "/", Env: r.environment(e), Files: files,
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		out.Close()
		return nil, nil, explainStart(path, err)
	}
	return p, out, nil
}

// explainStart says more where a hook is there and the kernel says that it is not,
// or does not know what it is.
func explainStart(path string, err error) error {
	first, readErr := firstLine(path)
	interpreter, script := strings.CutPrefix(first, "#!")
	switch {
	case readErr != nil:
	case errors.Is(err, fs.ErrNotExist) && script:
		interpreter, _, _ = strings.Cut(strings.TrimSpace(interpreter), " ")
		return fmt.Errorf("%w: its interpreter %s is not here; in OpenWrt's jail it is once the service has been reloaded: service pngw reload", err, interpreter)
	case errors.Is(err, syscall.ENOEXEC) && !script:
		return fmt.Errorf("%w: want #!/bin/sh, or another interpreter, in its first line", err)
	}
	return err
}

// keyFile is the end of a pipe from which the key can be read once.
func keyFile(e *task) (*os.File, error) {
	key, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.Write(e.Session[:]); err != nil { // a pipe has room for 32 bytes
		key.Close()
		return nil, err
	}
	return key, nil
}

// awaitEnd returns when a child has ended, and leaves it to be waited for.
func awaitEnd(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}
