package serial

import (
	"fmt"
	"os"

	"github.com/tarm/serial"
	"golang.org/x/sys/unix"
)

// bauds are the speeds that tarm/serial knows.
var bauds = []int{
	50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200,
	38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000,
	1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
}

// openPort opens device raw, 8N1, for this program alone, with nothing in it that
// arrived before. Reads and writes have deadlines.
//
// tarm/serial sets the line's termios and speed rightly on every architecture,
// but its Read cannot be ended and its Flush uses an ioctl number that is wrong on
// MIPS. The termios belongs to the tty and not to the handle, so the device is
// opened twice: tarm's handle sets the line up and is closed at once, ours, which Go's
// poller serves, stays. Ours is opened first: the lock is had before anything
// about a line is changed that another program may be using, and DTR, which
// the first open raises, is not dropped in between.
func openPort(device string, baud int) (port *os.File, err error) {
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := control(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	setUp, err := serial.OpenPort(&serial.Config{Name: device, Baud: baud})
	if err != nil {
		return nil, fmt.Errorf("setting up: %w", err)
	}
	if err := setUp.Close(); err != nil {
		return nil, fmt.Errorf("setting up: %w", err)
	}
	// The lock keeps out programs that ask for it, this keeps out the others.
	if err := control(f, func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCEXCL, 0) }); err != nil {
		return nil, fmt.Errorf("claiming: %w", err)
	}
	if err := control(f, func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) }); err != nil {
		return nil, fmt.Errorf("flushing: %w", err)
	}
	return f, nil
}

// unlock lets other programs have the line again. The lock goes with the handle;
// the claim would stay as long as anything else holds the tty open.
func unlock(f *os.File) {
	control(f, func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) })
}

// control calls op with f's descriptor. Unlike f.Fd() it leaves the handle with
// Go's poller.
func control(f *os.File, op func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var opErr error
	if err := conn.Control(func(fd uintptr) { opErr = op(int(fd)) }); err != nil {
		return err
	}
	return opErr
}
