package serial

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A pty is a pseudo terminal: the kernel's own tty, with the test at its other end
// instead of a UART.
type pty struct {
	master *os.File
	slave  *os.File // held open so that the master's reads do not fail before the link opens it
	path   string   // of the slave
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
	path := "/dev/pts/" + strconv.Itoa(n)
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &pty{master: master, slave: slave, path: path}
}

// hangUp takes the tty away from whoever has it open.
func (p *pty) hangUp() {
	p.master.Close()
	p.slave.Close()
}

// A cable joins two ptys, as a null modem cable joins two serial ports. The ports
// are named by links in a folder, as udev names them, and come and go with
// connect and disconnect.
type cable struct {
	t     testing.TB
	ports [2]string // paths for the two Links
	baud  int       // 0: as fast as it goes
	bytes [2]atomic.Int64

	mu   sync.Mutex
	ends [2]*pty // nil while disconnected
	pump sync.WaitGroup
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
	for i := range c.ends {
		c.ends[i] = openPTY(c.t)
	}
	for i, to := range []*pty{c.ends[1], c.ends[0]} {
		from := c.ends[i]
		c.pump.Go(func() { c.carry(to.master, from.master, &c.bytes[i]) })
	}
	for i, end := range c.ends {
		if err := os.Symlink(end.path, c.ports[i]); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cable) disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends[0] == nil {
		return
	}
	for i, end := range c.ends {
		os.Remove(c.ports[i])
		end.hangUp()
		c.ends[i] = nil
	}
	c.pump.Wait()
}

// noise writes junk towards both ends.
func (c *cable) noise(junk []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		if _, err := end.master.Write(junk); err != nil {
			c.t.Fatal(err)
		}
	}
}

// fifo is how many bytes go over a rate-limited cable at a time: what a 16550 holds.
const fifo = 16

// carry copies until either end is closed, at the cable's speed with ten bits a
// byte.
func (c *cable) carry(to io.Writer, from io.Reader, count *atomic.Int64) {
	buf := make([]byte, 4096)
	if c.baud > 0 {
		buf = buf[:fifo]
	}
	var due time.Time // when the bytes so far are through
	for {
		asked := time.Now()
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if c.baud > 0 {
			// Only a line that had nothing to carry begins anew: time that the
			// test itself lost is made up for, as a UART would not have lost it.
			if now := time.Now(); due.Before(now) && now.Sub(asked) > 200*time.Microsecond {
				due = now
			}
			due = due.Add(time.Duration(n) * 10 * time.Second / time.Duration(c.baud))
			time.Sleep(time.Until(due))
		}
		count.Add(int64(n))
		if _, err := to.Write(buf[:n]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}
