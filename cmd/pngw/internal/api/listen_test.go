package api

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
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
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
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
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
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
		l := limit(inner, 1)
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
