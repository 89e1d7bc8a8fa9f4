//go:build linux

package nullmodem

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCableCarriesEveryByteBothWays(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, b := open(t, c.A()), open(t, c.B())
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, way := range []struct {
		name     string
		from, to *os.File
	}{{"A to B", a, b}, {"B to A", b, a}} {
		if _, err := way.from.Write(every); err != nil {
			t.Fatalf("%s: %v", way.name, err)
		}
		if got := read(t, way.to, len(every)); !bytes.Equal(got, every) {
			t.Errorf("%s: got %x, want %x", way.name, got, every)
		}
	}
}

func TestNoise(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := open(t, c.A())
	if err := c.NoiseToA([]byte("crackle")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, a, 7); string(got) != "crackle" {
		t.Errorf("got %q", got)
	}
}

func TestVacate(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := open(t, c.A())
	if err := unix.IoctlSetInt(int(a.Fd()), unix.TIOCEXCL, 0); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if err := c.Vacate(); err != nil {
		t.Fatal(err)
	}
	exclusive, err := unix.IoctlGetInt(int(c.a.Slave.Fd()), unix.TIOCGEXCL)
	if err != nil {
		t.Fatal(err)
	}
	if exclusive != 0 {
		t.Errorf("still in exclusive use after Vacate")
	}
}

func TestCloseHangsUpAndRemoves(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	path := c.A()
	a := open(t, path)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("reading after the cable was pulled: got %d bytes, %v", n, err)
	}
	a.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat %s: got %v, want it gone", path, err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func read(t *testing.T, f *os.File, n int) []byte {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(f, buf); err != nil {
		t.Fatal(err)
	}
	return buf
}

// TestDeviceIsNobodyElsesNext: the path of a line that is gone does not lead to the next
// one, though that has its number: who waits for the one must not take the other.
func TestDeviceIsNobodyElsesNext(t *testing.T) {
	same := false
	for range 100 { // others on this machine may take the number first
		gone, err := OpenPTY()
		if err != nil {
			t.Fatal(err)
		}
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		next, err := OpenPTY()
		if err != nil {
			t.Fatal(err)
		}
		same = same || next.Slave.Name() == gone.Slave.Name()
		if f, err := os.OpenFile(gone.Device(), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it opens %v, %v", f, err)
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !same {
		t.Log("no number came twice: nothing was tried")
	}
}
