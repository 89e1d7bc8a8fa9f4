package hooks

import (
	"context"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/agent"
)

// lastWords is how long the output of a hook is read once the hook has ended.
// It ends by itself unless something that left the hook's process group still
// holds it.
const lastWords = time.Second

// environment is all that a hook finds in its environment.
func (r *Runner) environment(e *agent.Event) []string {
	return []string{
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
}

// run runs one hook and says how it ended.
func (r *Runner) run(ctx context.Context, path string, e *agent.Event) {
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
	// The whole process group, and before its leader is waited for: until then
	// its number is nobody else's.
	unix.Kill(-p.Pid, unix.SIGKILL) // an error is that there is nobody left
	<-ended
	state, err := p.Wait()
	out.SetReadDeadline(time.Now().Add(lastWords))
	<-read

	counter, reason := &r.counts.failed, ""
	switch {
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

// start starts a hook as the leader of a process group of its own. out is what
// it writes.
func (r *Runner) start(path string, e *agent.Event) (p *os.Process, out *os.File, err error) {
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
		return nil, nil, err
	}
	return p, out, nil
}

// keyFile is the end of a pipe from which the session key can be read once.
func keyFile(e *agent.Event) (*os.File, error) {
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
