package serial

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/scripts/nullmodem"
)

// A pty is a pseudo terminal: the kernel's own tty, with the test at its other end
// instead of a UART.
type pty struct {
	master *os.File
	slave  *os.File // held open so that the master's reads do not fail before the link opens it
	number string   // the slave's own path, which is the next one's when it has gone
	path   string   // a link to it, until it has gone: nobody takes another's line by it
}

func openPTY(t testing.TB) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	err = control(master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		t.Fatalf("unlocking the pty: %v", err)
	}
	number := "/dev/pts/" + strconv.Itoa(n)
	path := filepath.Join(t.TempDir(), "tty")
	if err := os.Symlink(number, path); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(number, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &pty{master: master, slave: slave, number: number, path: path}
}

// hangUp takes the tty away from whoever has it open.
func (p *pty) hangUp() {
	os.Remove(p.path)
	p.master.Close()
	p.slave.Close()
}

// A cable joins two serial ports. They are named by links in a folder, as udev
// names them, and come and go with connect and disconnect.
type cable struct {
	t     testing.TB
	ports [2]string // paths for the two Links
	baud  int       // 0: as fast as it goes

	mu   sync.Mutex
	line *nullmodem.Cable // nil while disconnected
}

func newCable(t testing.TB, baud int) *cable {
	dir := t.TempDir()
	c := &cable{t: t, ports: [2]string{filepath.Join(dir, "ttyA"), filepath.Join(dir, "ttyB")}, baud: baud}
	c.connect()
	t.Cleanup(c.disconnect)
	return c
}

func (c *cable) connect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.line, err = nullmodem.NewAt(c.baud); err != nil {
		c.t.Fatal(err)
	}
	for i, port := range []string{c.line.A(), c.line.B()} {
		if err := os.Symlink(port, c.ports[i]); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cable) disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.line == nil {
		return
	}
	for _, port := range c.ports {
		os.Remove(port)
	}
	if err := c.line.Close(); err != nil {
		c.t.Error(err)
	}
	c.line = nil
}

// noise writes junk towards both ends.
func (c *cable) noise(junk []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, write := range []func([]byte) error{c.line.NoiseToA, c.line.NoiseToB} {
		if err := write(junk); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestOpen: a line for something else is opened raw, for one program, with deadlines,
// and an error calls the device what the caller does.
func TestOpen(t *testing.T) {
	p := openPTY(t)
	t.Cleanup(p.hangUp)
	if _, err := p.master.Write([]byte("stale\n")); err != nil { // what came before is not read
		t.Fatal(err)
	}
	port, err := Open(p.path, DefaultBaud, "option sim")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(p.path, DefaultBaud, "option sim"); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := port.Write([]byte("AT\r")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	for n := 0; !strings.HasSuffix(string(b[:n]), "AT\r"); { // behind what the line echoed before it was raw
		m, err := p.master.Read(b[n:])
		if err != nil || m == 0 {
			t.Fatalf("at the other end: %q, %v", b[:n], err)
		}
		n += m
	}
	if _, err := p.master.Write([]byte("\r\nOK\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(port, b[:6]); err != nil || string(b[:6]) != "\r\nOK\r\n" {
		t.Errorf("got %q, %v", b[:6], err)
	}
	port.SetDeadline(time.Now().Add(time.Millisecond))
	if _, err := port.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read without an end: %v", err)
	}
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("/dev/pngw-none", DefaultBaud, "option sim"); err == nil || !strings.Contains(err.Error(), "no such device /dev/pngw-none: plug it in, or correct option sim") {
		t.Errorf("no device: %v", err)
	}
}
