//go:build linux

// Usbattach plugs a USB device that another machine serves over USB/IP into this
// one's kernel, as "usbip attach" does. The protocol is in the kernel's
// Documentation/usb/usbip_protocol.rst.
//
//	usbattach HOST:PORT BUSID
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
)

const attach = "/sys/devices/platform/vhci_hcd.0/attach"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: usbattach HOST:PORT BUSID")
		os.Exit(2)
	}
	if err := plugIn(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "usbattach:", err)
		os.Exit(1)
	}
}

// OP_REQ_IMPORT -> OP_REP_IMPORT
func plugIn(address, busID string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	request := append([]byte{0x01, 0x11, 0x80, 0x03, 0, 0, 0, 0}, make([]byte, 32)...)
	copy(request[8:39], busID)
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if status := binary.BigEndian.Uint32(head[4:]); head[2] != 0 || head[3] != 3 || status != 0 {
		return fmt.Errorf("%s refuses %s: %x", address, busID, head)
	}
	var device [312]byte // path 256, busid 32, busnum 4, devnum 4, speed 4, descriptors 12
	if _, err := io.ReadFull(conn, device[:]); err != nil {
		return err
	}
	bus, number := binary.BigEndian.Uint32(device[288:]), binary.BigEndian.Uint32(device[292:])
	speed := binary.BigEndian.Uint32(device[296:])
	socket, err := conn.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	// The kernel keeps the socket once this program has ended.
	line := fmt.Sprintf("0 %d %d %d", socket.Fd(), bus<<16|number, speed)
	return os.WriteFile(attach, []byte(line), 0o200)
}
