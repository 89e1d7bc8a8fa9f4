package board

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"time"
)

// A uevent is what the kernel says about a device.
type uevent struct {
	action    string // "add", "remove", "bind", …
	subsystem string
	device    string // its path below /sys
	button    string // of subsystem "button", OpenWrt's own: its name
}

// maxUevent has room for any uevent: the kernel's buffer for the pairs is 2048 bytes,
// and a path goes before them.
const maxUevent = 8 << 10

// parseUevent reads a message of the kernel: a summary, and then KEY=value pairs,
// each ended by a zero byte.
//
//	add@/devices/pci0000:00/…/usb1/1-1 0 ACTION=add 0 DEVPATH=… 0 SUBSYSTEM=usb 0 SEQNUM=… 0
func parseUevent(msg []byte) (e uevent, ok bool) {
	summary, rest, _ := bytes.Cut(msg, []byte{0})
	if !bytes.Contains(summary, []byte{'@'}) {
		return uevent{}, false // udev's begin with "libudev"
	}
	for pair := range bytes.SplitSeq(rest, []byte{0}) {
		key, value, _ := strings.Cut(string(pair), "=")
		switch key {
		case "ACTION":
			e.action = value
		case "SUBSYSTEM":
			e.subsystem = value
		case "DEVPATH":
			e.device = value
		case "BUTTON":
			e.button = value
		}
	}
	return e, e.action != "" && e.subsystem != ""
}

// A ueventSocket receives uevents. It is package syscall's, as what that has for
// sockets is in every program that uses net; x/sys/unix would bring it again.
type ueventSocket struct {
	file *os.File
	conn syscall.RawConn
	buf  [maxUevent]byte
}

// errMissed says that uevents were lost, as many come when a hub is plugged in.
var errMissed = errors.New("uevents were lost")

// next waits for the next uevent of the kernel. What other processes send is passed
// over.
func (s *ueventSocket) next() (uevent, error) {
	for {
		n, flags, from, err := s.receive()
		switch {
		case errors.Is(err, syscall.ENOBUFS):
			return uevent{}, errMissed
		case err != nil:
			return uevent{}, err
		case !fromKernel(from):
			continue
		case flags&syscall.MSG_TRUNC != 0:
			return uevent{}, errMissed
		}
		if e, ok := parseUevent(s.buf[:n]); ok {
			return e, nil
		}
	}
}

// fromKernel tells whether the kernel sent a message. Any process that may can
// send to the socket, and its messages are told by the port, which the kernel
// fills in: its own is 0.
func fromKernel(from syscall.Sockaddr) bool {
	sender, ok := from.(*syscall.SockaddrNetlink)
	return ok && sender.Pid == 0
}

func (s *ueventSocket) receive() (n, flags int, from syscall.Sockaddr, err error) {
	waitErr := s.conn.Read(func(fd uintptr) bool {
		for {
			n, _, flags, from, err = syscall.Recvmsg(int(fd), s.buf[:], nil, 0)
			if !errors.Is(err, syscall.EINTR) {
				return !errors.Is(err, syscall.EAGAIN)
			}
		}
	})
	if waitErr != nil {
		return 0, 0, nil, waitErr
	}
	return n, flags, from, err
}

// past is a deadline that ends what is under way.
var past = time.Unix(1, 0)

// end makes a receive that waits, and every further one, return an error.
func (s *ueventSocket) end() { s.file.SetReadDeadline(past) }

func (s *ueventSocket) close() { s.file.Close() }
