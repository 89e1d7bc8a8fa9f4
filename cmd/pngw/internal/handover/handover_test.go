package handover

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needsRoot: there is nobody to give anything to without.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("has to run as root")
	}
	t.Skip("has to run as root")
}

var agentUser = User{Name: "agent", UID: 43210, GID: 43211, Groups: []int{43211}}

// folder is one like /etc/pngw, in one like /etc, with files that root has brought.
func folder(t *testing.T, files ...string) (dir string) {
	t.Helper()
	needsRoot(t)
	if !linksGuarded() {
		t.Fatal("fs.protected_hardlinks is not 1 here: sysctl fs.protected_hardlinks=1")
	}
	dir = filepath.Join(t.TempDir(), "pngw")
	for _, name := range files {
		write(t, filepath.Join(dir, name), 0o644)
	}
	return dir
}

func write(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte("secret"), mode))
	check(t, os.Chmod(path, mode))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// of says whose a file is and its mode.
func of(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	check(t, err)
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d %v", st.Uid, st.Gid, info.Mode())
}

func TestGive(t *testing.T) {
	dir := folder(t, "psk1", "tls/ca.pem")
	check(t, os.Chmod(filepath.Join(dir, "psk1"), 0o4755|fs.ModeSetuid))
	left, err := Give(dir, agentUser)
	if err != nil || left != nil {
		t.Fatalf("%q, %v", left, err)
	}
	for name, want := range map[string]string{
		"": "43210:43211 drwx------", "tls": "43210:43211 drwx------",
		"tls/ca.pem": "43210:43211 -rw-------", "psk1": "43210:43211 -rwx------",
	} {
		if got := of(t, filepath.Join(dir, name)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// TestGiveMakes: the folder itself is made, and what is right is not touched again.
func TestGiveMakes(t *testing.T) {
	dir := folder(t)
	for range 2 {
		_, err := Give(dir, agentUser)
		check(t, err)
		if got := of(t, dir); got != "43210:43211 drwx------" {
			t.Errorf("got %s", got)
		}
		check(t, os.Chtimes(dir, time.Unix(1, 0), time.Unix(1, 0)))
	}
	changed := func() time.Time {
		info, err := os.Stat(dir)
		check(t, err)
		return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
	}
	before := changed()
	time.Sleep(20 * time.Millisecond)
	_, err := Give(dir, agentUser)
	check(t, err)
	if after := changed(); after != before {
		t.Error("the folder was written to, although nothing was to be done")
	}
}

// TestGiveLeaves: nothing is given through what the user can make in its folder.
func TestGiveLeaves(t *testing.T) {
	dir := folder(t, "psk1")
	out := filepath.Dir(dir)
	write(t, out+"/etc/shadow", 0o600)
	check(t, os.Link(out+"/etc/shadow", dir+"/hard")) // as where links are not guarded
	check(t, os.Symlink(out+"/etc/shadow", dir+"/soft"))
	check(t, os.Symlink(out+"/etc", dir+"/folder"))
	check(t, syscall.Mkfifo(dir+"/fifo", 0o666))
	check(t, os.Chown(dir+"/fifo", int(agentUser.UID), int(agentUser.GID)))
	left, err := Give(dir, agentUser)
	check(t, err)
	text := strings.Join(left, "\n")
	if !strings.Contains(text, dir+"/hard is left as it is: it has a second name") {
		t.Errorf("left: %q", left)
	}
	if strings.Contains(text, "fifo") {
		t.Errorf("the user's own FIFO is complained of: %q", left)
	}
	for _, path := range []string{out + "/etc", out + "/etc/shadow"} {
		if got := of(t, path); strings.Contains(got, "4321") {
			t.Errorf("%s was given away: %s", path, got)
		}
	}
	if got := of(t, dir+"/psk1"); got != "43210:43211 -rw-------" {
		t.Errorf("psk1: %s", got)
	}
}

// TestGiveRefuses: a folder that another than root may exchange, or that is none.
func TestGiveRefuses(t *testing.T) {
	dir := folder(t)
	parent := filepath.Dir(dir)
	write(t, parent+"/etc/shadow", 0o600)
	check(t, os.Symlink(parent+"/etc", dir))
	if _, err := Give(dir, agentUser); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("a link: %v", err)
	}
	check(t, os.Remove(dir))
	check(t, os.Chmod(parent, 0o777))
	if _, err := Give(dir, agentUser); err == nil || !strings.Contains(err.Error(), "not for root alone") {
		t.Errorf("a folder above that all may write to: %v", err)
	}
}

// TestAttack plays the agent's user, who exchanges a folder and a file of its own
// for links to root's while they are given, again and again.
func TestAttack(t *testing.T) {
	dir := folder(t)
	out := filepath.Dir(dir)
	_, err := Give(dir, agentUser)
	check(t, err)
	write(t, out+"/etc/shadow", 0o644)
	write(t, out+"/etc/passwd", 0o644)
	wantFolder, wantFile := of(t, out+"/etc"), of(t, out+"/etc/shadow")

	var swaps atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		attack(dir, out+"/etc", stop, &swaps)
	}()
	defer func() { <-stopped }()
	defer close(stop)
	rounds := 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); rounds++ {
		// Something of root's, so that there is always something to give.
		if f, err := os.OpenFile(dir+"/own/brought", os.O_CREATE|os.O_WRONLY|os.O_EXCL|unix.O_NOFOLLOW, 0o644); err == nil {
			f.Close()
		}
		if _, err := Give(dir, agentUser); err != nil {
			t.Fatal(err)
		}
		if got := of(t, out+"/etc"); got != wantFolder {
			t.Fatalf("round %d: the attacker has got the folder: %s, was %s", rounds, got, wantFolder)
		}
		for _, name := range []string{"shadow", "passwd"} {
			if got := of(t, out+"/etc/"+name); got != wantFile {
				t.Fatalf("round %d: the attacker has got %s: %s, was %s", rounds, name, got, wantFile)
			}
		}
		os.Remove(out + "/etc/brought") // a test's own mistake, by way of the link
	}
	t.Logf("%d rounds, %d exchanges", rounds, swaps.Load())
	if rounds < 20 || swaps.Load() < 100 {
		t.Error("too few to mean anything")
	}
}

// attack exchanges DIR/own, a folder with a file shadow in it, for a link to
// another folder that has such a file, and DIR/file for a link to that.
func attack(dir, victim string, stop <-chan struct{}, swaps *atomic.Int64) {
	own, link, file := dir+"/own", dir+"/link", dir+"/passwd"
	for {
		select {
		case <-stop:
			return
		default:
		}
		os.Mkdir(own, 0o755)
		os.WriteFile(own+"/shadow", nil, 0o644)
		os.WriteFile(file, nil, 0o644)
		os.Symlink(victim, link)
		if unix.Renameat2(unix.AT_FDCWD, own, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE) == nil {
			swaps.Add(1)
		}
		os.Remove(file)
		os.Symlink(victim+"/passwd", file)
		unix.Renameat2(unix.AT_FDCWD, own, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
		os.Remove(file)
	}
}

func TestLookup(t *testing.T) {
	u, err := Lookup("root")
	if err != nil || u.UID != 0 || u.GID != 0 || len(u.Groups) == 0 {
		t.Errorf("root: %+v, %v", u, err)
	}
	if _, err := Lookup("no-such-user"); err == nil || err.Error() != `looking for user "no-such-user": no such user` {
		t.Errorf("got %v", err)
	}
}
