//go:build usbguest

package usbip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/linktest"
	"cpns.example.net/pngw/transport/usb"
)

// The tests with the build tag usbguest plug devices of this package into a real kernel
// and open them with transport/usb, gousb and libusb. They need root and vhci_hcd, and
// must not run on a machine that is used for anything: scripts/qemu-usb.sh boots one
// for them. Where something is missing they fail.

// A plug puts a device into the kernel and takes it out, as a hand does.
type plug struct {
	mu   sync.Mutex
	conn net.Conn      // nil while out
	out  bool          // and is to stay so
	in   chan struct{} // closed when it may go in
}

func newPlug() *plug {
	p := &plug{in: make(chan struct{})}
	close(p.in)
	return p
}

// plugIn is for a Link: it waits until the plug may go in.
func (p *plug) plugIn(ctx context.Context) (net.Conn, error) {
	p.mu.Lock()
	in := p.in
	p.mu.Unlock()
	select {
	case <-in:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out {
		return nil, errors.New("held out")
	}
	conn, err := plugIntoKernel(vhciFolder)
	p.conn = conn
	return conn, err
}

// pull returns once the kernel has noticed.
func (p *plug) pull(t *testing.T, serial string) {
	p.mu.Lock()
	if !p.out {
		p.out, p.in = true, make(chan struct{})
	}
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
	p.mu.Unlock()
	until(t, "unplugged", func() bool { return findPort(t, serial) == "" })
}

func (p *plug) push() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out {
		p.out = false
		close(p.in)
	}
}

// findPort returns the port path of the device with this serial number, as the
// kernel has it, or "".
func findPort(t *testing.T, serial string) string {
	t.Helper()
	files, err := filepath.Glob("/sys/bus/usb/devices/*/serial")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if got, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(got)) == serial {
			return filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for begin := time.Now(); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("not %s after %v", what, patience)
		}
	}
}

// gateway returns a gateway's link that the kernel's uevents wake.
func gateway(t *testing.T, cfg usb.Config) transport.Link {
	t.Helper()
	hotplug := board.NewHotplug(nil)
	cfg.Changed = hotplug.Watch("usb")
	link, err := usb.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- hotplug.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return link
}

// pne returns a device, and the plug that it is on.
func pne(serial string) (*Link, *plug) {
	p := newPlug()
	link := newLink(Config{Name: "pne", Serial: serial}, p.plugIn)
	link.retry = transport.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
	return link, p
}

var serials int

// newSerial returns a serial number that no other device has, so that one that is
// still being unplugged is not taken for the next.
func newSerial() string {
	serials++
	return fmt.Sprintf("pne-%04d", serials)
}

func TestGuestConformance(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Rig {
		serial := newSerial()
		device, p := pne(serial)
		return linktest.Rig{
			Gateway: gateway(t, usb.Config{Name: "gateway", Serial: serial}),
			PNE:     device,
			Entity:  "pne-0001",
			Cut:     func() { p.pull(t, serial) },
			Restore: p.push,
		}
	})
}

// An end is a link that runs until the test ends.
type end struct {
	t        *testing.T
	link     transport.Link
	ups      chan struct{}
	messages chan string
}

func run(t *testing.T, link transport.Link) *end {
	t.Helper()
	e := &end{t: t, link: link, ups: make(chan struct{}, 100), messages: make(chan string, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- link.Run(ctx, transport.Handler{
			Up:      func() { e.ups <- struct{}{} },
			Message: func(m transport.Message) { e.messages <- string(m.Data) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

func (e *end) up() {
	e.t.Helper()
	select {
	case <-e.ups:
	case <-time.After(patience):
		e.t.Fatalf("%s does not come up: %+v", e.link.Name(), e.link.Status())
	}
}

func (e *end) send(msg string) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.link.Send(ctx, "", []byte(msg)); err != nil {
		e.t.Fatalf("%s: Send: %v", e.link.Name(), err)
	}
}

func (e *end) expect(want string) {
	e.t.Helper()
	if got := await(e.t, e.messages, "message"); got != want {
		e.t.Fatalf("%s: got %.40q, want %.40q", e.link.Name(), got, want)
	}
}

// detail waits until the link is absent and says want.
func (e *end) detail(want string) {
	e.t.Helper()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		got := e.link.Status()
		if got.State == transport.Absent && strings.Contains(got.Detail, want) {
			return
		}
		if time.Since(begin) > patience {
			e.t.Fatalf("%s: status %+v, want absent with %q", e.link.Name(), got, want)
		}
	}
}

// TestGuestOverTCP attaches the device as the usbip program does: over TCP, with an
// operation before the transfers.
func TestGuestOverTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	serial := newSerial()
	link, err := New(Config{Name: "pne", At: address, Serial: serial})
	if err != nil {
		t.Fatal(err)
	}
	device := run(t, link)
	gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))

	var conn net.Conn
	until(t, "listening", func() bool { conn, err = net.Dial("tcp", address); return err == nil })
	defer conn.Close()
	if _, err := conn.Write(append(unhex(t, "0111 8003 00000000"), padded(busID, busIDSize)...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 320)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	handle, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(vhciFolder + "/status")
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%d %d %d %d", freePorts(status)[0], handle.Fd(), busNumber<<16|deviceNumber, highSpeed)
	if err := os.WriteFile(vhciFolder+"/attach", []byte(line), 0o200); err != nil {
		t.Fatal(err)
	}
	handle.Close()
	device.up()
	gw.up()
	gw.send("down")
	device.expect("down")
	device.send("up")
	gw.expect("up")
}

// TestGuestWholePackets: a frame that ends with a full packet, and no empty one after
// it, arrives when it is sent and not with the next.
func TestGuestWholePackets(t *testing.T) {
	serial := newSerial()
	link, _ := pne(serial)
	device := run(t, link)
	gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))
	device.up()
	gw.up()
	for around := range 20 { // what a frame has around its message
		msg := strings.Repeat("\x00", packetSize-around)
		device.send(msg)
		gw.expect(msg)
	}
}
