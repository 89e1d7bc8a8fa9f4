//go:build usbguest

package usbip

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"cpns.example.net/pngw/transport/usb"
)

// TestGuestTwoDevices has two devices at once, told apart by serial number and by
// port.
func TestGuestTwoDevices(t *testing.T) {
	var devices [2]*end
	var ports, names [2]string
	for i := range devices {
		names[i] = newSerial()
		link, _ := pne(names[i])
		devices[i] = run(t, link)
		devices[i].up()
		until(t, "plugged in", func() bool { ports[i] = findPort(t, names[i]); return ports[i] != "" })
	}
	for i := range devices {
		for _, cfg := range []usb.Config{
			{Name: "by serial number", Serial: names[i]},
			{Name: "by port", Port: ports[i]},
			{Name: "by all", ID: "1209:0001:0", Serial: names[i], Port: ports[i]},
		} {
			t.Run(fmt.Sprint(cfg.Name, " ", i), func(t *testing.T) {
				gw := run(t, gateway(t, cfg))
				gw.up()
				if got := gw.link.Status().Detail; !strings.Contains(got, "1209:0001 at "+ports[i]+", serial number "+names[i]) {
					t.Errorf("detail is %q", got)
				}
				gw.send(cfg.Name)
				devices[i].expect(cfg.Name)
				devices[i].send("from " + names[i])
				gw.expect("from " + names[i])
			})
		}
	}
	t.Run("by chance", func(t *testing.T) {
		first, second := run(t, gateway(t, usb.Config{Name: "one"})), run(t, gateway(t, usb.Config{Name: "other"}))
		first.up()
		second.up()
		for _, d := range devices {
			d.send("hello")
		}
		first.expect("hello")
		second.expect("hello")
		if got := first.link.Status().Detail; !strings.Contains(got, "1 more like it") {
			t.Errorf("detail is %q, and does not tell of the other", got)
		}
	})
	t.Run("in use", func(t *testing.T) {
		first := run(t, gateway(t, usb.Config{Name: "one", Serial: names[0]}))
		first.up()
		run(t, gateway(t, usb.Config{Name: "other", Serial: names[0]})).detail("is in use by another")
	})
}

// TestGuestMoved has devices come back each at another's port: who wants a serial
// number follows it, and who wants a port takes what is there.
func TestGuestMoved(t *testing.T) {
	until(t, "vacant", func() bool { return vacant(t) })
	var devices [3]*end
	var plugs [3]*plug
	var ports, names [3]string
	for i := range devices {
		names[i] = newSerial()
		link, p := pne(names[i])
		devices[i], plugs[i] = run(t, link), p
		devices[i].up()
		until(t, "plugged in", func() bool { ports[i] = findPort(t, names[i]); return ports[i] != "" })
	}
	bySerial := run(t, gateway(t, usb.Config{Name: "by serial number", Serial: names[0]}))
	byPort := run(t, gateway(t, usb.Config{Name: "by port", Port: ports[1]}))
	for gw, device := range map[*end]*end{bySerial: devices[0], byPort: devices[1]} {
		gw.up()
		gw.send("before")
		device.expect("before")
	}

	for i, p := range plugs {
		p.pull(t, names[i])
	}
	bySerial.detail("no USB device with")
	byPort.detail("no USB device with")
	until(t, "vacant", func() bool { return vacant(t) })
	// The kernel gives out the first port that is free.
	for _, i := range []int{1, 2, 0} {
		plugs[i].push()
		devices[i].up()
	}
	if got := findPort(t, names[2]); got != ports[1] {
		t.Fatalf("%s is at %s, want %s", names[2], got, ports[1])
	}
	for gw, device := range map[*end]*end{bySerial: devices[0], byPort: devices[2]} {
		gw.up()
		gw.send("after")
		device.expect("after")
	}
}

// vacant tells whether every port of the kernel's controller is free, which takes a
// moment longer than for the device to be gone.
func vacant(t *testing.T) bool {
	t.Helper()
	status, err := os.ReadFile(vhciFolder + "/status")
	if err != nil {
		t.Fatal(err)
	}
	return len(freePorts(status)) == strings.Count(string(status), "hs ")
}
