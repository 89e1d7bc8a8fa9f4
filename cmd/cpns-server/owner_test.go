package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The service's user in these tests, and another one. Root is who runs them.
const (
	service  = 65534
	stranger = 65533
)

// needRoot also lets other users have the program, which testscript keeps to itself.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		path, err := exec.LookPath("cpns-server")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("has to run as root")
	}
	t.Skip("has to run as root")
}

// serverAs is a command line of cpns-server for a user.
func serverAs(uid uint32, args ...string) *exec.Cmd {
	cmd := exec.Command("cpns-server", args...)
	cmd.Dir = "/"
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	return cmd
}

// output runs a command and returns all that it printed; fails says how it has to end.
func output(t *testing.T, cmd *exec.Cmd, fails bool, in string) string {
	t.Helper()
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	if (err != nil) != fails {
		t.Fatalf("%v: %v, want an error: %v\n%s", cmd.Args, err, fails, out)
	}
	return string(out)
}

func wantSays(t *testing.T, out, text string) {
	t.Helper()
	if !strings.Contains(out, text) {
		t.Errorf("got %q, want it to say %q", out, text)
	}
}

// serviceFolder is a folder of the service's user that others can reach.
func serviceFolder(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	home := filepath.Join(base, "service")
	for _, err := range []error{
		os.Chmod(filepath.Dir(base), 0o755), os.Chmod(base, 0o755),
		os.Mkdir(home, 0o700), os.Chown(home, service, service),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// wantOwner checks whom everything below path belongs to.
func wantOwner(t *testing.T, path string, uid int) {
	t.Helper()
	err := filepath.Walk(path, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if o, err := ownerOf(path); err != nil || o.uid != uid || o.gid != uid {
			t.Errorf("%s belongs to %+v, %v, want %d", path, o, err, uid)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// Whatever root does in the folder of the service's user, the service can go on with
// it; root's own files are used with root's rights.
func TestRootActsAsOwner(t *testing.T) {
	needRoot(t)
	home, roots := serviceFolder(t), t.TempDir()
	data, psk := filepath.Join(home, "data"), filepath.Join(roots, "psk1")
	wantSays(t, output(t, serverAs(0, "init", "--data", data), false, ""), "which belongs to nobody")
	wantOwner(t, data, service)

	output(t, serverAs(0, "user", "add", "--password-file", "-", "--data", data, "alice"), false, "correct horse\n")
	output(t, serverAs(0, "user", "passwd", "--password-file", write(t, filepath.Join(roots, "password"), "battery staple\n", 0o600), "--data", data, "alice"), false, "")
	output(t, serverAs(0, "gateway", "add", "--data", data, "gw-1", "--psk-out", psk), false, "")
	wantOwner(t, psk, 0)
	output(t, serverAs(0, "gateway", "add", "--data", data, "gw-2", "--psk-in", write(t, filepath.Join(roots, "psk2"), strings.Repeat("a1", 32), 0o600)), false, "")
	output(t, serverAs(0, "gateway", "add", "--data", data, "gw-1", "--psk-out", psk+".again"), true, "")
	if _, err := os.Stat(psk + ".again"); err == nil {
		t.Error("the PSK1 of a gateway that was not added is still there")
	}
	output(t, serverAs(0, "pne", "import", "--data", data, write(t, filepath.Join(roots, "tks.csv"), "entity_id,tk\npne-1,00112233445566778899aabbccddeeff\n", 0o600)), false, "")
	output(t, serverAs(0, "pne", "set-tk", "--yes", "--data", data, "pne-1", "--tk-in", write(t, filepath.Join(roots, "tk"), "11112233445566778899aabbccddeeff", 0o600)), false, "")
	output(t, serverAs(0, "init", "--data", data, "--renew-cert"), false, "")
	other := filepath.Join(roots, "other")
	output(t, serverAs(0, "init", "--data", other), false, "")
	wantOwner(t, other, 0)
	output(t, serverAs(0, "init", "--data", data, "--renew-cert", "--cert", filepath.Join(other, "server.pem"), "--key", filepath.Join(other, "server.key")), false, "")
	wantSays(t, output(t, serverAs(0, "audit", "--data", data), false, ""), `gateway_added gateway=gw-1 from="operator root"`)
	wantOwner(t, data, service)

	// The service, and root beside it.
	out := whileServing(t, serverAs(service, "run", "--data", data, "--listen", "127.0.0.1:0"), func(*os.Process, string) {
		wantSays(t, output(t, serverAs(0, "user", "list", "--data", data), false, ""), "alice")
		wantOwner(t, data, service)
	})
	wantSays(t, out, "msg=stopped")

	// Root starts it: it becomes the service's user for good.
	whileServing(t, serverAs(0, "run", "--data", data, "--listen", "127.0.0.1:0"), func(p *os.Process, _ string) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t65534 \n", "CapPrm:\t0000000000000000\n"} {
			wantSays(t, string(status), want)
		}
		wantSays(t, output(t, serverAs(service, "user", "list", "--data", data), false, ""), "alice")
		wantOwner(t, data, service)
	})
	output(t, serverAs(service, "user", "list", "--data", data), false, "")
}

// whileServing runs a server, does something meanwhile, stops it, and returns what it
// logged.
func whileServing(t *testing.T, cmd *exec.Cmd, meanwhile func(p *os.Process, url string)) string {
	t.Helper()
	// Where it says that it listens.
	var log bytes.Buffer
	var said io.Reader
	var err error
	inLog := slices.Contains(cmd.Args, "json")
	if inLog {
		said, err = cmd.StderrPipe()
	} else {
		if cmd.Stderr == nil {
			cmd.Stderr = &log
		}
		said, err = cmd.StdoutPipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	url := ""
	for url == "" && lines.Scan() {
		if inLog {
			var entry struct{ Msg, URL string }
			if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
				t.Errorf("%s: %v", lines.Text(), err)
			}
			if entry.Msg == "listening on" {
				url = entry.URL
			}
			fmt.Fprintln(&log, lines.Text())
			continue
		}
		var listens bool
		if url, listens = strings.CutPrefix(lines.Text(), "listening on "); !listens {
			url = ""
			break
		}
	}
	if url == "" {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("it does not listen: %s", log.String())
	}
	meanwhile(cmd.Process, url)
	cmd.Process.Signal(syscall.SIGTERM)
	for inLog && lines.Scan() {
		fmt.Fprintln(&log, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, log.String())
	}
	return log.String()
}

// An empty folder that was made for the service's user stays theirs.
func TestRootFillsServiceFolder(t *testing.T) {
	needRoot(t)
	home := serviceFolder(t)
	output(t, serverAs(0, "init", "--data", home), false, "")
	wantOwner(t, home, service)
	output(t, serverAs(service, "user", "list", "--data", home), false, "")
	if names, err := filepath.Glob(home + ".init-*"); err != nil || names != nil {
		t.Errorf("left over: %v, %v", names, err)
	}
	// One that fails leaves nothing behind.
	empty := serviceFolder(t)
	write(t, filepath.Join(empty, "there"), "", 0o600)
	wantSays(t, output(t, serverAs(0, "init", "--data", empty), true, ""), "is not empty")
	// Two strangers cannot both own it.
	mixed := serviceFolder(t)
	inner := filepath.Join(mixed, "data")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(inner, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	wantSays(t, output(t, serverAs(0, "init", "--data", inner), true, ""), "give a folder that one of them owns alone")
}

// Somebody else is told whose folder it is, and of a file in it that is not the
// owner's.
func TestOtherOwners(t *testing.T) {
	needRoot(t)
	data := filepath.Join(serviceFolder(t), "data")
	output(t, serverAs(0, "init", "--data", data), false, "")
	if err := os.Chmod(filepath.Dir(data), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"user", "list"}, {"run", "--listen", "127.0.0.1:0"}, {"init", "--renew-cert"}, {"audit"}} {
		out := output(t, serverAs(stranger, append(args, "--data", data)...), true, "")
		wantSays(t, out, data+" belongs to nobody: run cpns-server as that user (sudo -u nobody) or as root")
	}
	if err := os.Chmod(filepath.Dir(data), 0o700); err != nil {
		t.Fatal(err)
	}
	wantSays(t, output(t, serverAs(stranger, "user", "list", "--data", data), true, ""), "permission denied")

	for _, file := range []string{"server.key", "cpns.db", "master.key"} {
		path := filepath.Join(data, file)
		if err := os.Chown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
		out := output(t, serverAs(service, "run", "--data", data, "--listen", "127.0.0.1:0"), true, "")
		wantSays(t, out, path+" belongs to root, and the folder to nobody: chown nobody "+path)
		if err := os.Chown(path, service, service); err != nil {
			t.Fatal(err)
		}
	}

	// One command for all of them, whichever it was that kept the service out.
	both := []string{filepath.Join(data, "ca.pem"), filepath.Join(data, "master.key")}
	for _, path := range both {
		if err := os.Chown(path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	out := output(t, serverAs(service, "run", "--data", data, "--listen", "127.0.0.1:0"), true, "")
	wantSays(t, out, "chown nobody "+both[0]+" "+both[1])
}

// A link that the service's user has put into the folder does not lead root to a file
// of root's.
func TestRootFollowsNoLinks(t *testing.T) {
	needRoot(t)
	roots := t.TempDir()
	for _, file := range []string{"cpns.db-wal", "cpns.db-shm", "server.key", "server.key.new", "server.pem.new", "ca.pem.new", "master.key"} {
		t.Run(file, func(t *testing.T) {
			data := filepath.Join(serviceFolder(t), "data")
			output(t, serverAs(0, "init", "--data", data), false, "")
			link := filepath.Join(data, file)
			// What would do in its place, so that nothing refuses it for what it holds.
			text, _ := os.ReadFile(link)
			victim := write(t, filepath.Join(roots, file), string(text), 0o400)
			if err := os.Chmod(victim, 0o440); err != nil {
				t.Fatal(err)
			}
			os.Remove(link)
			if err := os.Symlink(victim, link); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"user", "list"}, {"gateway", "add", "gw", "--psk-out", victim + ".psk"}, {"init", "--renew-cert"}} {
				serverAs(0, append(args, "--data", data)...).Run()
			}
			info, err := os.Stat(victim)
			if err != nil {
				t.Fatal(err)
			}
			now, err := os.ReadFile(victim)
			if o, _ := ownerOf(victim); err != nil || !bytes.Equal(now, text) || info.Mode().Perm() != 0o440 || o.uid != 0 {
				t.Errorf("root's file is now %q, mode %v, of %v, %v", now, info.Mode(), o, err)
			}
			if info, err := os.Lstat(link); err == nil && info.Mode().IsRegular() && file == "server.key" {
				t.Error("root's key was copied into the folder")
			}
		})
	}
}
