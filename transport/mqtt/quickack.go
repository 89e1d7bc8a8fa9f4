package mqtt

import (
	"net"
	"syscall"
)

// A quickAck acknowledges what arrives at once, instead of up to 40 ms later with
// the next data that goes out.
//
// mosquitto, unless told otherwise, leaves Nagle's algorithm on: while its last
// packet is unacknowledged it holds the next one back, and after most packets we
// have nothing to say. An exchange with a PNE would wait 40 ms for nobody. The
// price is up to one bare TCP acknowledgement for each packet received.
type quickAck struct{ *net.TCPConn }

func (q quickAck) Read(p []byte) (int, error) {
	n, err := q.TCPConn.Read(p)
	// The kernel goes back to delaying by itself, so this is said each time. If it
	// does not listen, things are slower and no worse.
	if raw, err := q.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
	return n, err
}
