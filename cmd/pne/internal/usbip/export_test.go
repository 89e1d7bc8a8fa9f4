package usbip

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

// ask sends request to a device that waits for a host, and returns all that it
// answers and whether the host then has the device.
func ask(t *testing.T, request []byte) (answer []byte, attached bool, err error) {
	t.Helper()
	device, peer := net.Pipe()
	peer.SetDeadline(time.Now().Add(2 * time.Minute))
	go func() {
		peer.Write(request)
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, _ = io.ReadAll(peer)
	}()
	attached, err = negotiate(device)
	device.Close()
	<-done
	peer.Close()
	return answer, attached, err
}

// The bytes below follow the tables of usbip_protocol.rst.
const exported = `
	00000001 00000002 00000003 # busnum, devnum, speed
	1209 0001 0100             # idVendor, idProduct, bcdDevice
	00 00 00 00 01 01          # class, subclass, protocol, configuration, configurations, interfaces`

func exportedDevice(t *testing.T) []byte {
	path := make([]byte, 256)
	copy(path, "/sys/devices/virtual/pne/1-1")
	id := make([]byte, 32)
	copy(id, "1-1")
	return slices.Concat(path, id, unhex(t, exported))
}

func TestNegotiate(t *testing.T) {
	importOf := func(id string) []byte {
		return append(unhex(t, "0111 8003 00000000"), padded(id, 32)...)
	}
	tests := []struct {
		name     string
		request  []byte
		want     []byte
		attached bool
		err      string
	}{
		{
			name:    "OP_REQ_DEVLIST",
			request: unhex(t, "0111 8005 00000000"),
			want:    slices.Concat(unhex(t, "0111 0005 00000000 00000001"), exportedDevice(t), unhex(t, "ff 43 01 00")),
		}, {
			name:     "OP_REQ_IMPORT",
			request:  importOf("1-1"),
			want:     slices.Concat(unhex(t, "0111 0003 00000000"), exportedDevice(t)),
			attached: true,
		}, {
			name:    "another device",
			request: importOf("1-2"),
			want:    unhex(t, "0111 0003 00000001"),
			err:     `no device "1-2"`,
		},
		{name: "another version", request: unhex(t, "0106 8003 00000000"), err: "version 0x0106"},
		{name: "another operation", request: unhex(t, "0111 8004 00000000"), err: "operation 0x8004"},
		{name: "not a host", request: []byte("GET / HTTP/1.1\r\n"), err: "version 0x4745"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, attached, err := ask(t, tt.request)
			if !bytes.Equal(got, tt.want) || attached != tt.attached {
				t.Errorf("got %x, attached %v; want %x, %v", got, attached, tt.want, tt.attached)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// TestListen attaches over TCP, after somebody has been there who is no host.
func TestListen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	l, err := New(Config{Name: "usb", At: address, Serial: "pne-1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx, transport.Handler{Message: func(transport.Message) {}}) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		for begin := time.Now(); ; time.Sleep(time.Millisecond) {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.SetDeadline(time.Now().Add(2 * time.Minute))
				return conn
			}
			if time.Since(begin) > 2*time.Minute {
				t.Fatal(err)
			}
		}
	}
	stranger := dial()
	stranger.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	io.ReadAll(stranger)
	stranger.Close()

	conn := dial()
	if _, err := conn.Write(append(unhex(t, "0111 8003 00000000"), padded("1-1", 32)...)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 320)); err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, conn: conn}
	h.configure()
	awaitState(t, l, transport.Up, "")
	conn.Close()
	awaitState(t, l, transport.Absent, "unplugged")
	dial().Close() // it waits again
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{At: Local}, "without a name"},
		{Config{Name: "usb"}, "want vhci or HOST:PORT"},
		{Config{Name: "usb", At: "kernel"}, "want vhci or HOST:PORT"},
		{Config{Name: "usb", At: Local, Serial: strings.Repeat("x", 127)}, "serial number of 127 bytes"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want an error with %q", tt.cfg, err, tt.want)
		}
	}
}

// TestFreePorts reads a status of Linux 6.1.
func TestFreePorts(t *testing.T) {
	const status = `hub port sta spd dev      sockfd local_busid
hs  0000 006 003 00010002 000007 1-1
hs  0001 004 000 00000000 000000 0-0
hs  0002 005 000 00000000 000000 0-0
hs  0003 004 000 00000000 000000 0-0
ss  0008 004 000 00000000 000000 0-0
`
	if got := freePorts([]byte(status)); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("got %v, want [1 3]", got)
	}
	if got := freePorts([]byte("nonsense\nhs\nhs x 004\n")); got != nil {
		t.Errorf("got %v from nonsense", got)
	}
}

func TestNoController(t *testing.T) {
	dir := t.TempDir()
	if _, err := plugIntoKernel(dir); err == nil || !strings.Contains(err.Error(), "modprobe vhci-hcd") {
		t.Errorf("without vhci_hcd: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte("hs  0000 006 003 00010002 000007 1-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := plugIntoKernel(dir); err == nil || !strings.Contains(err.Error(), "every port") {
		t.Errorf("with all ports taken: %v", err)
	}
}
