//go:build linux

package openwrt

import (
	"bytes"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// guide is what a page of docs has indented: from a line on that begins with first, up to
// one that is not indented. Comments at the ends of commands are left out.
func guide(t *testing.T, page, first string) []string {
	t.Helper()
	_, text, found := strings.Cut(string(must(os.ReadFile("../../docs/"+page))(t)), "\n    "+first)
	if !found {
		t.Fatalf("docs/%s has no %q", page, first)
	}
	var lines []string
	for line := range strings.Lines(first + text) {
		line = strings.TrimSuffix(line, "\n")
		if indented, is := strings.CutPrefix(line, "    "); is || line == "" {
			line = indented
		} else if len(lines) > 0 {
			break
		}
		lines = append(lines, line)
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// types types a line of a guide on the router.
func (r *router) types(line string) string {
	r.t.Helper()
	out, err := r.command(nil, "/bin/sh", "-euc", line).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// TestApplicationsGuide: docs/applications.md, from an empty router to a reading, each of
// its ten commands as it is typed, its configuration and its program as they stand there. A
// device gets its key through an agent in its jail, and publishes over TLS with it, by
// mosquitto, which the init script's signals have reading its keys.
func TestApplicationsGuide(t *testing.T) {
	n := newNetwork(t)
	sub := tool(t, "mosquitto_sub", "mosquitto-clients")
	r := newGateway(t, "rootfs-openwrt-mips")
	r.takeHome(n)
	commands := map[string]string{}
	for _, line := range guide(t, "applications.md", "opkg install mosquitto-ssl") {
		command, number, _ := strings.Cut(line, "  # ")
		number, _, _ = strings.Cut(strings.TrimSpace(number)+",", ",")
		number, _, _ = strings.Cut(number, ":")
		commands[number] = strings.TrimSpace(command)
	}
	if len(commands) != 10 {
		t.Fatalf("the guide has %d commands: %q", len(commands), commands)
	}
	secure, plain := freeAddress(t), freeAddress(t)
	_, securePort, _ := net.SplitHostPort(secure)
	_, plainPort, _ := net.SplitHostPort(plain)

	r.write("etc/group", r.read("etc/group")+"mosquitto:x:1883:\n", 0o644) // 1: opkg brings it
	check(t, os.MkdirAll(r.path("etc/mosquitto"), 0o755))
	apps := r.path("var/run/pngw-applications")
	check(t, os.MkdirAll(apps, 0o755))
	check(t, syscall.Mount("tmpfs", apps, "tmpfs", 0, "mode=0755"))
	t.Cleanup(func() { syscall.Unmount(apps, syscall.MNT_DETACH) })
	r.starts()
	r.types(commands["2"])
	r.types(commands["3"])
	r.types(commands["4"])
	tells := r.maybe("tmp/procd")
	for _, want := range []string{
		"add_jail_mount_rw|/var/run/pngw-applications/mqtt\n", "add_jail_mount_rw|/var/run/pngw-applications/mqtt.signal\n",
		"close_instance\nopen_instance\nset_param|command|/usr/libexec/pngw-signal|/var/run/pngw-applications/mqtt.signal|mosquitto\nset_param|respawn|3600|5|5\nclose_instance\n",
	} {
		if !strings.Contains(tells, want) {
			t.Errorf("procd was not told %q:\n%s", want, tells)
		}
	}
	agent := r.credential("pngw").Uid
	for name, want := range map[string]struct {
		mode     fs.FileMode
		uid, gid uint32
	}{
		"":             {0o755 | fs.ModeDir, 0, 0},
		"/mqtt":        {0o750 | fs.ModeDir | fs.ModeSetgid, agent, 1883},
		"/mqtt.signal": {0o620 | fs.ModeNamedPipe, 0, r.credential("pngw").Gid},
	} {
		info := must(os.Lstat(apps + name))(t)
		s := info.Sys().(*syscall.Stat_t)
		if info.Mode() != want.mode || s.Uid != want.uid || s.Gid != want.gid {
			t.Errorf("%s: mode %v, owner %d:%d, want %v", name, info.Mode(), s.Uid, s.Gid, want)
		}
	}
	said := r.jailed(tells)

	// What the init script runs beside it, as root. procd's answer is a stand-in: it
	// notes the signal that it would send, and the test sends it.
	signals := r.command(nil, "/usr/libexec/pngw-signal", "/var/run/pngw-applications/mqtt.signal", "mosquitto")
	check(t, signals.Start())
	t.Cleanup(func() { signals.Process.Kill(); signals.Wait() })
	file := apps + "/mqtt/psk"
	until(t, "the file of keys", func() bool { _, err := os.Stat(file); return err == nil })
	conf := strings.Join(guide(t, "applications.md", "per_listener_settings true"), "\n") // 5
	for is, here := range map[string]string{
		"listener 8883": "listener " + securePort + " 127.0.0.1", "listener 1883": "listener " + plainPort,
		"psk_file ": "psk_file " + r.root, "acl_file ": "acl_file " + r.root,
	} {
		if !strings.Contains(conf, is) {
			t.Fatalf("no %q in\n%s", is, conf)
		}
		conf = strings.Replace(conf, is, here, 1)
	}
	check(t, os.WriteFile(n.dir+"/secure.conf", []byte("user root\n"+conf+"\n"), 0o600))
	r.types(commands["6"])
	program := "/usr/sbin/mosquitto"
	if _, err := os.Stat(program); err != nil {
		program = tool(t, "mosquitto", "mosquitto")
	}
	broker := exec.Command(program, "-c", n.dir+"/secure.conf")
	broker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(t, broker.Start()) // 7
	t.Cleanup(func() { broker.Process.Kill(); broker.Wait() })
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for seen := 0; ; {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			if asked := strings.Count(r.maybe("tmp/signals"), `{"name":"mosquitto","signal":1}`); asked > seen {
				seen = asked
				broker.Process.Signal(syscall.SIGHUP)
			}
		}
	}()
	until(t, "the broker listens", func() bool {
		conn, err := net.Dial("tcp", plain)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	var reading bytes.Buffer
	reader := exec.Command("sh", "-euc", "exec "+strings.Replace(commands["10"], "mosquitto_sub ", sub+" -p "+plainPort+" -C 1 -W 60 ", 1))
	reader.Stdout = &reading
	check(t, reader.Start())

	check(t, os.WriteFile(filepath.Join(n.dir, "meter-0001.tk"), []byte(strings.Repeat("5a5b", 16)+"\n"), 0o600))
	check(t, os.WriteFile(filepath.Join(n.dir, "tks.csv"), []byte("entity_id,tk\nmeter-0001,"+strings.Repeat("5a5b", 16)+"\n"), 0o600))
	n.run("", "./cpns-server", "pne", "import", "--data", "server", "tks.csv")
	program = strings.Join(guide(t, "applications.md", "#!/bin/sh\n    umask 077"), "\n")
	const there = "-h 192.168.1.1 -p 8883"
	if !strings.Contains(program, there) {
		t.Fatalf("no %q in\n%s", there, program)
	}
	check(t, os.WriteFile(filepath.Join(n.dir, "publish"), []byte(strings.Replace(program, there, "-h 127.0.0.1 -p "+securePort, 1)+"\n"), 0o700))
	device := guide(t, "applications.md", "pne --entity-id meter-0001")[0]
	args := strings.Fields(strings.Replace(device, "--serial /dev/ttyUSB0", "--hello-interval 1s --mqtt mqtt://"+n.broker, 1))
	n.start("", "./"+args[0], args[1:]...)
	r.types(strings.Replace(commands["8"], "--user alice", "--user alice --password-file /etc/alice.pw", 1))
	r.types(commands["9"])
	if err := reader.Wait(); err != nil || reading.String() != "devices/meter-0001/reading 21.5\n" {
		t.Fatalf("the reading: %v %q\n%s", err, reading.String(), said())
	}
	info := must(os.Lstat(file))(t)
	if s := info.Sys().(*syscall.Stat_t); info.Mode() != 0o640 || s.Uid != agent || s.Gid != 1883 {
		t.Errorf("the file of keys: mode %v, owner %d:%d", info.Mode(), s.Uid, s.Gid)
	}
	if out, err := r.command(nil, "/usr/bin/pngw", "forget", "--yes", "meter-0001").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	until(t, "the key is gone", func() bool { return len(must(os.ReadFile(file))(t)) == 0 })
}
