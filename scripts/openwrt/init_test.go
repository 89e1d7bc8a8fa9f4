//go:build linux

package openwrt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// configured is a configuration that starts. Nobody listens at the server: the
// agent serves without.
const configured = `
config service 'service'
	option enabled '1'
	option gomemlimit '12MiB'
	option gogc '50'
	option gomaxprocs '1'

config gateway 'main'
	option id 'gw-0001'
	option server 'https://127.0.0.1:9'
	option socket '/var/run/pngw/pngw.sock'

config link 'rs232'
	option type 'serial'
	option device '/dev/serial/by-id/usb-meter'

config link 'gone'
	option type 'serial'
	option device '/dev/ttyUSB7'

config link 'broker'
	option type 'mqtt'
	option url 'mqtts://127.0.0.1:9'
	option ca '/etc/ssl/broker.pem'
`

// newGateway is a router on which everything has been set up.
func newGateway(t *testing.T, model string) *router {
	t.Helper()
	r := newRouter(t, model)
	r.install()
	r.configure(configured)
	return r
}

// configure does what a person does as root.
func (r *router) configure(text string) {
	r.t.Helper()
	r.write("etc/config/pngw", text, 0o600) // as uci commit leaves it
	r.write("etc/pngw/psk1", strings.Repeat("5a", 32)+"\n", 0o600)
	r.write("etc/ssl/broker.pem", certificate(r.t), 0o644)
	r.write("dev/ttyUSB0", "", 0o660)
	check(r.t, os.MkdirAll(r.path("dev/serial/by-id"), 0o755))
	os.Symlink("../../ttyUSB0", r.path("dev/serial/by-id/usb-meter"))
}

// TestAsInstalled: the configuration that the package brings starts nothing,
// and says what to do.
func TestAsInstalled(t *testing.T) {
	r := newRouter(t, "rootfs-openwrt-mips")
	r.install()
	says, tells, err := r.service("start")
	if err != nil || !strings.Contains(says, "pngw.service.enabled=1") {
		t.Errorf("start: %v, says %q", err, says)
	}
	if strings.Contains(tells, "open_instance") {
		t.Errorf("procd was told to start it:\n%s", tells)
	}
	if _, _, err := r.service("enabled"); err != nil {
		t.Error("not enabled at boot")
	}

	// Enabled as it is, it starts, and waits to be told whose gateway this is.
	r.write("etc/config/pngw", strings.Replace(r.read("etc/config/pngw"), "enabled '0'", "enabled '1'", 1), 0o600)
	says, tells, err = r.service("start")
	if err != nil || !strings.Contains(tells, "open_instance") {
		t.Errorf("start: %v, says %q, tells\n%s", err, says, tells)
	}
}

// TestInit: what procd is told, whole.
func TestInit(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.write("sbin/ujail", "", 0o755)
	tells := r.starts()
	want := `open_instance
set_param|command|/usr/bin/pngw|run|--config|/etc/config/pngw|--supervised
set_param|file|/etc/config/pngw
set_param|stdout|1
set_param|stderr|1
set_param|term_timeout|10
set_param|respawn|3600|5|5
set_param|user|pngw
set_param|group|pngw
set_param|capabilities|/etc/capabilities/pngw.json
set_param|no_new_privs|1
add_jail|pngw
add_jail|procfs
add_jail|sysfs
add_jail|ronly
add_jail_mount|/etc/config/pngw
add_jail_mount|/etc/passwd
add_jail_mount|/etc/group
add_jail_mount|/etc/hosts
add_jail_mount|/etc/resolv.conf
add_jail_mount|/etc/ssl/certs
add_jail_mount|/tmp/sysinfo
add_jail_mount_rw|/etc/pngw
add_jail_mount_rw|/var/run/pngw
append_param|file|/etc/hosts|/etc/resolv.conf
append_param|env|GOMEMLIMIT=12MiB
append_param|env|GOGC=50
append_param|env|GOMAXPROCS=1
add_jail_mount_rw|/dev/ttyUSB0
add_jail_mount|/dev/serial
append_param|file|/etc/ssl/broker.pem
add_jail_mount|/etc/ssl/broker.pem
close_instance
add_reload_trigger|pngw
add_raw_trigger|interface.update|5000|/usr/libexec/pngw-again|network
add_raw_trigger|config.change|5000|/usr/libexec/pngw-again|network
`
	if tells != want {
		t.Errorf("procd was told\n%s\nwant\n%s", tells, want)
	}
	who := r.credential("pngw")
	for name, mode := range map[string]fs.FileMode{
		"etc/pngw": 0o700 | fs.ModeDir, "etc/pngw/psk1": 0o600, "etc/pngw/root.key": 0o400,
		"etc/pngw/root.key.board": 0o400, "etc/pngw/keys": 0o700 | fs.ModeDir, "var/run/pngw": 0o750 | fs.ModeDir,
	} {
		info := must(os.Lstat(r.path(name)))(t)
		if owner := info.Sys().(*syscall.Stat_t).Uid; asRoot && owner != who.Uid || info.Mode() != mode {
			t.Errorf("%s: owner %d, mode %v, want %d, %v", name, owner, info.Mode(), who.Uid, mode)
		}
	}
	info := must(os.Lstat(r.path("etc/config/pngw")))(t)
	if st := info.Sys().(*syscall.Stat_t); asRoot && (st.Uid != 0 || st.Gid != who.Gid) || info.Mode() != 0o640 {
		t.Errorf("etc/config/pngw: owner %d, group %d, mode %v", st.Uid, st.Gid, info.Mode())
	}
}

// TestInitRuns: what procd is told to run does run, as the user that it is told,
// and serves the command line.
func TestInitRuns(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	if says, _, err := r.service("start"); err != nil {
		t.Fatalf("start: %v\n%s", err, says)
	}
	stop := r.runInstance()
	out, err := r.command(nil, "/usr/bin/pngw", "status").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "gw-0001") {
		t.Errorf("pngw status: %v\n%s", err, out)
	}
	// While it runs, reload finds the configuration in order.
	if says, tells, err := r.service("reload"); err != nil || !strings.Contains(tells, "open_instance") {
		t.Errorf("reload: %v\n%s", err, says)
	}
	stop()
}

// TestBadConfiguration: the line is named, procd starts nothing, and an agent
// that runs is left alone.
func TestBadConfiguration(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"option", "option server", "option servr", `/etc/config/pngw:10: section gateway 'main' has no option "servr"`},
		{"value", "https://127.0.0.1:9", "http://127.0.0.1:9", "/etc/config/pngw:10: option server: "},
		{"service", "12MiB", "12M", "/etc/config/pngw:4: option gomemlimit: "},
		{"quote", "'gw-0001'", "'gw-0001", "/etc/config/pngw:"},
		{"usb without usb", "option type 'serial'\n\toption device '/dev/ttyUSB7'", "option type 'usb'",
			"/etc/config/pngw:17: USB link gone: this build has no USB support"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newGateway(t, "rootfs-openwrt-mips")
			r.configure(strings.Replace(configured, tt.old, tt.new, 1))
			says, tells, err := r.service("start")
			if err == nil || !strings.Contains(says, tt.want) || strings.Contains(tells, "open_instance") {
				t.Errorf("start: %v, says\n%sand tells procd\n%s", err, says, tells)
			}
			if !strings.Contains(tells, "add_reload_trigger|pngw") {
				t.Errorf("start leaves no trigger for the configuration's repair:\n%s", tells)
			}
			r.configure(configured)
			r.event("config.change", "pngw")
			if did := r.did(); did != "start" {
				t.Errorf("once it was mended, procd did %q", did)
			}

			before := r.read("tmp/procd")
			r.configure(strings.Replace(configured, tt.old, tt.new, 1))
			for _, action := range []string{"reload", "start", "restart"} {
				says, tells, err := r.service(action)
				if err == nil || !strings.Contains(says, tt.want) {
					t.Errorf("%s: %v, says\n%swant\n%s", action, err, says, tt.want)
				}
				if did := r.did(); tells != before || did != "" {
					t.Errorf("%s: procd did %q and was told\n%s", action, did, tells)
				}
			}

			// By hand it does not start either.
			out, err := r.command(r.credential("pngw"), "/usr/bin/pngw", "run").CombinedOutput()
			if e := new(exec.ExitError); !errors.As(err, &e) || e.ExitCode() != 2 || !strings.Contains(string(out), tt.want) {
				t.Errorf("pngw run: %v, says\n%swant\n%s", err, out, tt.want)
			}
		})
	}
}

// TestMissing: what a person has yet to bring is named, nothing is started without
// it, and an agent that runs goes on.
func TestMissing(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	ca := r.read("etc/ssl/broker.pem")
	check(t, os.Remove(r.path("etc/ssl/broker.pem")))
	says, tells, err := r.service("start")
	if err == nil || strings.Contains(tells, "open_instance") || !strings.Contains(says, "/etc/ssl/broker.pem") ||
		!strings.Contains(says, "not started: bring what is missing, then: service pngw reload") {
		t.Errorf("start: %v, says\n%sand tells procd\n%s", err, says, tells)
	}
	r.write("etc/ssl/broker.pem", ca, 0o644) // as somebody copies it
	if says, _, err := r.service("reload"); err != nil || r.did() != "start" {
		t.Errorf("once it is there, reload: %v\n%s", err, says)
	}
	check(t, os.Remove(r.path("etc/ssl/broker.pem")))
	for _, action := range []string{"reload", "restart", "start"} {
		says, _, err := r.service(action)
		if did := r.did(); err == nil || did != "" || action != "start" && !strings.Contains(says, "an agent that runs goes on as it is") {
			t.Errorf("with an agent that runs, %s: %v, procd did %q\n%s", action, err, did, says)
		}
	}
}

func TestNoConfiguration(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	check(t, os.Remove(r.path("etc/config/pngw")))
	says, tells, _ := r.service("start")
	if !strings.Contains(says, "/etc/config/pngw: no such file or directory: write it") || strings.Contains(tells, "open_instance") {
		t.Errorf("start says %q and tells procd\n%s", says, tells)
	}
}

// runInstance runs what procd was told last, until the function is called that
// it returns.
func (r *router) runInstance() (stop func()) {
	r.t.Helper()
	var argv, env []string
	user := "root"
	for line := range strings.Lines(r.read("tmp/procd")) {
		f := strings.Split(strings.TrimSpace(line), "|")
		switch {
		case len(f) < 3:
		case f[1] == "command":
			argv = f[2:]
		case f[1] == "env":
			env = append(env, strings.Join(f[2:], "|"))
		case f[1] == "user":
			user = f[2]
		}
	}
	if len(argv) == 0 {
		r.t.Fatalf("procd was told to start nothing:\n%s", r.read("tmp/procd"))
	}
	cmd := r.command(r.credential(user), argv[0], argv[1:]...)
	cmd.Env = append(cmd.Env, env...)
	log := must(cmd.StdoutPipe())(r.t)
	cmd.Stderr = cmd.Stdout // of one kind for this test
	check(r.t, cmd.Start())
	ready, ended := make(chan string), make(chan error, 1)
	go watch(cmd, log, ready, ended)
	stop = func() {
		r.t.Helper()
		cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			r.t.Errorf("pngw run ended with %v", err)
		}
	}
	select {
	case said := <-ready:
		if !strings.Contains(said, "msg=ready") {
			r.t.Fatalf("pngw run: %v\n%s", <-ended, said)
		}
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		r.t.Fatalf("pngw run does not become ready: %v", <-ended)
	}
	return stop
}

// watch sends all that was logged up to "ready", or to the end.
func watch(cmd *exec.Cmd, log io.Reader, ready chan<- string, ended chan<- error) {
	var said strings.Builder
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if strings.Contains(lines.Text(), "msg=ready") {
			break
		}
	}
	ready <- said.String()
	io.Copy(io.Discard, log)
	ended <- cmd.Wait()
}

// TestInitSIM: the jail has the modem's line, or the program that asks the SIM with what
// such programs ask.
func TestInitSIM(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.write("sbin/ujail", "", 0o755)
	r.write("dev/ttyUSB2", "", 0o660)
	r.write("usr/libexec/sim", "#!/bin/sh\n", 0o755)
	r.write("dev/cdc-wdm0", "", 0o660)
	const gba = "config gateway 'main'\n\toption psk_source 'gba'\n\toption gba_ua '0300000001'\n\toption sim '"
	for sim, want := range map[string][]string{
		"at:/dev/ttyUSB2":       {"add_jail_mount_rw|/dev/ttyUSB2\n"},
		"exec:/usr/libexec/sim": {"add_jail_mount|/usr/libexec/sim\n", "add_jail_mount_rw|/dev/cdc-wdm0\n", "add_jail_mount|/bin\n"},
	} {
		r.configure(strings.Replace(configured, "config gateway 'main'\n", gba+sim+"'\n", 1))
		tells := r.starts()
		for _, line := range want {
			if !strings.Contains(tells, line) {
				t.Errorf("%s: procd was told\n%s\nwithout %s", sim, tells, line)
			}
		}
		if strings.HasPrefix(sim, "at:") && strings.Contains(tells, "add_jail_mount|/bin") {
			t.Errorf("%s: the jail has programs:\n%s", sim, tells)
		}
	}
}
