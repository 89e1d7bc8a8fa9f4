package usbip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Operations before a device is attached, of usbip_protocol.rst. Each begins with
// version, code (16 bits each) and status (32 bits); the code of a request has the
// top bit set. An import's request has the bus ID in 32 bytes after that.
const (
	opVersion = 0x0111
	opRequest = 0x8000
	opImport  = 0x0003
	opDevlist = 0x0005

	opHeaderSize = 8
	busIDSize    = 32
	pathSize     = 256

	opRefused = 1 // a status
)

// busID is what a host calls the device when it attaches it.
const busID = "1-1"

// handshakeLimit is how long a host may take to say what it wants.
const handshakeLimit = 5 * time.Second

// awaitHost listens on address until a host attaches the device. While one has it,
// nobody listens.
func awaitHost(ctx context.Context, address string) (net.Conn, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	return acceptHost(ctx, ln)
}

func acceptHost(ctx context.Context, ln net.Listener) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return nil, err
		}
		ended := context.AfterFunc(ctx, func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(handshakeLimit))
		attached, err := negotiate(conn)
		if ended() && err == nil && attached {
			conn.SetDeadline(time.Time{})
			return conn, nil
		}
		conn.Close()
	}
}

// negotiate answers one operation. It tells whether the host then has the device.
func negotiate(conn io.ReadWriter) (attached bool, err error) {
	var h [opHeaderSize]byte
	if _, err := io.ReadFull(conn, h[:]); err != nil {
		return false, err
	}
	if v := binary.BigEndian.Uint16(h[0:]); v != opVersion {
		return false, fmt.Errorf("version %#04x of USB/IP, want %#04x", v, opVersion)
	}
	switch code := binary.BigEndian.Uint16(h[2:]); code {
	case opRequest | opDevlist:
		answer := append(appendOp(nil, opDevlist, 0), 0, 0, 0, 1) // one device
		answer = append(appendExport(answer), class, subclass, protocol, 0)
		_, err := conn.Write(answer)
		return false, err
	case opRequest | opImport:
		var id [busIDSize]byte
		if _, err := io.ReadFull(conn, id[:]); err != nil {
			return false, err
		}
		if name, _, _ := strings.Cut(string(id[:]), "\x00"); name != busID {
			_, err := conn.Write(appendOp(nil, opImport, opRefused))
			return false, errors.Join(err, fmt.Errorf("no device %q, only %s", name, busID))
		}
		_, err := conn.Write(appendExport(appendOp(nil, opImport, 0)))
		return err == nil, err
	default:
		return false, fmt.Errorf("operation %#04x", code)
	}
}

func appendOp(dst []byte, code uint16, status uint32) []byte {
	dst = binary.BigEndian.AppendUint16(dst, opVersion)
	dst = binary.BigEndian.AppendUint16(dst, code)
	return binary.BigEndian.AppendUint32(dst, status)
}

// appendExport appends what both answers say of the device, 312 bytes.
func appendExport(dst []byte) []byte {
	dst = append(dst, padded("/sys/devices/virtual/pne/"+busID, pathSize)...)
	dst = append(dst, padded(busID, busIDSize)...)
	dst = binary.BigEndian.AppendUint32(dst, busNumber)
	dst = binary.BigEndian.AppendUint32(dst, deviceNumber)
	dst = binary.BigEndian.AppendUint32(dst, highSpeed)
	dst = binary.BigEndian.AppendUint16(dst, vendorID)
	dst = binary.BigEndian.AppendUint16(dst, productID)
	dst = binary.BigEndian.AppendUint16(dst, 0x0100) // the device's version
	return append(dst,
		0, 0, 0, // its class is its interface's
		0, // not configured yet
		1, // configurations
		1, // interfaces
	)
}

func padded(s string, size int) []byte {
	b := make([]byte, size)
	copy(b, s)
	return b
}
