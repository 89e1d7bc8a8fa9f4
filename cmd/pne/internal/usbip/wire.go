package usbip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// Commands and their answers, of the kernel's Documentation/usb/usbip_protocol.rst.
// Every one is a header of 48 bytes in network byte order:
//
//	0x00 command  0x04 seqnum  0x08 devid  0x0c direction (0 out, 1 in)  0x10 ep
//
// and from 0x14 on, with zeros to its end:
//
//	USBIP_CMD_SUBMIT  transfer_flags, transfer_buffer_length, start_frame,
//	                  number_of_packets, interval, setup (8 bytes); OUT data follows
//	USBIP_RET_SUBMIT  status, actual_length, start_frame, number_of_packets,
//	                  error_count; IN data follows. devid, direction, ep are 0
//	USBIP_CMD_UNLINK  unlink_seqnum
//	USBIP_RET_UNLINK  status
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4

	headerSize = 48
)

// Limits of ours. A host that passes them is cut off.
const (
	maxTransfer = 16 << 10 // bytes of one transfer
	maxPending  = 32       // transfers that wait on an endpoint
)

// Status of a transfer: errno of the host's kernel, negative. Where that is another
// architecture's the second may be read as something else; so it is with the kernel's own
// USB/IP device.
const (
	statusStall    = -int32(syscall.EPIPE)
	statusUnlinked = -int32(syscall.ECONNRESET)
)

// A request is what the host sends.
type request struct {
	command, seq uint32
	in           bool
	ep           uint32

	length int     // of cmdSubmit, in bytes
	setup  [8]byte // of cmdSubmit to endpoint 0
	data   []byte  // of cmdSubmit, out: length bytes
	unlink uint32  // of cmdUnlink: the transfer to give up
}

// readRequest reads the next request and the data that comes with it.
func readRequest(r io.Reader) (*request, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	field := func(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }
	q := &request{command: field(0), seq: field(4), in: field(12) == 1, ep: field(16)}
	switch {
	case field(12) > 1:
		return nil, fmt.Errorf("direction %d", field(12))
	case q.command == cmdUnlink:
		q.unlink = field(20)
		return q, nil
	case q.command != cmdSubmit:
		return nil, fmt.Errorf("command %#x", q.command)
	}
	copy(q.setup[:], h[40:])
	// The field is signed; what is negative is too long as well.
	if field(24) > maxTransfer {
		return nil, fmt.Errorf("transfer of %d bytes, the limit is %d", int32(field(24)), maxTransfer)
	}
	if packets := int32(field(32)); packets > 0 {
		return nil, errors.New("isochronous transfer")
	}
	q.length = int(field(24))
	if q.in {
		return q, nil
	}
	q.data = make([]byte, q.length)
	if _, err := io.ReadFull(r, q.data); err != nil {
		return nil, fmt.Errorf("reading %d bytes of a transfer: %w", q.length, err)
	}
	return q, nil
}

// appendReturn appends USBIP_RET_SUBMIT for the transfer seq. actual is how many
// bytes moved; of an IN transfer data is these bytes.
func appendReturn(dst []byte, seq uint32, status int32, actual int, data []byte) []byte {
	dst = appendHeader(dst, retSubmit, seq)
	dst = binary.BigEndian.AppendUint32(dst, uint32(status))
	dst = binary.BigEndian.AppendUint32(dst, uint32(actual))
	dst = append(dst, make([]byte, headerSize-28)...)
	return append(dst, data...)
}

// appendUnlinked appends USBIP_RET_UNLINK for the request seq.
func appendUnlinked(dst []byte, seq uint32, status int32) []byte {
	dst = appendHeader(dst, retUnlink, seq)
	dst = binary.BigEndian.AppendUint32(dst, uint32(status))
	return append(dst, make([]byte, headerSize-24)...)
}

func appendHeader(dst []byte, command, seq uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, command)
	dst = binary.BigEndian.AppendUint32(dst, seq)
	return append(dst, make([]byte, 12)...)
}
