package api

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "pngw", "sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o660 {
		t.Errorf("mode: got %o, want 660", got)
	}
	if _, err := Listen(path); !errors.Is(err, ErrRunning) {
		t.Errorf("while somebody answers: got %v, want ErrRunning", err)
	}

	// As after SIGKILL: the socket is there, nobody answers.
	abandon(l)
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the socket is gone: %v", err)
	}
	l, err = Listen(path)
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: got %v, want the socket gone", err)
	}
}

// abandon leaves a listener's files as SIGKILL does.
func abandon(l net.Listener) {
	c := l.(*claimed)
	c.Listener.(*net.UnixListener).SetUnlinkOnClose(false)
	c.Listener.Close()
	c.claim.lock.Close()
}

// The group that may use the socket gets to it, whatever the umask is.
func TestListenUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "run", "pngw", "sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o755 {
			t.Errorf("%s: mode %o, want 755", dir, got)
		}
	}
	if info, err := os.Stat(path + lockExt); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("lock: %v, %v, want mode 600", info, err)
	}
}

// Of several that find one left-over socket exactly one has it, each time.
func TestListenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	abandon(l)
	for round := range 50 {
		var all sync.WaitGroup
		listeners, errs := make([]net.Listener, 4), make([]error, 4)
		start := make(chan struct{})
		for i := range listeners {
			all.Go(func() {
				<-start
				listeners[i], errs[i] = Listen(path)
			})
		}
		close(start)
		all.Wait()
		var winner net.Listener
		for i, l := range listeners {
			switch {
			case l != nil && winner != nil:
				t.Fatalf("round %d: two have the socket", round)
			case l != nil:
				winner = l
			case !errors.Is(errs[i], ErrRunning):
				t.Errorf("round %d: got %v, want ErrRunning", round, errs[i])
			}
		}
		if winner == nil {
			t.Fatalf("round %d: nobody has the socket", round)
		}
		// It is the winner who is reached.
		go func() {
			for { // the losers looked in, too
				c, err := winner.Accept()
				if err != nil {
					return
				}
				io.WriteString(c, "winner")
				c.Close()
			}
		}()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if said, err := io.ReadAll(c); err != nil || string(said) != "winner" {
			t.Fatalf("round %d: reached %q, %v", round, said, err)
		}
		c.Close()
		abandon(winner)
	}
}

// Check says what Listen would, and leaves nothing but the folder.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "sock")
	if err := Check(path); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(path); !errors.Is(err, ErrRunning) {
		t.Errorf("while an agent runs: got %v, want ErrRunning", err)
	}
	abandon(l)
	if err := Check(path); err != nil {
		t.Errorf("over a left-over socket: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "sock"), "/proc/pngw.sock"} {
		if err := Check(path); err == nil {
			t.Errorf("%s: no error", path)
		}
		if l, err := Listen(path); err == nil {
			l.Close()
			t.Errorf("%s: Listen succeeds", path)
		}
	}
}

// A check of the configuration, which has the lock for a moment, is no agent.
func TestListenWaitsForCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	c, err := claimSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { c.release() })
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenKeepsOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(path); err == nil {
		l.Close()
		t.Error("got a listener in place of a file")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "data" {
		t.Errorf("the file: got %q, %v", got, err)
	}
}

func TestConnectErrors(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := Listen(stale)
	if err != nil {
		t.Fatal(err)
	}
	abandon(l)
	for path, want := range map[string]error{filepath.Join(dir, "none"): fs.ErrNotExist, stale: syscall.ECONNREFUSED} {
		_, err := NewClient(path).List(t.Context())
		var e *ConnectError
		if !errors.As(err, &e) || e.Socket != path || !errors.Is(err, want) {
			t.Errorf("%s: got %v, want a *ConnectError, %v", path, err, want)
		}
	}
}

// More connections than the limit wait until one of those that are open ends.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := pipes{make(chan net.Conn), make(chan struct{})}
		l := Limit(inner, 1)
		accepted := make(chan net.Conn, 3)
		go func() {
			defer close(accepted)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		go func() {
			for range 3 {
				inner.dial()
			}
		}()
		for n := range 2 {
			synctest.Wait()
			if got := len(accepted); got != 1 {
				t.Fatalf("after %d that were closed, %d connections are open, want 1", n, got)
			}
			c := <-accepted
			c.Close()
			c.Close() // gives its place back once
		}
		synctest.Wait() // the third has the place, Accept waits for it
		l.Close()
		<-accepted
		if _, open := <-accepted; open {
			t.Error("Accept went on after Close")
		}
	})
}

// What comes over the socket is bounded before it is understood.
func TestHugeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t)
		defer r.stop()
		c := r.dial(t)
		go c.Write([]byte("GET /v1/status HTTP/1.1\r\nHost: pngw\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n"))
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 431 ") {
			t.Errorf("got %q, %v, want 431", answer, err)
		}
	})
}

// A client that says nothing, or half of something, does not keep its place.
func TestSilentClients(t *testing.T) {
	for _, begin := range []string{"", "GET /v1/sta", "POST /v1/provision HTTP/1.1\r\nHost: pngw\r\nContent-Length: 100\r\n\r\n{"} {
		synctest.Test(t, func(t *testing.T) {
			r := newPipeRig(t)
			defer r.stop()
			c := r.dial(t)
			start := time.Now()
			io.WriteString(c, begin)
			io.Copy(io.Discard, c)
			if got := time.Since(start); got > readTimeout {
				t.Errorf("%q: closed after %v, want at most %v", begin, got, readTimeout)
			}
		})
	}
}
