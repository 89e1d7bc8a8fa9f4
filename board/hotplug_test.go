package board

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseUevent(t *testing.T) {
	const usb = "add@/devices/platform/vhci_hcd.0/usb1/1-1\x00ACTION=add\x00DEVPATH=/devices/platform/vhci_hcd.0/usb1/1-1\x00" +
		"SUBSYSTEM=usb\x00MAJOR=189\x00MINOR=1\x00DEVNAME=bus/usb/001/002\x00DEVTYPE=usb_device\x00SEQNUM=1234\x00"
	tests := []struct {
		name, msg string
		want      uevent
		ok        bool
	}{
		{"a device", usb, uevent{"add", "usb", "/devices/platform/vhci_hcd.0/usb1/1-1", ""}, true},
		{"a line", "remove@/x\x00ACTION=remove\x00DEVPATH=/x\x00SUBSYSTEM=tty\x00", uevent{"remove", "tty", "/x", ""}, true},
		{"OpenWrt's button", "pressed@\x00HOME=/\x00PATH=/sbin:/bin:/usr/sbin:/usr/bin\x00SUBSYSTEM=button\x00ACTION=pressed\x00BUTTON=wps\x00SEEN=4\x00SEQNUM=401\x00", uevent{"pressed", "button", "", "wps"}, true},
		{"no last zero", "remove@/x\x00ACTION=remove\x00SUBSYSTEM=tty", uevent{"remove", "tty", "", ""}, true},
		{"value with =", "add@/x\x00ACTION=add\x00SUBSYSTEM=a=b\x00", uevent{"add", "a=b", "", ""}, true},
		{"udev's", "libudev\x00\xfe\xed\xca\xfe\x00ACTION=add\x00SUBSYSTEM=usb\x00", uevent{}, false},
		{"no subsystem", "add@/x\x00ACTION=add\x00", uevent{}, false},
		{"no action", "add@/x\x00SUBSYSTEM=usb\x00", uevent{}, false},
		{"nothing", "", uevent{}, false},
		{"zeros", "\x00\x00\x00", uevent{}, false},
		{"summary only", "add@/x", uevent{}, false},
	}
	for _, tt := range tests {
		got, ok := parseUevent([]byte(tt.msg))
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseUevent(f *testing.F) {
	f.Add([]byte("add@/x\x00ACTION=add\x00SUBSYSTEM=usb\x00"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if e, ok := parseUevent(msg); ok && (e.action == "" || e.subsystem == "") {
			t.Errorf("accepted %+v", e)
		}
	})
}

func TestFromKernel(t *testing.T) {
	for _, tt := range []struct {
		from syscall.Sockaddr
		want bool
	}{
		{&syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: 1}, true},
		{&syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Pid: 4711, Groups: 1}, false},
		{&syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Pid: 4711}, false},
		{&syscall.SockaddrUnix{}, false},
		{nil, false},
	} {
		if got := fromKernel(tt.from); got != tt.want {
			t.Errorf("%+v: got %v, want %v", tt.from, got, tt.want)
		}
	}
}

// woken tells whether c has a wake-up, or is closed.
func woken(c <-chan struct{}) (woken, open bool) {
	select {
	case _, open := <-c:
		return true, open
	default:
		return false, true
	}
}

// TestFanOut holds who is woken by what, and that nobody is waited for.
func TestFanOut(t *testing.T) {
	h := NewHotplug(nil)
	tty, usb, both := h.Watch("tty"), h.Watch("usb"), h.Watch("tty", "usb")
	check := func(what string, want ...bool) {
		t.Helper()
		for i, c := range []<-chan struct{}{tty, usb, both} {
			if got, open := woken(c); got != want[i] || !open {
				t.Errorf("%s: watcher %d woken: %v, open %v; want %v", what, i, got, open, want[i])
			}
		}
	}
	check("nothing", false, false, false)
	h.wake(uevent{"add", "usb", "/x", ""})
	check("usb", false, true, true)
	h.wake(uevent{"add", "block", "/x", ""})
	check("block", false, false, false)
	for range 1000 { // one wake-up is kept, and stands for all
		h.wake(uevent{"add", "tty", "/x", ""})
	}
	check("tty", true, false, true)
	check("tty again", false, false, false)
	h.wakeAll()
	check("lost events", true, true, true)
}

// runHotplug runs h until the test ends.
func runHotplug(t *testing.T, h *Hotplug) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("Run does not end")
		}
	}
}

// TestHotplugEnds runs on this machine's kernel, whether it sends events or not.
func TestHotplugEnds(t *testing.T) {
	var log bytes.Buffer
	h := NewHotplug(slog.New(slog.NewTextHandler(&log, nil)))
	c := h.Watch("tty", "usb")
	runHotplug(t, h)()
	for _, open := <-c; open; _, open = <-c {
	}
	if n := strings.Count(log.String(), "\n"); n > 1 {
		t.Errorf("it is said %d times that there are no events:\n%s", n, log.Bytes())
	}
	if err := h.Run(t.Context()); err == nil {
		t.Error("a second Run returned no error")
	}
}

// uevents opens this kernel's uevents, or ends the test where there are none.
func uevents(t *testing.T) *ueventSocket {
	t.Helper()
	s, err := openUevents()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(s.close)
	return s
}

// TestKernelEvent has the kernel send an event, by asking it to repeat one.
func TestKernelEvent(t *testing.T) {
	const device = "/sys/class/tty/ptmx/uevent"
	s := uevents(t)
	if err := os.WriteFile(device, []byte("change"), 0); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("this test must be run as root, with a writable /sys: %v", err)
		}
		t.Skip(err)
	}
	s.file.SetReadDeadline(time.Now().Add(2 * time.Minute))
	for {
		e, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		if e.subsystem == "tty" && e.action == "change" && strings.HasSuffix(e.device, "/ptmx") {
			return
		}
	}
}

// TestForgedEvent sends what looks like an event from this process.
func TestForgedEvent(t *testing.T) {
	s := uevents(t)
	var to syscall.Sockaddr
	if err := s.conn.Control(func(fd uintptr) { to, _ = syscall.Getsockname(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	forged := []byte("add@/forged\x00ACTION=add\x00DEVPATH=/forged\x00SUBSYSTEM=usb\x00")
	target := &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Pid: to.(*syscall.SockaddrNetlink).Pid}
	if err := syscall.Sendto(fd, forged, 0, target); errors.Is(err, syscall.EPERM) {
		return // not root: the kernel does not let us either
	} else if err != nil {
		t.Fatal(err)
	}
	s.file.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	for {
		e, err := s.next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.device == "/forged" {
			t.Fatalf("an event that another process has sent was believed: %+v", e)
		}
	}
}
