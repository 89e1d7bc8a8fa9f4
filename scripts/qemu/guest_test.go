//go:build linux && qemu

package qemu

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. It only costs time
// where the test fails.
const patience = 2 * time.Minute

// A router is a board with what lasts while it has no power.
type router struct {
	board          *board
	kernel, initrd string
	flash          string // the file
}

func newRouter(t *testing.T, b *board, files map[string]string) *router {
	t.Helper()
	r := &router{board: b, flash: filepath.Join(t.TempDir(), "flash")}
	r.kernel, r.initrd = b.build(t, files)
	p := make([]byte, b.flash.size)
	if b.flash.blank != nil {
		b.flash.blank(p)
	}
	if err := os.WriteFile(r.flash, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// A guest is a router that has power.
type guest struct {
	t       *testing.T
	cmd     *exec.Cmd
	console io.Writer
	started time.Time
	log     string // the command that shows the agent's
	line    string // this machine's end of the second serial line
	ended   chan struct{}

	mu   sync.Mutex
	said bytes.Buffer // on the console
	read int          // up to where it was looked at
}

// boot gives the router power and returns once it takes commands. The test's
// end cuts the power.
func (r *router) boot(t *testing.T, args ...string) *guest {
	t.Helper()
	b := r.board
	// In a ramfs, programs take what they take; a tmpfs is half of the RAM at most.
	all := append([]string{
		"-kernel", r.kernel, "-initrd", r.initrd, "-append", b.append + " rootfstype=ramfs quiet panic=-1",
		"-display", "none", "-monitor", "none", "-no-reboot",
	}, b.args...)
	if b.dtb != "" {
		all = append(all, "-dtb", single(t, b.root(t)+"/usr/lib/linux-image-*/"+b.dtb))
	}
	all = append(append(append(all, b.serials...), b.flash.args(r.flash)...), args...)
	g := power(t, b.program, all)
	g.log = "cat /tmp/pngw.log"
	g.expect(regexp.MustCompile(`guest: up\r?\n`))
	g.findLine()
	return g
}

// power starts QEMU, with the guest's console at its standard input and output.
func power(t *testing.T, program string, args []string) *guest {
	t.Helper()
	g := &guest{t: t, cmd: exec.Command(program, args...), started: time.Now(), ended: make(chan struct{})}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := g.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	g.console = stdin
	g.cmd.Stdout, g.cmd.Stderr = g, g
	if err := g.cmd.Start(); err != nil {
		t.Fatalf("%v; see scripts/setup.sh", err)
	}
	go func() {
		g.cmd.Wait()
		close(g.ended)
	}()
	t.Cleanup(g.cut)
	return g
}

// findLine finds this machine's end of the second serial line in what QEMU has said.
func (g *guest) findLine() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := regexp.MustCompile(`redirected to (/dev/pts/\d+)`).FindStringSubmatch(g.said.String()); at != nil {
		g.line = at[1]
	}
}

// Write takes what the console says.
func (g *guest) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.said.Write(p)
}

// heard returns the console's words up to the end of the first match behind
// what was heard before, and its groups; "" while there is none.
func (g *guest) heard(re *regexp.Regexp) (text string, groups []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	rest := g.said.Bytes()[g.read:]
	at := re.FindSubmatchIndex(rest)
	if at == nil {
		return "", nil
	}
	for i := 2; i < len(at); i += 2 {
		groups = append(groups, string(rest[at[i]:at[i+1]]))
	}
	g.read += at[1]
	return strings.ReplaceAll(string(rest[:at[0]]), "\r", ""), append([]string{""}, groups...)
}

func (g *guest) expect(re *regexp.Regexp) (text string, groups []string) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		gone := g.gone()
		if text, groups := g.heard(re); groups != nil {
			return text, groups
		}
		if gone || time.Now().After(deadline) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.t.Fatalf("the guest (ended: %v) did not say %q in %v:\n%s", gone, re, time.Since(g.started), g.said.Bytes())
		}
	}
}

func (g *guest) gone() bool {
	select {
	case <-g.ended:
		return true
	default:
		return false
	}
}

// cut takes the power away.
func (g *guest) cut() {
	g.cmd.Process.Kill()
	<-g.ended
}

// off waits until the guest has switched itself off.
func (g *guest) off() {
	g.t.Helper()
	select {
	case <-g.ended:
	case <-time.After(patience):
		g.t.Fatalf("still on after %v", patience)
	}
}

var endedWith = regexp.MustCompile(`guest: ended with (\d+)\r?\n`)

// send types a line.
func (g *guest) send(format string, args ...any) {
	g.t.Helper()
	if _, err := fmt.Fprintf(g.console, format+"\n", args...); err != nil {
		g.t.Fatalf("typing: %v", err)
	}
}

// run types a line and returns what was printed, and the exit code.
func (g *guest) run(format string, args ...any) (string, int) {
	g.t.Helper()
	g.send(format, args...)
	text, groups := g.expect(endedWith)
	code, _ := strconv.Atoi(groups[1])
	if code == 137 {
		g.send("dmesg | grep -A 60 oom-killer")
		report, _ := g.expect(endedWith)
		g.t.Fatalf("%s: killed for want of memory:\n%s", fmt.Sprintf(format, args...), report)
	}
	return text, code
}

// sh types a line that must succeed.
func (g *guest) sh(format string, args ...any) string {
	g.t.Helper()
	return g.exits(0, format, args...)
}

func (g *guest) exits(want int, format string, args ...any) string {
	g.t.Helper()
	text, code := g.run(format, args...)
	if code != want {
		log, _ := g.run("%s", g.log)
		g.t.Fatalf("%s: exit code %d, want %d:\n%s\nthe agent's log:\n%s", fmt.Sprintf(format, args...), code, want, text, log)
	}
	return text
}

// until types a line again and again until it succeeds.
func (g *guest) until(format string, args ...any) string {
	g.t.Helper()
	line := fmt.Sprintf(format, args...)
	for deadline := time.Now().Add(patience); ; {
		text, code := g.run("%s", line)
		if code == 0 {
			return text
		}
		if time.Now().After(deadline) {
			log, _ := g.run("%s; pngw links; pngw list", g.log)
			g.t.Fatalf("%s: not in %v:\n%s\n%s", line, patience, text, log)
		}
		g.run("usleep 100000")
	}
}

// ready waits for the agent, which the router's init script has started.
func (g *guest) ready() {
	g.t.Helper()
	g.until("%s | grep msg=ready", g.log)
}

// setClock sets it as the router's NTP client does, and says so as that does.
func (g *guest) setClock() {
	g.t.Helper()
	g.sh("date -s @%d && SUBSYSTEM=ntp ACTION=stratum hotplug", time.Now().Unix())
}

// resident is the agent's memory in kB: now, what of that is its own and not pages of
// the program's file, and the most it ever was.
func (g *guest) resident() (now, own, most int) {
	g.t.Helper()
	kB := inKB(g.sh("grep -h -e VmRSS -e RssAnon -e VmHWM /proc/$(pidof pngw)/status"))
	return kB["VmRSS"], kB["RssAnon"], kB["VmHWM"]
}

// watched types a command and returns the last line that it prints, its memory's
// peak in kB, what it had of its own in the end, without the program's file, and its
// processor time. Looking costs processor time as well, so it is looked once a second.
func (g *guest) watched(format string, args ...any) (last string, most, own int, busy time.Duration) {
	g.t.Helper()
	text := g.sh("%s >/tmp/said & p=$!; while grep -e VmHWM -e RssAnon /proc/$p/status >/tmp/now && cat /proc/$p/stat >>/tmp/now; do cp /tmp/now /tmp/took; usleep 1000000; done; cat /tmp/took; wait $p; code=$?; tail -n 1 /tmp/said; (exit $code)",
		fmt.Sprintf(format, args...))
	kB := inKB(text)
	if kB["VmHWM"] == 0 || kB["RssAnon"] == 0 {
		g.t.Fatalf("no memory in:\n%s", text)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1], kB["VmHWM"], kB["RssAnon"], ofStat(g.t, text)
}

// A tick is what the kernel counts processor time in, for programs: USER_HZ.
const tick = time.Second / 100

// processor is the agent's processor time, its own and the kernel's for it.
func (g *guest) processor() time.Duration {
	g.t.Helper()
	return ofStat(g.t, g.sh("cat /proc/$(pidof pngw)/stat"))
}

// ofStat is a process's time by its /proc/PID/stat, which is the last line of text that
// has a name in brackets.
func ofStat(t *testing.T, text string) time.Duration {
	t.Helper()
	at := strings.LastIndex(text, ") ")
	if at >= 0 {
		if f := strings.Fields(text[at+2:]); len(f) > 12 { // from the third field on
			user, err1 := strconv.Atoi(f[11])
			system, err2 := strconv.Atoi(f[12])
			if err1 == nil && err2 == nil {
				return time.Duration(user+system) * tick
			}
		}
	}
	t.Fatalf("no processor time in:\n%s", text)
	return 0
}

// machine is the processor time of the whole guest, and how long it was idle.
func (g *guest) machine() (busy, idle time.Duration) {
	g.t.Helper()
	f := strings.Fields(g.sh("head -n 1 /proc/stat"))
	for i, s := range f[1:] {
		n, err := strconv.Atoi(s)
		if err != nil {
			g.t.Fatalf("in /proc/stat: %v", err)
		}
		if i == 3 || i == 4 { // idle, and waiting for a disk
			idle += time.Duration(n) * tick
		} else if i < 8 { // what guests of the guest took is in its own time
			busy += time.Duration(n) * tick
		}
	}
	return busy, idle
}

// yardstick is how long the guest's processor takes for SHA-256 over 4 MiB by busybox: what
// processor times of one run can be related to.
func (g *guest) yardstick() time.Duration {
	g.t.Helper()
	before, _ := g.machine()
	g.sh("dd if=/dev/zero bs=64k count=64 2>/dev/null | sha256sum")
	after, _ := g.machine()
	return after - before
}

// inKB takes lines of a /proc/PID/status apart.
func inKB(status string) map[string]int {
	kB := make(map[string]int)
	for _, line := range strings.Split(status, "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "kB" {
			kB[strings.TrimSuffix(f[0], ":")], _ = strconv.Atoi(f[1])
		}
	}
	return kB
}

// uptime is how long the kernel has been running.
func (g *guest) uptime() float64 {
	g.t.Helper()
	s, err := strconv.ParseFloat(strings.Fields(g.sh("cat /proc/uptime"))[0], 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}
