//go:build linux

package openwrt

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHooksInJail: the agent runs in a jail of exactly what the init script asks
// for; both of the hooks that docs/hooks.md shows work in there, and what they are
// not to reach is not there.
func TestHooksInJail(t *testing.T) {
	n := newNetwork(t, "meter-1")
	r := newGateway(t, "rootfs-openwrt-mips")
	r.takeHome(n)
	// The example is for an alarm; here the first delivery is one.
	r.hook("10-alarm", strings.Replace(example(t, "10-alarm"), "= alarm ]", "= delivered ]", 1))
	r.hook("20-bridge", example(t, "20-bridge"))
	r.hook("30-look", `#!/bin/sh
[ "$ACTION" = assigned ] || exit 0
exec >$(mktemp) 2>&1
id -un
grep -e NoNewPrivs -e CapEff -e CapBnd /proc/self/status
[ "$(cat /proc/1/comm)" = pngw ] && echo 'the agent is the first process'
echo x >/etc/pngw/of-the-hook && echo 'writes to /etc/pngw'
for path in /etc/shadow /root /rom /etc/config/network; do [ -e $path ] && echo "sees $path"; done
for path in /x /bin/x /etc/x /etc/config/pngw; do { echo x >>$path; } 2>/dev/null && echo "writes to $path"; done
setsid sleep 1 >/dev/null 2>&1 3<&- &
`)
	log := r.syslog()
	r.write("etc/shadow", "root:secret", 0o644)
	r.write("etc/config/network", "", 0o644)
	r.write("root/.profile", "", 0o644)
	r.jailed(r.starts())

	out, err := r.command(nil, "/usr/bin/pngw", "provision", "--user", alice, "--password-file", "/etc/alice.pw", "meter-1").CombinedOutput()
	if err != nil {
		t.Fatalf("pngw provision: %v\n%s", err, out)
	}
	if out, err := r.command(nil, "/usr/bin/pngw", "authenticate", "meter-1").CombinedOutput(); err != nil {
		t.Fatalf("pngw authenticate: %v\n%s", err, out)
	}

	select {
	case line := <-log:
		// daemon.alert, by whoever reads the log.
		if !regexp.MustCompile(`^<25>.*pngw: device meter-1 was rolled back or cloned`).MatchString(line) {
			t.Errorf("the log got %q", line)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the log got nothing")
	}

	sum := sha256.Sum256([]byte("meter-1"))
	name := "var/run/pngw/sessions/" + hex.EncodeToString(sum[:])
	r.soon(name)
	info := must(os.Stat(r.path(name)))(t)
	if st := info.Sys().(*syscall.Stat_t); info.Size() != 32 || info.Mode() != 0o600 || st.Uid != r.credential("pngw").Uid {
		t.Errorf("the session key's file: %d bytes, mode %v, user %d", info.Size(), info.Mode(), st.Uid)
	}

	r.soon("tmp/tmp.*")
	r.soon("etc/pngw/of-the-hook")
	want := "pngw\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nthe agent is the first process\nwrites to /etc/pngw\n"
	file := must(filepath.Glob(r.path("tmp/tmp.*")))(t)
	seen := func() string {
		text := string(must(os.ReadFile(file[0]))(t))
		return regexp.MustCompile(`CapBnd:.*\n`).ReplaceAllString(text, "")
	}
	until(t, "the hook has looked around", func() bool { return strings.Contains(seen(), "writes to") })
	time.Sleep(200 * time.Millisecond)
	if got := seen(); got != want {
		t.Errorf("the hook has seen\n%s\nwant\n%s", got, want)
	}

	// What a hook leaves is the first process's to take in, with the next hook.
	time.Sleep(time.Second)
	r.command(nil, "/usr/bin/pngw", "forget", "--yes", "meter-1").Run()
	until(t, "no process waits for its parent", func() bool {
		out, _ := exec.Command("sh", "-c", `ps -eo pid=,ppid=,stat=,args= | awk '
			{ parent[$1] = $2; state[$1] = $3; if ($4 == "/usr/bin/pngw" && $5 == "run") agent[$1] = 1 }
			END { for (p in state) if (state[p] ~ /^Z/ && parent[p] in agent) print p }'`).Output()
		return len(out) == 0
	})
}

// TestHooksAfterJail: hooks that come after the jail was made are told of what to do,
// and run once that is done.
func TestHooksAfterJail(t *testing.T) {
	n := newNetwork(t, "meter-1")
	r := newGateway(t, "rootfs-openwrt-mips")
	r.takeHome(n)
	said := r.jailed(r.starts())
	r.hook("10-alarm", "#!/bin/sh\necho hello\n")
	check(t, os.Chown(r.path("etc/pngw/hooks.d"), int(r.credential("pngw").Uid), 0))
	provision := r.command(nil, "/usr/bin/pngw", "provision", "--user", alice, "--password-file", "/etc/alice.pw", "meter-1")
	if out, err := provision.CombinedOutput(); err != nil {
		t.Fatalf("pngw provision: %v\n%s", err, out)
	}
	until(t, "the log says what is missing", func() bool {
		return strings.Contains(said(), "its interpreter /bin/sh is not here; in OpenWrt's jail it is once the service has been reloaded: service pngw reload")
	})
	says, tells, err := r.service("reload")
	if err != nil || r.did() != "restart" || !strings.Contains(tells, "add_jail_mount|/bin\n") {
		t.Errorf("reload: %v\n%s\ntells\n%s", err, says, tells)
	}
}

// jailed runs what procd was told in a jail until the test ends, and returns what it
// says. It is in a mount namespace of its own, for which a folder has to be a mount
// to become a root.
func (r *router) jailed(tells string) (said func() string) {
	r.t.Helper()
	args := []string{"-m", "/bin/sh", "-euc", `
		mount --make-rprivate /
		mount --rbind "$0" "$0"
		mount -t proc proc "$0/proc"
		exec chroot "$0" /sbin/ujail "$@"`, r.root}
	var env, command []string
	tells, _, _ = strings.Cut(tells, "close_instance") // the agent's is the first
	for line := range strings.Lines(tells) {
		call, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "|")
		f := strings.Split(rest, "|")
		switch {
		case call == "add_jail":
			// The board that /sys shows is the test's.
			option := map[string]string{"procfs": "-p", "sysfs": "-r /sys", "ronly": "-o", "log": "-l", "ubus": "-u"}[rest]
			args = append(args, strings.Fields(option)...)
		case call == "add_jail_mount":
			args = append(args, "-r", rest)
		case call == "add_jail_mount_rw":
			args = append(args, "-w", rest)
		case f[0] == "user":
			args = append(args, "-U", f[1])
		case f[0] == "group":
			args = append(args, "-G", f[1])
		case f[0] == "no_new_privs":
			args = append(args, "-c")
		case f[0] == "env":
			name, _, _ := strings.Cut(f[1], "=")
			args = append(args, "-e", name)
			env = append(env, f[1])
		case f[0] == "command":
			command = f[1:]
		}
	}
	args = append(append(append(args, "-n", "pngw", "-t", "10"), "--"), command...)
	file := must(os.CreateTemp(r.t.TempDir(), "said"))(r.t)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	cmd.Stdout, cmd.Stderr = file, file
	check(r.t, cmd.Start())
	said = func() string { return string(must(os.ReadFile(file.Name()))(r.t)) }
	ended := make(chan struct{})
	var err error
	go func() {
		err = cmd.Wait()
		close(ended)
	}()
	r.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			if err != nil {
				r.t.Errorf("the agent ended with %v", err)
			}
		case <-time.After(2 * time.Minute):
			r.t.Error("the agent does not end")
			cmd.Process.Kill()
			<-ended
		}
		if r.t.Failed() {
			r.t.Logf("in the jail it was said:\n%s", said())
		}
	})
	until(r.t, "the agent is ready, or has ended", func() bool {
		select {
		case <-ended:
			return true
		default:
			return strings.Contains(said(), "msg=ready")
		}
	})
	if !strings.Contains(said(), "msg=ready") {
		r.t.Fatal("the jail is not made, or the agent does not start")
	}
	return said
}

// network is what a gateway talks to: a CPNS Server, a broker, and devices there.
type network struct {
	t              *testing.T
	dir            string
	server, broker string
}

const alice, alicesPassword = "alice", "correct horse"

func newNetwork(t *testing.T, devices ...string) *network {
	t.Helper()
	needsRoot(t)
	n := &network{t: t, dir: t.TempDir()}
	build := exec.Command("go", "build", "-o", n.dir+"/", "./cmd/cpns-server", "./cmd/pne")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	csv := "entity_id,tk\n"
	for _, device := range devices {
		tk := make([]byte, 32)
		rand.Read(tk)
		check(t, os.WriteFile(filepath.Join(n.dir, device+".tk"), []byte(hex.EncodeToString(tk)+"\n"), 0o600))
		csv += device + "," + hex.EncodeToString(tk) + "\n"
	}
	check(t, os.WriteFile(filepath.Join(n.dir, "tks.csv"), []byte(csv), 0o600))
	n.run("", "./cpns-server", "init", "--data", "server", "--host", "127.0.0.1")
	n.run(alicesPassword+"\n", "./cpns-server", "user", "add", "--data", "server", "--password-file", "-", alice)
	n.run("", "./cpns-server", "gateway", "add", "--data", "server", "gw-0001", "--psk-out", "psk1")
	n.run("", "./cpns-server", "pne", "import", "--data", "server", "tks.csv")
	n.server, n.broker = freeAddress(t), freeAddress(t)
	n.start(n.server, "./cpns-server", "run", "--data", "server", "--listen", n.server)
	_, port, _ := net.SplitHostPort(n.broker)
	check(t, os.WriteFile(filepath.Join(n.dir, "mosquitto.conf"), []byte("listener "+port+" 127.0.0.1\nallow_anonymous true\nuser root\n"), 0o600))
	mosquitto := "/usr/sbin/mosquitto"
	if _, err := os.Stat(mosquitto); err != nil {
		mosquitto = tool(t, "mosquitto", "mosquitto")
	}
	n.start(n.broker, mosquitto, "-c", "mosquitto.conf")
	for _, device := range devices {
		n.start("", "./pne", "--entity-id", device, "--tk-file", device+".tk", "--state", device+".state", "--hello-interval", "1s", "--mqtt", "mqtt://"+n.broker)
	}
	return n
}

func freeAddress(t *testing.T) string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	return l.Addr().String()
}

func (n *network) run(input, program string, args ...string) {
	n.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdin = n.dir, strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

// start runs a program until the test ends; if it listens somewhere, it does so on
// return.
func (n *network) start(address, program string, args ...string) {
	n.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = n.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(n.t, cmd.Start())
	n.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if address != "" {
		until(n.t, program+" listens", func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
}

// takeHome brings the network's files to the router, and ujail.
func (r *router) takeHome(n *network) {
	r.t.Helper()
	r.write("etc/config/pngw", fmt.Sprintf(`
config service 'service'
	option enabled '1'

config gateway 'main'
	option id 'gw-0001'
	option server 'https://%s'
	option ca '/etc/pngw/ca.pem'
	option socket '/var/run/pngw/pngw.sock'
	option hook_session_key '1'

config link 'broker'
	option type 'mqtt'
	option url 'mqtt://%s'
`, n.server, n.broker), 0o600)
	r.write("etc/pngw/ca.pem", string(must(os.ReadFile(n.dir+"/server/ca.pem"))(r.t)), 0o644)
	r.write("etc/pngw/psk1", string(must(os.ReadFile(n.dir+"/psk1"))(r.t)), 0o600)
	r.write("etc/alice.pw", alicesPassword+"\n", 0o600)
	build := exec.Command("go", "build", "-o", r.path("sbin/ujail"), "./ujail")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		r.t.Fatalf("go build ./ujail: %v\n%s", err, out)
	}
}

// hook is brought by a person, as root.
func (r *router) hook(name, text string) {
	r.t.Helper()
	r.write("etc/pngw/hooks.d/"+name, text, 0o755)
}

// example is a hook as docs/hooks.md shows it.
func example(t *testing.T, name string) string {
	t.Helper()
	text := string(must(os.ReadFile("../../docs/hooks.md"))(t))
	m := regexp.MustCompile("(?s)```sh\n(#!/bin/sh\n# /etc/pngw/hooks.d/" + name + "\n.*?)```").FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("docs/hooks.md has no %s", name)
	}
	return m[1]
}

// syslog is the log daemon: what it gets.
func (r *router) syslog() <-chan string {
	r.t.Helper()
	path := r.path("dev/log")
	conn := must(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}))(r.t)
	check(r.t, os.Chmod(path, 0o666))
	r.t.Cleanup(func() { conn.Close() })
	got := make(chan string, 16)
	go func() {
		p := make([]byte, 4096)
		for {
			n, err := conn.Read(p)
			if err != nil {
				return
			}
			select {
			case got <- string(p[:n]):
			default:
			}
		}
	}()
	return got
}

// soon waits for a file.
func (r *router) soon(pattern string) {
	r.t.Helper()
	until(r.t, pattern+" is there", func() bool {
		found, err := filepath.Glob(r.path(pattern))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.t.Fatal(err)
		}
		return len(found) > 0
	})
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so in 30 s: %s", what)
		}
	}
}
