//go:build linux

package openwrt

import (
	"bytes"
	"fmt"
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

// publisher is a device's own program: it publishes one reading by its key.
const publisher = `umask 077
read -r key <&3
config=$(mktemp -d /dev/shm/pne-XXXXXX)
printf -- '--psk %%s\n' "$key" >$config/mosquitto_pub
XDG_CONFIG_HOME=$config mosquitto_pub -h 127.0.0.1 -p %s --psk-identity "$PSK_IDENTITY" --tls-version tlsv1.3 -q 1 -t "devices/$PSK_IDENTITY/reading" -m 21.5
code=$?
rm -r "$config"
exit $code`

// TestApplicationInJail: a device gets its key through an agent in its jail, and
// publishes a reading over TLS with it, by mosquitto, which the init script's signals have
// reading its keys.
func TestApplicationInJail(t *testing.T) {
	n := newNetwork(t)
	sub := tool(t, "mosquitto_sub", "mosquitto-clients")
	r := newGateway(t, "rootfs-openwrt-mips")
	r.takeHome(n)
	r.write("etc/config/pngw", r.read("etc/config/pngw")+"\nconfig application 'mqtt'\n", 0o600)
	r.write("etc/group", r.read("etc/group")+"mosquitto:x:1883:\n", 0o644)
	apps := r.path("var/run/pngw-applications")
	check(t, os.MkdirAll(apps, 0o755))
	check(t, syscall.Mount("tmpfs", apps, "tmpfs", 0, "mode=0755"))
	t.Cleanup(func() { syscall.Unmount(apps, syscall.MNT_DETACH) })

	tells := r.starts()
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
	secure, plain := freeAddress(t), freeAddress(t)
	_, securePort, _ := net.SplitHostPort(secure)
	_, plainPort, _ := net.SplitHostPort(plain)
	conf := fmt.Sprintf(`user root
per_listener_settings true
listener %s 127.0.0.1
psk_file %s
psk_hint pngw
tls_version tlsv1.3
use_identity_as_username true
allow_anonymous false
acl_file %s/acl
listener %s 127.0.0.1
allow_anonymous true
`, securePort, file, n.dir, plainPort)
	check(t, os.WriteFile(n.dir+"/acl", []byte("pattern readwrite devices/%u/#\n"), 0o600))
	check(t, os.WriteFile(n.dir+"/secure.conf", []byte(conf), 0o600))
	program := "/usr/sbin/mosquitto"
	if _, err := os.Stat(program); err != nil {
		program = tool(t, "mosquitto", "mosquitto")
	}
	broker := exec.Command(program, "-c", n.dir+"/secure.conf")
	broker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(t, broker.Start())
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
	reader := exec.Command(sub, "-h", "127.0.0.1", "-p", plainPort, "-t", "devices/#", "-v", "-C", "1", "-W", "60")
	reader.Stdout = &reading
	check(t, reader.Start())

	check(t, os.WriteFile(filepath.Join(n.dir, "meter-1.tk"), []byte(strings.Repeat("5a5b", 16)+"\n"), 0o600))
	check(t, os.WriteFile(filepath.Join(n.dir, "tks.csv"), []byte("entity_id,tk\nmeter-1,"+strings.Repeat("5a5b", 16)+"\n"), 0o600))
	n.run("", "./cpns-server", "pne", "import", "--data", "server", "tks.csv")
	n.start("", "./pne", "--entity-id", "meter-1", "--tk-file", "meter-1.tk", "--state", "meter-1.state", "--hello-interval", "1s", "--mqtt", "mqtt://"+n.broker,
		"--exec", fmt.Sprintf(publisher, securePort))
	for _, command := range [][]string{{"provision", "--user", alice, "--password-file", "/etc/alice.pw", "meter-1"}, {"authenticate", "meter-1"}} {
		if out, err := r.command(nil, "/usr/bin/pngw", command...).CombinedOutput(); err != nil {
			t.Fatalf("pngw %s: %v\n%s\n%s", command[0], err, out, said())
		}
	}
	if err := reader.Wait(); err != nil || reading.String() != "devices/meter-1/reading 21.5\n" {
		t.Fatalf("the reading: %v %q\n%s", err, reading.String(), said())
	}
	info := must(os.Lstat(file))(t)
	if s := info.Sys().(*syscall.Stat_t); info.Mode() != 0o640 || s.Uid != agent || s.Gid != 1883 {
		t.Errorf("the file of keys: mode %v, owner %d:%d", info.Mode(), s.Uid, s.Gid)
	}
	if out, err := r.command(nil, "/usr/bin/pngw", "forget", "--yes", "meter-1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	until(t, "the key is gone", func() bool { return len(must(os.ReadFile(file))(t)) == 0 })
}
