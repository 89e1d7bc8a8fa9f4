//go:build usbguest

package usbip

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/usb"
)

// A rogue is a device that answers bulk transfers as a test pleases, and may
// describe itself as it pleases.
type rogue struct {
	conn    net.Conn
	dev     *device
	config  []byte                                  // its configuration descriptor; nil is the honest one
	in      func(n int) (data []byte, status int32) // answers the n-th IN transfer, from 0; nil leaves it waiting
	out     func(data []byte) (int32, bool)         // answers an OUT transfer, unless it returns false; nil takes all
	cleared [2]atomic.Int64                         // halts that the host has cleared, of OUT and of IN
	asked   atomic.Int64                            // IN transfers
	done    chan struct{}
}

// plugIn puts r into the kernel until the test ends.
func (r *rogue) plugIn(t *testing.T, serial string) {
	t.Helper()
	conn, err := plugIntoKernel(vhciFolder)
	if err != nil {
		t.Fatal(err)
	}
	r.conn, r.dev, r.done = conn, newDevice(serial), make(chan struct{})
	go func() {
		defer close(r.done)
		for in := bufio.NewReader(conn); ; {
			q, err := readRequest(in)
			if err != nil {
				return
			}
			if b := r.answer(q); b != nil {
				if _, err := conn.Write(b); err != nil {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-r.done
		until(t, "unplugged", func() bool { return findPort(t, serial) == "" })
	})
	until(t, "plugged in", func() bool { return findPort(t, serial) != "" })
}

func (r *rogue) answer(q *request) []byte {
	switch {
	case q.command == cmdUnlink:
		return appendUnlinked(nil, q.seq, statusUnlinked) // nothing is ever answered late
	case q.ep == 0:
		data, ok := r.dev.control(q.setup)
		if r.config != nil && q.setup[1] == getDescriptor && q.setup[3] == configurationDescriptor {
			data = r.config
		}
		if q.setup[0] == toEndpoint && q.setup[1] == clearFeature {
			r.cleared[q.setup[4]>>7].Add(1)
		}
		if !ok {
			return appendReturn(nil, q.seq, statusStall, 0, nil)
		}
		data = data[:min(len(data), q.length)]
		return appendReturn(nil, q.seq, 0, len(data), data)
	case !q.in && r.out == nil:
		return appendReturn(nil, q.seq, 0, q.length, nil)
	case !q.in:
		status, ok := r.out(q.data)
		if !ok {
			return nil
		}
		return appendReturn(nil, q.seq, status, q.length, nil)
	case r.in == nil:
		return nil
	}
	data, status := r.in(int(r.asked.Add(1) - 1))
	if data == nil && status == 0 {
		return nil
	}
	return appendReturn(nil, q.seq, status, len(data), data)
}

func TestGuestStalls(t *testing.T) {
	frame := transport.EncodeFrame(nil, []byte("after all"))
	serial := newSerial()
	r := &rogue{in: func(n int) ([]byte, int32) {
		switch {
		case n < 3:
			return nil, statusStall
		case n == 3:
			return frame, 0
		}
		return nil, 0
	}}
	r.plugIn(t, serial)
	gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))
	gw.expect("after all")
	if got := r.cleared[1].Load(); got != 3 {
		t.Errorf("%d halts cleared, want 3", got)
	}
	if got := len(gw.ups); got != 1 {
		t.Errorf("came up %d times, want once", got)
	}
}

func TestGuestStallsForEver(t *testing.T) {
	serial := newSerial()
	r := &rogue{in: func(int) ([]byte, int32) { return nil, statusStall }}
	r.plugIn(t, serial)
	gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))
	gw.detail("stalls): unplug it")
	if got := r.cleared[1].Load(); got > 50 {
		t.Errorf("%d halts cleared before it was given up", got)
	}
}

// A catcher is for a rogue's out: it takes the messages that come.
type catcher struct {
	deframer transport.Deframer
	messages chan string
}

func newCatcher() *catcher { return &catcher{messages: make(chan string, 100)} }

func (c *catcher) take(data []byte) (int32, bool) {
	c.deframer.Feed(data, func(msg []byte) { c.messages <- string(msg) })
	return 0, true
}

func TestGuestStallsWhenSentTo(t *testing.T) {
	serial := newSerial()
	c := newCatcher()
	stalled := false
	r := &rogue{out: func(data []byte) (int32, bool) {
		if !stalled {
			stalled = true
			return statusStall, true
		}
		return c.take(data)
	}}
	r.plugIn(t, serial)
	gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))
	gw.up()
	if err := gw.link.Send(t.Context(), "", []byte("refused")); err == nil || !strings.Contains(err.Error(), "endpoint stalled") {
		t.Errorf("Send: %v", err)
	}
	gw.send("taken")
	if got := await(t, c.messages, "message"); got != "taken" {
		t.Errorf("the device has %q", got)
	}
	if got := r.cleared[0].Load(); got != 1 {
		t.Errorf("%d halts cleared, want 1", got)
	}
	if got := gw.link.Status(); got.State != transport.Up {
		t.Errorf("status %+v", got)
	}
}

func TestGuestEmptyPackets(t *testing.T) {
	frame := transport.EncodeFrame(nil, []byte("between"))
	serial := newSerial()
	r := &rogue{in: func(n int) ([]byte, int32) {
		if n == 150 {
			return frame, 0
		}
		return []byte{}, 0
	}}
	r.plugIn(t, serial)
	gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))
	gw.expect("between")
	time.Sleep(5 * time.Second)
	before := r.asked.Load()
	time.Sleep(2 * time.Second)
	if n := r.asked.Load() - before; n > 60 {
		t.Errorf("%d reads in 2 s of a device that sends nothing", n)
	}
	if got := gw.link.Status(); got.State != transport.Up {
		t.Errorf("status %+v", got)
	}
	gw.send("still taken")
}

func TestGuestUnplugInMidFrame(t *testing.T) {
	frame := transport.EncodeFrame(nil, []byte("whole"))
	serial := newSerial()
	gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))
	for round := range 3 {
		half := make(chan struct{}, 1)
		r := &rogue{in: func(n int) ([]byte, int32) {
			switch n {
			case 0:
				return frame, 0
			case 1:
				return frame[:4], 0
			case 2:
				half <- struct{}{} // the host has asked for more, so it has the half
			}
			return nil, 0
		}}
		r.plugIn(t, serial)
		gw.up()
		gw.expect("whole")
		await(t, half, "second half asked for")
		r.conn.Close()
		gw.detail("")
		if round > 0 {
			continue
		}
		// While it is away, the kernel tells when it is back, and nobody looks.
		until(t, "said to be away", func() bool {
			d := gw.link.Status().Detail
			return strings.Contains(d, "no USB device with") && strings.Contains(d, serial)
		})
	}
	if got := gw.link.Status().Dropped; got != 0 {
		t.Errorf("%d frames dropped: half of one met half of another", got)
	}
}

// TestGuestUnplugWhileSending pulls a device that has not taken a frame yet.
func TestGuestUnplugWhileSending(t *testing.T) {
	serial := newSerial()
	gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))
	asked := make(chan struct{}, 1)
	r := &rogue{out: func([]byte) (int32, bool) {
		asked <- struct{}{}
		return 0, false
	}}
	r.plugIn(t, serial)
	gw.up()
	sent := make(chan error, 1)
	go func() { sent <- gw.link.Send(t.Context(), "", make([]byte, transport.MaxMessage)) }()
	await(t, asked, "frame")
	r.conn.Close()
	if err := await(t, sent, "end of Send"); err == nil || !strings.Contains(err.Error(), "went away") {
		t.Errorf("Send: %v", err)
	}
	gw.detail("no USB device with")

	c := newCatcher()
	(&rogue{out: c.take}).plugIn(t, serial)
	gw.up()
	gw.send("whole")
	if got := await(t, c.messages, "message"); got != "whole" || c.deframer.Dropped() != 0 {
		t.Errorf("the device has %q, and dropped %d frames", got, c.deframer.Dropped())
	}
}

// descriptorOf returns a configuration descriptor with these descriptors in it.
func descriptorOf(interfaces byte, parts ...[]byte) []byte {
	d := []byte{9, configurationDescriptor, 0, 0, interfaces, configuration, 0, 0x80, 50}
	for _, p := range parts {
		d = append(d, p...)
	}
	d[2] = byte(len(d))
	return d
}

func interfaceOf(number, endpoints byte) []byte {
	return []byte{9, 4, number, 0, endpoints, class, subclass, protocol, 0}
}

var (
	goodIn       = []byte{7, 5, endpointIn, 2, 0, 2, 0}
	goodOut      = []byte{7, 5, endpointOut, 2, 0, 2, 0}
	interruptIn  = []byte{7, 5, 0x83, 3, 8, 0, 8}
	interruptOut = []byte{7, 5, 0x04, 3, 8, 0, 8}
	emptyIn      = []byte{7, 5, endpointIn, 2, 0, 0, 0}
)

func TestGuestDescriptors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config []byte
		detail string // "" comes up
	}{
		{"no endpoints", descriptorOf(1, interfaceOf(0, 0)), "has no bulk IN and bulk OUT endpoint"},
		{"interrupt only", descriptorOf(1, interfaceOf(0, 2), interruptIn, interruptOut), "has no bulk IN and bulk OUT endpoint"},
		{"bulk IN only", descriptorOf(1, interfaceOf(0, 2), goodIn, interruptOut), "has no bulk IN and bulk OUT endpoint"},
		{"bulk OUT only", descriptorOf(1, interfaceOf(0, 2), interruptIn, goodOut), "has no bulk IN and bulk OUT endpoint"},
		{"packets of no size", descriptorOf(1, interfaceOf(0, 2), emptyIn, goodOut), "has no bulk IN and bulk OUT endpoint"},
		{"bulk in another class", descriptorOf(2,
			interfaceOf(0, 0), []byte{9, 4, 1, 0, 2, 0xff, 0, 0, 0}, goodIn, goodOut), "has no bulk IN and bulk OUT endpoint"},
		{"a gap in the interface numbers", descriptorOf(1, interfaceOf(5, 2), goodIn, goodOut), ""},
		{"the class behind another", descriptorOf(2, []byte{9, 4, 0, 0, 0, 0xff, 0, 0, 0}, interfaceOf(1, 2), goodIn, goodOut), ""},
		{"an interface that comes twice", descriptorOf(3,
			interfaceOf(0, 2), goodIn, goodOut, interfaceOf(1, 0), interfaceOf(0, 2), goodIn, goodOut), "senseless descriptors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			serial := newSerial()
			r := &rogue{config: tt.config}
			r.plugIn(t, serial)
			gw := run(t, gateway(t, usb.Config{Name: "gateway", Serial: serial}))
			if tt.detail == "" {
				gw.up()
				gw.send("hello")
				return
			}
			gw.detail(tt.detail)
		})
	}
}

// TestGuestPermission looks at a device as a user who may not have it.
func TestGuestPermission(t *testing.T) {
	serial := newSerial()
	(&rogue{}).plugIn(t, serial)
	port := findPort(t, serial)
	read := func(name string) (n int) {
		b, err := os.ReadFile("/sys/bus/usb/devices/" + port + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Sscan(string(b), &n)
		return n
	}
	node := fmt.Sprintf("/dev/bus/usb/%03d/%03d", read("busnum"), read("devnum"))
	become := func(uid int) {
		if err := syscall.Setresuid(-1, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	for _, tt := range []struct {
		mode     fs.FileMode
		uid, gid int
		want     string
	}{
		{0o660, 0, 20, "no permission for " + node + ", USB device 1209:0001 at " + port + ": run this program in group dialout (gid 20)"},
		{0o600, 0, 0, "its group is root and its mode -rw-------: have a hotplug script or udev rule give it to this program's group"},
		{0o060, nobody, 20, "run this program in group dialout (gid 20)"},
	} {
		t.Run(fmt.Sprintf("%v %d %d", tt.mode, tt.uid, tt.gid), func(t *testing.T) {
			if err := os.Chown(node, tt.uid, tt.gid); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(node, tt.mode); err != nil {
				t.Fatal(err)
			}
			become(nobody)
			defer become(0)
			gw := run(t, gateway(t, usb.Config{Name: "gateway", Port: port}))
			gw.detail(tt.want)
			if tt.uid != nobody {
				return
			}
			// Its owner can put it right, and nothing tells of that.
			if err := os.Chmod(node, 0o600); err != nil {
				t.Fatal(err)
			}
			gw.up()
		})
	}
}
