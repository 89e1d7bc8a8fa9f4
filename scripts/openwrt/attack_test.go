//go:build linux

package openwrt

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAgentsUserAttacks plays the agent's user, who exchanges what is in its folders
// for links to root's files while root starts and reloads the service. Nothing of
// root's is given away, opened, or waited for.
func TestAgentsUserAttacks(t *testing.T) {
	needsRoot(t)
	r := newGateway(t, "rootfs-openwrt-mips")
	r.starts()
	r.write("etc/shadow", "root:secret", 0o600)
	r.write("etc/dropbear/authorized_keys", "ssh-ed25519 …", 0o644)
	victims := []string{"etc/shadow", "etc/dropbear", "etc/dropbear/authorized_keys", "etc/passwd", "etc"}
	before := map[string]string{}
	for _, name := range victims {
		before[name] = r.whose(name)
	}

	who := r.credential("pngw")
	check(t, os.MkdirAll(r.path("etc/pngw/dropbear"), 0o755))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			// By root, as whom the test runs, but only what the user may, too.
			for name, target := range map[string]string{"etc/pngw/dropbear": "/etc/dropbear", "etc/pngw/psk2": "/etc/shadow", "var/run/pngw/init.pid": "/etc/shadow"} {
				path := r.path(name)
				os.RemoveAll(path)
				switch i % 3 {
				case 0:
					os.MkdirAll(path, 0o755)
					os.WriteFile(path+"/authorized_keys", nil, 0o644)
				case 1:
					os.Symlink(target, path)
				case 2:
					syscall.Mkfifo(path, 0o666)
				}
				if i%3 != 1 {
					os.Lchown(path, int(who.Uid), int(who.Gid))
				}
			}
		}
	}()
	rounds := 0
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); rounds++ {
		for _, action := range []string{"reload", "restart"} {
			begin := time.Now()
			r.service(action)
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("%s was held up for %s", action, took)
			}
		}
		for _, name := range victims {
			if got := r.whose(name); got != before[name] {
				t.Fatalf("round %d: %s was %s and is %s", rounds, name, before[name], got)
			}
		}
	}
	close(stop)
	<-stopped
	if rounds < 2 {
		t.Errorf("only %d rounds", rounds)
	}
}

// whose says who has a file, and with which mode.
func (r *router) whose(name string) string {
	r.t.Helper()
	var st unix.Stat_t
	check(r.t, unix.Lstat(r.path(name), &st))
	return fmt.Sprintf("%d:%d %o", st.Uid, st.Gid, st.Mode)
}

// TestNothingByPath: the package's scripts, which root runs, name nothing within the
// folders that the agent may write to.
func TestNothingByPath(t *testing.T) {
	data := packages(t).ipk.data
	scripts := map[string]string{}
	for name, f := range data {
		if strings.HasPrefix(f.content, "#!") {
			scripts[name] = f.content
		}
	}
	for name, text := range packages(t).ipk.control {
		if strings.HasPrefix(text, "#!") {
			scripts[name] = text
		}
	}
	scripts[".post-upgrade"] = packages(t).apk.control[".post-upgrade"]
	if len(scripts) < 9 {
		t.Fatalf("only %d scripts", len(scripts))
	}
	for name, text := range scripts {
		for i, line := range strings.Split(text, "\n") {
			line, _, _ = strings.Cut(line, "# ")
			for _, within := range []string{`"$STATE"/`, `$STATE/`, "/etc/pngw/", `"$RUN"/`, `$RUN/`, "/var/run/pngw/", "config_load", "start-stop-daemon"} {
				if strings.Contains(line, within) {
					t.Errorf("%s:%d: %s", name, i+1, line)
				}
			}
		}
	}
}
