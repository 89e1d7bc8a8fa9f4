package usbip

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// vhciFolder is where the kernel's virtual host controller is found.
const vhciFolder = "/sys/devices/platform/vhci_hcd.0"

const (
	busNumber, deviceNumber = 1, 2 // what USB/IP calls the device; the kernel numbers it anew
	highSpeed               = 3    // of the kernel's enum usb_device_speed
	freePort                = 4    // of its enum usbip_device_status, VDEV_ST_NULL
)

// plugIntoKernel plugs the device into a free port of the controller in folder.
// Closing the connection unplugs it.
func plugIntoKernel(folder string) (net.Conn, error) {
	status, err := os.ReadFile(filepath.Join(folder, "status"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no virtual USB host controller in this kernel: modprobe vhci-hcd")
	}
	if err != nil {
		return nil, err
	}
	ports := freePorts(status)
	if len(ports) == 0 {
		return nil, errors.New("every port of the virtual USB host controller is taken")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "vhci")
	defer theirs.Close() // the kernel has its own reference
	ours := os.NewFile(uintptr(fds[0]), "usbip")
	defer ours.Close() // as has conn
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	// Others may be taking ports, too.
	for _, port := range ports {
		line := fmt.Sprintf("%d %d %d %d", port, fds[1], busNumber<<16|deviceNumber, highSpeed)
		if err = os.WriteFile(filepath.Join(folder, "attach"), []byte(line), 0o200); err == nil {
			return conn, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			err = errors.New("no permission for the virtual USB host controller: run this program as root")
			break
		}
	}
	conn.Close()
	return nil, err
}

// freePorts reads the controller's status, which begins like this:
//
//	hub port sta spd dev      sockfd local_busid
//	hs  0000 004 000 00000000 000000 0-0
//
// The device goes into a port of the hub "hs".
func freePorts(status []byte) (ports []int) {
	for line := range bytes.Lines(status) {
		fields := strings.Fields(string(line))
		if len(fields) < 3 || fields[0] != "hs" {
			continue
		}
		port, err1 := strconv.Atoi(fields[1])
		state, err2 := strconv.Atoi(fields[2])
		if err1 == nil && err2 == nil && state == freePort {
			ports = append(ports, port)
		}
	}
	return ports
}
