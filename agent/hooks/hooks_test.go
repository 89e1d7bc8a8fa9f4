package hooks

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/logtest"
)

// rig is a Runner on a folder of real shell scripts. What a script writes to
// out, in its folder's parent, is what it tells the test.
type rig struct {
	*Runner
	dir, out string
	log      *logtest.Buffer
	stop     func()
}

func newRig(t *testing.T, c Config) *rig {
	t.Helper()
	base := t.TempDir()
	r := &rig{dir: filepath.Join(base, "hooks.d"), out: filepath.Join(base, "out"), log: new(logtest.Buffer)}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c.Dir, c.Gateway, c.Log = r.dir, "gw-0001", slog.New(slog.NewTextHandler(r.log, nil))
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	r.Runner = New(c)
	return r
}

func (r *rig) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { r.Run(ctx) })
	r.stop = func() { cancel(); done.Wait() }
	t.Cleanup(r.stop)
}

// hook puts a script into the folder; OUT in it is the file r.out.
func (r *rig) hook(t *testing.T, name, script string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	script = "#!/bin/sh\n" + strings.ReplaceAll(script, "OUT", r.out) + "\n"
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// until waits for a condition that other processes bring about.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not so: " + what)
		}
	}
}

func (r *rig) ended() int64 {
	c := r.Counts()
	return c.OK + c.Failed + c.TimedOut
}

func (r *rig) told(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(r.out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func authenticated() agent.Event {
	key := cpns.SessionKey{}
	for i := range key {
		key[i] = byte(i) // zero and newline are in it
	}
	return agent.Event{Kind: agent.EventAuthenticated, Entity: "urn:dev:$(id)", User: "alice", Epoch: 4294967295, Index: 7, Length: 64, Link: "rs232", Session: &key}
}

const sessionHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

func TestEnvironment(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "99MiB")
	r := newRig(t, Config{SessionKey: true})
	r.hook(t, "10-env", `env | LC_ALL=C sort >OUT; cat >>OUT; pwd >>OUT`, 0o700)
	r.start(t)
	r.Observe(agent.Event{Kind: agent.EventAlarm, Entity: "urn:dev:$(id)", User: "alice", Epoch: 4294967295, Index: 7, Length: 64, Link: "rs232"})
	until(t, "the hook ended", func() bool { return r.ended() == 1 })
	want := "ACTION=alarm\nCPNS_USER=alice\nENTITY_ID=urn:dev:$(id)\nEPOCH=4294967295\nGATEWAY=gw-0001\nINDEX=7\nLENGTH=64\nLINK=rs232\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n/\n"
	got := strings.ReplaceAll(r.told(t), "PWD=/\n", "") // the shell's
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestSessionKey(t *testing.T) {
	tests := []struct {
		name    string
		allowed bool
		want    string
	}{
		{"allowed", true, sessionHex + " " + sessionHex + " "},
		{"not allowed", false, "none none "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, Config{SessionKey: tt.allowed})
			const script = `if [ -e /proc/self/fd/3 ]; then od -An -v -tx1 <&3 | tr -d ' \n' >>OUT; else printf none >>OUT; fi; printf ' ' >>OUT`
			r.hook(t, "10-first", script, 0o700)
			r.hook(t, "20-second", script, 0o700)
			e := authenticated()
			r.start(t)
			r.Observe(e)
			until(t, "both hooks ended", func() bool { return r.ended() == 2 })
			r.stop()
			if got := r.told(t); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if *e.Session != (cpns.SessionKey{}) {
				t.Error("the session key is not wiped")
			}
			if strings.Contains(r.log.String(), sessionHex) {
				t.Error("the session key is in the log")
			}
		})
	}
}

func TestOrder(t *testing.T) {
	r := newRig(t, Config{})
	for _, name := range []string{"20-b", "10-a", "9-c", "x_Y"} {
		r.hook(t, name, "echo "+name+" $ACTION >>OUT; exit 3", 0o755)
	}
	r.start(t)
	r.Observe(agent.Event{Kind: agent.EventAssigned})
	r.Observe(agent.Event{Kind: agent.EventDelivered})
	until(t, "all ended", func() bool { return r.ended() == 8 })
	want := "10-a assigned\n20-b assigned\n9-c assigned\nx_Y assigned\n10-a delivered\n20-b delivered\n9-c delivered\nx_Y delivered\n"
	if got := r.told(t); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if c := r.Counts(); c.Failed != 8 || !strings.Contains(r.log.String(), `reason="exit code 3"`) {
		t.Errorf("a failing hook is not told: %+v\n%s", c, r.log)
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t, Config{})
	const script = "echo $0 >>OUT"
	r.hook(t, "group", script, 0o720)
	r.hook(t, "world", script, 0o702)
	r.hook(t, "plain", script, 0o600)
	r.hook(t, "old.bak", script, 0o700)
	r.hook(t, "tilde~", script, 0o700)
	r.hook(t, "good", script, 0o700)
	if err := os.Symlink(filepath.Join(r.dir, "good"), filepath.Join(r.dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	refused := []string{"group", "world", "plain", "old.bak", "tilde~", "link", "folder"}
	r.start(t)
	for range 3 {
		r.Observe(agent.Event{Kind: agent.EventGone})
	}
	good := filepath.Join(r.dir, "good") + "\n"
	until(t, "the good one ran three times", func() bool { return r.told(t) == good+good+good })
	r.stop()
	for _, name := range refused {
		if n := strings.Count(r.log.String(), "hook="+filepath.Join(r.dir, name)+" "); n != 1 {
			t.Errorf("%s: refusal told %d times, want once:\n%s", name, n, r.log)
		}
	}
}

// TestForeignHook needs a second user to give a file to.
func TestForeignHook(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("has to run as root")
		}
		t.Skip("has to run as root")
	}
	r := newRig(t, Config{})
	r.hook(t, "alien", "echo ran >>OUT", 0o700)
	alien := filepath.Join(r.dir, "alien")
	if err := os.Chown(alien, 12345, 0); err != nil {
		t.Fatal(err)
	}
	if got := r.find(); got != nil || !strings.Contains(r.log.String(), "hook="+alien+" ") {
		t.Errorf("another user's hook: got %q, log:\n%s", got, r.log)
	}
}

func TestFolderRefused(t *testing.T) {
	r := newRig(t, Config{})
	r.hook(t, "good", "echo ran >>OUT", 0o700)
	if err := os.Chmod(r.dir, 0o775); err != nil {
		t.Fatal(err)
	}
	if got := r.find(); got != nil || !strings.Contains(r.log.String(), "its mode is 0775") {
		t.Errorf("a folder that a group may write to: got %q, log:\n%s", got, r.log)
	}
	if err := os.Chmod(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := r.find(); len(got) != 1 {
		t.Errorf("once it is mended: got %q, want one hook", got)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if got := r.find(); got != nil || strings.Count(r.log.String(), "\n") != 1 {
		t.Errorf("no folder: got %q, log:\n%s", got, r.log)
	}
}

// A hook that hangs is killed with all that it has started, and the next one
// runs.
func TestTimeout(t *testing.T) {
	r := newRig(t, Config{Timeout: 300 * time.Millisecond})
	r.hook(t, "10-hang", "trap '' TERM INT; sleep 1000 & echo $! $$ >OUT; sleep 1000", 0o700)
	r.hook(t, "20-next", "echo next", 0o700)
	r.start(t)
	r.Observe(agent.Event{Kind: agent.EventAssigned})
	until(t, "both ended", func() bool { return r.ended() == 2 })
	if c := r.Counts(); c.TimedOut != 1 || c.OK != 1 {
		t.Errorf("got %+v, want one killed and one that went well", c)
	}
	r.gone(t)
}

// gone checks that the processes that a hook has named are no more.
func (r *rig) gone(t *testing.T) {
	t.Helper()
	pids := strings.Fields(r.told(t))
	if len(pids) == 0 {
		t.Fatal("the hook has named no process")
	}
	for _, pid := range pids {
		until(t, "process "+pid+" is gone", func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || bytes.Contains(stat, []byte(") Z ")) // whose init is slow
		})
	}
}

// A hook that has left its process group, and so is not found by it, is killed all
// the same, and neither the next one nor the agent's end waits for it.
func TestLeavesItsGroup(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	const leave = "exec PERL -e 'setpgrp(0, getpgrp(getppid())) or die; open(F, q(>>OUT)); print F qq($$\n); close F; sleep 1000'"
	for _, end := range []string{"timeout", "stop"} {
		t.Run(end, func(t *testing.T) {
			c := Config{}
			if end == "timeout" {
				c.Timeout = 2 * time.Second
			}
			r := newRig(t, c)
			r.hook(t, "10-leave", strings.ReplaceAll(leave, "PERL", perl), 0o700)
			r.start(t)
			r.Observe(agent.Event{Kind: agent.EventAssigned})
			until(t, "it has left", func() bool { return r.told(t) != "" })
			if end == "stop" {
				r.stop()
			}
			until(t, "it ended", func() bool { return r.ended() == 1 })
			r.gone(t)
		})
	}
}

// TestWindowsLines: a script with CR LF is named for what it is, once.
func TestWindowsLines(t *testing.T) {
	r := newRig(t, Config{})
	for name, script := range map[string]string{"plain": "#!/bin/sh\r\necho $0\r\n", "option": "#!/bin/sh -e\r\necho $0\r\n"} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.find(); got != nil || strings.Count(r.log.String(), "CR LF") != 2 {
		t.Errorf("got %q, log:\n%s", got, r.log)
	}
}

// What a hook leaves in its process group ends with it; what has left the group
// is not waited for, even where it holds the output open.
func TestLeftBehind(t *testing.T) {
	r := newRig(t, Config{})
	r.hook(t, "hook", "sleep 1000 & echo $! >OUT; setsid sleep 5 & sleep 0.1", 0o700)
	r.start(t)
	begin := time.Now()
	r.Observe(agent.Event{Kind: agent.EventAssigned})
	until(t, "it ended", func() bool { return r.ended() == 1 })
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("waited %s for a process that has left", took)
	}
	r.gone(t)
}

func TestEndsWithContext(t *testing.T) {
	r := newRig(t, Config{SessionKey: true})
	r.hook(t, "hook", "echo $$ >OUT; sleep 1000", 0o700)
	first, second := authenticated(), authenticated()
	r.start(t)
	r.Observe(first)
	until(t, "it runs", func() bool { return r.told(t) != "" })
	r.Observe(second)
	r.stop()
	r.gone(t)
	if c := r.Counts(); c.Failed != 1 || c.Dropped != 1 || c.Waiting != 0 {
		t.Errorf("got %+v, want one failed and one dropped", c)
	}
	if *first.Session != (cpns.SessionKey{}) || *second.Session != (cpns.SessionKey{}) {
		t.Error("a session key is not wiped")
	}
}

func TestOutput(t *testing.T) {
	r := newRig(t, Config{})
	r.hook(t, "hook", `printf 'one\033[31m\ttwo\0\377\r\n'; printf '%0300d\n' 7; echo error >&2; printf last`, 0o700)
	r.start(t)
	r.Observe(agent.Event{Kind: agent.EventAssigned})
	until(t, "it ended", func() bool { return r.ended() == 1 })
	zeros := strings.Repeat("0", 256)
	for _, want := range []string{"text=\"one\uFFFD[31m two\uFFFD\uFFFD\"", "text=" + zeros + " ", "text=" + fmt.Sprintf("%044d", 7), "text=error", "text=last"} {
		if !strings.Contains(r.log.String()+" ", want) && !strings.Contains(strings.ReplaceAll(r.log.String(), "\n", " "), want) {
			t.Errorf("%q is not in the log:\n%s", want, r.log)
		}
	}
	if n := strings.Count(r.log.String(), "hook says"); n != 5 {
		t.Errorf("%d lines, want 5:\n%s", n, r.log)
	}
}

// A hook that never ends writing is cut off, by a broken pipe.
func TestFlood(t *testing.T) {
	r := newRig(t, Config{})
	r.hook(t, "10-flood", "exec yes", 0o700)
	r.hook(t, "20-line", "exec cat /dev/zero", 0o700)
	r.start(t)
	r.Observe(agent.Event{Kind: agent.EventAssigned})
	until(t, "both ended", func() bool { return r.ended() == 2 })
	if c := r.Counts(); c.Failed != 2 {
		t.Errorf("got %+v, want both cut off", c)
	}
	if n := strings.Count(r.log.String(), "\n"); n != 2*(maxLines+2) {
		t.Errorf("%d lines in the log, want %d", n, 2*(maxLines+2))
	}
	if n := len(r.log.String()); n > 2*maxLines*(4*maxLine+200) {
		t.Errorf("%d bytes in the log", n)
	}
}

// Observe never blocks. An alarm finds room where authentications do not.
func TestQueue(t *testing.T) {
	r := newRig(t, Config{SessionKey: true})
	var last agent.Event
	for range maxAuthentications + 10 {
		last = authenticated()
		r.Observe(last)
	}
	if c := r.Counts(); c.Waiting != maxAuthentications || c.Dropped != 10 {
		t.Errorf("got %+v, want %d waiting and 10 dropped", c, maxAuthentications)
	}
	if *last.Session != (cpns.SessionKey{}) {
		t.Error("the session key of an event that was dropped is not wiped")
	}
	for range maxWaiting {
		r.Observe(agent.Event{Kind: agent.EventAlarm})
	}
	if c := r.Counts(); c.Waiting != maxWaiting || c.Dropped != 10+maxAuthentications {
		t.Errorf("got %+v, want %d waiting and %d dropped", c, maxWaiting, 10+maxAuthentications)
	}
	r.start(t)
	until(t, "nothing waits", func() bool { return r.Counts().Waiting == 0 })
	r.stop()
	if !strings.Contains(r.log.String(), fmt.Sprintf("events=%d", 10+maxAuthentications)) {
		t.Errorf("what was dropped is not told:\n%s", r.log)
	}
}

// What cannot be started is told like what fails.
func TestNotStarted(t *testing.T) {
	r := newRig(t, Config{})
	if err := os.WriteFile(filepath.Join(r.dir, "hook"), []byte("#!/nowhere/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.Observe(agent.Event{Kind: agent.EventAssigned})
	until(t, "it failed", func() bool { return r.Counts().Failed == 1 })
	until(t, "the reason is told", func() bool {
		return strings.Contains(r.log.String(), "its interpreter /nowhere/sh is not here; in OpenWrt's jail")
	})
}
