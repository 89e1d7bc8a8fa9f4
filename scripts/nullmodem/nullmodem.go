//go:build linux

// Package nullmodem is a serial cable between two programs on one machine:
// two pseudo-terminals, what is written to one being read from the other. The
// demo and the end-to-end tests open its ends as /dev/ttyUSB0 would be opened
// on a router. It passes bytes as fast as they come, or as a line of a baud rate
// would.
package nullmodem

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Cable joins two ends. Whoever opens them finds a raw line.
type Cable struct {
	a, b    *PTY
	pumps   sync.WaitGroup
	carried atomic.Int64
}

// A PTY is one pseudo-terminal: an end of a cable. The slave stays open here too:
// otherwise a master's read would fail whenever the program at this end closes
// its port.
type PTY struct {
	Master, Slave *os.File
	folder        string // its own, with the link that Device is
}

// Device is the path by which programs are to open it: a link that Close removes before
// the terminal. A program that waits for its line to come back would otherwise take the
// next one, of somebody else, to which the kernel gives the same number.
func (e *PTY) Device() string { return filepath.Join(e.folder, "tty") }

// New lays a cable. It lies until Close.
func New() (*Cable, error) { return NewAt(0) }

// NewAt lays a cable that passes baud/10 bytes a second each way, as a line with
// a start and a stop bit does; 0 is no limit.
func NewAt(baud int) (*Cable, error) {
	a, err := OpenPTY()
	if err != nil {
		return nil, fmt.Errorf("opening a pseudo-terminal: %w", err)
	}
	b, err := OpenPTY()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a pseudo-terminal: %w", err), a.Close())
	}
	c := &Cable{a: a, b: b}
	c.pumps.Go(func() { c.pump(b.Master, a.Master, baud) })
	c.pumps.Go(func() { c.pump(a.Master, b.Master, baud) })
	return c, nil
}

// A and B are the device files of the two ends.
func (c *Cable) A() string { return c.a.Device() }
func (c *Cable) B() string { return c.b.Device() }

// NoiseToA puts bytes on the line that B never sent.
func (c *Cable) NoiseToA(p []byte) error { return noise(c.a, p) }

// NoiseToB puts bytes on the line that A never sent.
func (c *Cable) NoiseToB(p []byte) error { return noise(c.b, p) }

// noise is for single writes: the pump writes whole frames at most in pieces,
// so noise can fall into the middle of one, as it does on a line.
func noise(to *PTY, p []byte) error {
	_, err := to.Master.Write(p)
	return err
}

// Vacate ends the exclusive use of both ends. On a real line the last close
// does, on a pseudo-terminal nothing: without this only root could open an end
// again on which a program had been.
func (c *Cable) Vacate() error {
	return errors.Join(c.a.Vacate(), c.b.Vacate())
}

// Vacate ends the exclusive use of the slave.
func (e *PTY) Vacate() error { return unix.IoctlSetInt(int(e.Slave.Fd()), unix.TIOCNXCL, 0) }

// Close pulls the cable out: both programs see their port hang up, and the
// device files are gone.
func (c *Cable) Close() error {
	err := errors.Join(c.a.Close(), c.b.Close())
	c.pumps.Wait()
	return err
}

// Close hangs up on whoever has the slave open, and removes it.
func (e *PTY) Close() error {
	return errors.Join(os.RemoveAll(e.folder), e.Master.Close(), e.Slave.Close())
}

// Carried is how many bytes have gone over the line, both ways together; noise
// is not among them.
func (c *Cable) Carried() int64 { return c.carried.Load() }

// fifo is how many bytes go over a line with a baud rate at a time: what a 16550
// holds.
const fifo = 16

// pump ends with the first error, which closing either end brings about.
func (c *Cable) pump(to, from *os.File, baud int) {
	buf := make([]byte, 4096)
	if baud > 0 {
		buf = buf[:fifo]
	}
	var due time.Time // when the bytes so far are through
	for {
		asked := time.Now()
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if baud > 0 {
			// Only a line that had nothing to carry begins anew: time that this
			// program itself lost is made up for, as a UART would not have lost it.
			if now := time.Now(); due.Before(now) && now.Sub(asked) > 200*time.Microsecond {
				due = now
			}
			due = due.Add(time.Duration(n) * 10 * time.Second / time.Duration(baud))
			time.Sleep(time.Until(due))
		}
		c.carried.Add(int64(n))
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// OpenPTY opens a pseudo-terminal as a raw line. It is there until Close.
func OpenPTY() (*PTY, error) {
	// Non-blocking puts the master on Go's poller, so that Close ends a Read.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/ptmx: %w", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	slave, err := openSlave(fd)
	if err != nil {
		return nil, errors.Join(err, master.Close())
	}
	e := &PTY{Master: master, Slave: slave}
	if e.folder, err = os.MkdirTemp("", "nullmodem-"); err == nil {
		err = os.Symlink(slave.Name(), e.Device())
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func openSlave(master int) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlocking: %w", err)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("numbering: %w", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if err := makeRaw(int(slave.Fd())); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: raw mode: %w", slave.Name(), err), slave.Close())
	}
	return slave, nil
}

// makeRaw turns off echo and all translation, so that nothing comes back to a
// sender before the program at the other end has set its port up.
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag = 0
	t.Oflag = 0
	t.Lflag = 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	t.Cc[unix.VMIN] = 1
	t.Cc[unix.VTIME] = 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
