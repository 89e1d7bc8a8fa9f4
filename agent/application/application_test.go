package application

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "pngw-test-")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func keeper(t *testing.T, c Config, known ...agent.PNE) *Keeper {
	t.Helper()
	c.Name, c.Label, c.Log = "mqtt", cpns.ApplicationTLS13, slog.New(slog.DiscardHandler)
	k, err := New(c, known)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func authenticated(e cpns.EntityID, b byte) agent.Event {
	return agent.Event{Kind: agent.EventAuthenticated, Entity: e, Session: &cpns.SessionKey{b}}
}

func line(e cpns.EntityID, b byte) string {
	id, _ := cpns.ApplicationIdentity(e)
	key := cpns.DeriveApplicationKey(&cpns.SessionKey{b}, cpns.ApplicationTLS13)
	return id + ":" + hex.EncodeToString(key[:]) + "\n"
}

func file(t *testing.T, k *Keeper) string {
	t.Helper()
	if err := k.write(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(k.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each event that ends a session ends the key; a device whose identity is too long has none.
func TestKeysEnd(t *testing.T) {
	for _, kind := range []agent.EventKind{agent.EventDelivered, agent.EventAlarm, agent.EventGone} {
		k := keeper(t, Config{Path: memory(t) + "/psk"})
		k.Observe(authenticated("a:1", 1))
		k.Observe(authenticated("b", 2))
		k.Observe(authenticated("b", 3))
		k.Observe(authenticated(cpns.EntityID(strings.Repeat(":", 64)), 4))
		if got, want := file(t, k), line("a:1", 1)+line("b", 3); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		key := k.keys["a:1"]
		k.Observe(agent.Event{Kind: kind, Entity: "a:1"})
		if got, want := file(t, k), line("b", 3); got != want {
			t.Errorf("after %s: got %q, want %q", kind, got, want)
		}
		if *key != (cpns.ApplicationKey{}) {
			t.Errorf("after %s the key is still in memory", kind)
		}
		k.Observe(agent.Event{Kind: agent.EventUsedUp, Entity: "b"})
		if k.Count() != 1 {
			t.Errorf("%d keys", k.Count())
		}
	}
}

// What an earlier agent left goes on, of devices that are here and not under alarm, and
// from a file that nobody else could have written.
func TestAdopt(t *testing.T) {
	path := memory(t) + "/psk"
	text := line("a:1", 1) + line("gone", 2) + line("alarmed", 3) + "b:00\nnonsense\n:\nc%3A1:" + strings.Repeat("zz", 32) + "\n" + line("b", 4)
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	known := []agent.PNE{{Entity: "a:1", State: agent.StateDelivered}, {Entity: "b", State: agent.StateUsedUp}, {Entity: "c:1"}, {Entity: "alarmed", State: agent.StateAlarm}}
	if got, want := file(t, keeper(t, Config{Path: path}, known...)), line("a:1", 1)+line("b", 4); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	os.Chmod(path, 0o666)
	if n := keeper(t, Config{Path: path}, known...).Count(); n != 0 {
		t.Errorf("%d keys of a file that everybody could write", n)
	}
	os.Remove(path)
	os.Symlink("/etc/hostname", path)
	k := keeper(t, Config{Path: path}, known...)
	if got := file(t, k); got != "" {
		t.Errorf("got %q by a link", got)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o640 || !info.Mode().IsRegular() {
		t.Errorf("%v, %v: want a file of our own in place of the link", info, err)
	}
	if _, err := New(Config{Path: "/usr/share/psk"}, nil); err == nil || !strings.Contains(err.Error(), "where keys would outlive the power") {
		t.Errorf("on disk: %v", err)
	}
}

// Keys that come together are written once, and who reads the FIFO hears of it; a FIFO
// that nobody reads is an error that is tried again, and nothing waits for it.
func TestNotify(t *testing.T) {
	dir := memory(t)
	fifo := dir + "/signal"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	k := keeper(t, Config{Path: dir + "/psk", Notify: fifo})
	if err := k.write(); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Errorf("got %v", err)
	}
	r, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	for i := range byte(100) {
		k.Observe(authenticated(cpns.EntityID([]byte{'d', '0' + i/10, '0' + i%10}), i))
	}
	buf := make([]byte, 64)
	n, err := r.Read(buf)
	if err != nil || n == 0 {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for text := ""; strings.Count(text, "\n") != 100; {
		b, _ := os.ReadFile(dir + "/psk")
		if text = string(b); time.Now().After(deadline) {
			t.Fatalf("%d lines", strings.Count(text, "\n"))
		}
	}
	cancel()
	running.Wait()
	if k.Count() != 0 {
		t.Error("keys are in memory after the end")
	}
	if b, err := os.ReadFile(dir + "/psk"); err != nil || strings.Count(string(b), "\n") != 100 {
		t.Error("the end has taken the file away")
	}
	for _, bad := range []string{"0", "1", "-1", "x"} {
		os.WriteFile(dir+"/pid", []byte(bad), 0o600)
		k := keeper(t, Config{Path: dir + "/psk2", PID: dir + "/pid"})
		if err := k.write(); err == nil {
			t.Errorf("a signal to process %s", bad)
		}
	}
}

// A broker that is starting does not catch SIGHUP yet: it is not ended by it, and told
// once it does.
func TestStartingBroker(t *testing.T) {
	dir := memory(t)
	broker := exec.Command("sh", "-c", "sleep 1; trap 'echo told' HUP; echo ready; while :; do sleep 0.05; done")
	out, err := broker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	broker.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	defer broker.Wait()
	defer syscall.Kill(-broker.Process.Pid, syscall.SIGKILL)
	os.WriteFile(dir+"/pid", fmt.Appendln(nil, broker.Process.Pid), 0o600)
	k := keeper(t, Config{Path: dir + "/psk", PID: dir + "/pid"})
	k.stale = true
	if err := k.write(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"ready", "told"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the broker says %q (%v), want %q", lines.Text(), lines.Err(), want)
		}
	}
}

// What never catches SIGHUP is left alone, and that is said.
func TestNoHandler(t *testing.T) {
	dir := memory(t)
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	os.WriteFile(dir+"/pid", fmt.Appendln(nil, other.Process.Pid), 0o600)
	k := keeper(t, Config{Path: dir + "/psk", PID: dir + "/pid"})
	k.stale = true
	if err := k.write(); err == nil || !strings.Contains(err.Error(), "does not take SIGHUP") {
		t.Errorf("got %v", err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("it was ended: %v", err)
	}
}
