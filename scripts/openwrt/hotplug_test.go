//go:build linux

package openwrt

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// plug puts a USB device into the router's files: what the kernel says of it,
// and its node, which OpenWrt leaves to root.
func (r *router) plug(port, ids, dev, class string) (node string) {
	sys := "sys/bus/usb/devices/" + port + "/"
	vendor, product, _ := strings.Cut(ids, ":")
	r.write(sys+"idVendor", vendor+"\n", 0o444)
	r.write(sys+"idProduct", product+"\n", 0o444)
	r.write(sys+"busnum", "1\n", 0o444)
	r.write(sys+"devnum", dev+"\n", 0o444)
	for i, name := range []string{"bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"} {
		r.write(sys+port+":1.0/"+name, strings.Split(class, "/")[i]+"\n", 0o444)
	}
	node = "dev/bus/usb/001/00" + dev
	r.write(node, "", 0o644)
	return node
}

func link(options ...string) string {
	return "\nconfig link 'usb'\n\toption type 'usb'\n\toption " + strings.Join(options, "\n\toption ") + "\n"
}

// TestUSBAccess: a device that a link is for is opened to dialout, no other is.
func TestUSBAccess(t *testing.T) {
	for _, tt := range []struct {
		name, config   string
		ours, ids, web bool // which device is opened
	}{
		{"no link", configured, false, false, false},
		{"class", configured + link("enabled '1'"), true, false, false},
		{"id", configured + link("id '1D6B:00aF:2'"), false, true, false},
		{"off", configured + link("enabled '0'"), false, false, false},
		{"both", configured + link("id '1d6b:00af'") + strings.Replace(link("enabled '1'"), "'usb'", "'usb2'", 1), true, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouter(t, "rootfs-openwrt-mips")
			r.install()
			r.configure(tt.config)
			nodes := map[string]bool{
				r.plug("1-1", "1209:0001", "4", "ff/43/01"):   tt.ours,
				r.plug("1-1.2", "1d6b:00af", "5", "ff/ff/ff"): tt.ids,
				r.plug("1-2", "046d:0825", "6", "0e/01/00"):   tt.web,
			}
			out, err := r.command(nil, "/usr/libexec/pngw-usb-access").CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
			for node, open := range nodes {
				info := must(os.Stat(r.path(node)))(t)
				mode, gid := fs.FileMode(0o644), uint32(0)
				if open {
					mode, gid = 0o660, 20
				}
				if got := info.Sys().(*syscall.Stat_t).Gid; asRoot && got != gid || info.Mode() != mode {
					t.Errorf("%s: group %d, mode %v, want %d, %v", node, got, info.Mode(), gid, mode)
				}
			}
		})
	}
}

// TestLineComes: the line that was not there is in the next jail.
func TestLineComes(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	before := r.starts()
	r.write("dev/ttyUSB7", "", 0o660)
	r.hotplug("tty", "ACTION=add")
	after := r.read("tmp/procd")
	if did := r.did(); did != "restart" {
		t.Errorf("procd did %q", did)
	}
	const mount = "add_jail_mount_rw|/dev/ttyUSB7\n"
	if strings.Contains(before, mount) || !strings.Contains(after, mount) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// adapter puts a serial adapter on USB into the router's files as the kernel
// does, and its line. words are its manufacturer, product and serial number, as
// many as it has.
func (r *router) adapter(line, port string, words ...string) {
	usb := "sys/devices/platform/ehci-platform.0/usb1/1-1/" + port
	r.write(usb+"/idVendor", "0403\n", 0o444)
	r.write(usb+"/idProduct", "6001\n", 0o444)
	for i, word := range words {
		r.write(usb+"/"+[]string{"manufacturer", "product", "serial"}[i], word+"\n", 0o444)
	}
	r.write(usb+"/"+port+":1.0/bInterfaceNumber", "00\n", 0o444)
	r.write(usb+"/"+port+":1.0/"+line+"/port_number", "0\n", 0o444)
	r.link("sys/devices/platform/ehci-platform.0/subsystem", "../../../bus/platform")
	tty := usb + "/" + port + ":1.0/" + line + "/tty/" + line
	r.link(tty+"/device", "../../../"+line)
	r.link("sys/class/tty/"+line, "../../../"+tty)
	r.write("dev/"+line, "", 0o660)
}

// gone takes an adapter away again.
func (r *router) gone(line, port string) {
	for _, name := range []string{"sys/devices/platform/ehci-platform.0/usb1/1-1/" + port, "sys/class/tty/" + line, "dev/" + line} {
		check(r.t, os.RemoveAll(r.path(name)))
	}
}

// names returns what is in /dev/serial and the line that each leads to.
func (r *router) names() map[string]string {
	r.t.Helper()
	names := map[string]string{}
	for _, folder := range []string{"by-id", "by-path"} {
		for _, entry := range must(os.ReadDir(r.path("dev/serial/" + folder)))(r.t) {
			name := folder + "/" + entry.Name()
			names[name] = filepath.Base(must(os.Readlink(r.path("dev/serial/" + name)))(r.t))
		}
	}
	return names
}

// TestSerialNames: an adapter keeps its names under another number, adapters that
// cannot be told apart have only that of their port, and names that somebody
// else has made stay.
func TestSerialNames(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips") // which has by-id/usb-meter
	comes := func(action string) {
		t.Helper()
		r.hotplug("tty", "ACTION="+action)
	}
	holds := func(want map[string]string) {
		t.Helper()
		want["by-id/usb-meter"] = "ttyUSB0"
		if got := r.names(); !maps.Equal(got, want) {
			t.Errorf("got\n%v\nwant\n%v", got, want)
		}
	}
	const (
		meter   = "by-id/usb-FTDI_FT232R_USB_UART_A1_.._x-if00-port0"
		pump    = "by-id/usb-0403_6001-if00-port0"
		byPort2 = "by-path/platform-ehci-platform.0-usb-0:1.2:1.0-port0"
		byPort3 = "by-path/platform-ehci-platform.0-usb-0:1.3:1.0-port0"
	)
	words := []string{"FTDI", " FT232R USB  UART ", "A1/../x"}
	r.write("sys/class/tty/ttyS0/dev", "4:64\n", 0o444) // not on USB

	r.adapter("ttyUSB0", "1-1.2", words...)
	comes("add")
	holds(map[string]string{meter: "ttyUSB0", byPort2: "ttyUSB0"})

	// Gone, and its number somebody else's by the time that anybody looks.
	r.gone("ttyUSB0", "1-1.2")
	r.adapter("ttyUSB0", "1-1.3")
	comes("remove")
	holds(map[string]string{pump: "ttyUSB0", byPort3: "ttyUSB0"})

	r.adapter("ttyUSB1", "1-1.2", words...)
	comes("add")
	holds(map[string]string{meter: "ttyUSB1", byPort2: "ttyUSB1", pump: "ttyUSB0", byPort3: "ttyUSB0"})

	r.gone("ttyUSB1", "1-1.2")
	r.adapter("ttyUSB1", "1-1.2") // of the kind of the other
	comes("add")
	holds(map[string]string{byPort2: "ttyUSB1", byPort3: "ttyUSB0"})
}

// TestLineMoves: a line that is called by its name is in the next jail under the
// number that it has come back with.
func TestLineMoves(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	const name = "usb-FTDI_FT232R_USB_UART_A1-if00-port0"
	r.configure(strings.Replace(configured, "usb-meter", name, 1))
	r.starts()
	for number, line := range []string{"ttyUSB3", "ttyUSB4"} {
		if number > 0 {
			r.gone("ttyUSB3", "1-1.2")
		}
		r.adapter(line, "1-1.2", "FTDI", "FT232R USB UART", "A1")
		r.hotplug("tty", "ACTION=add")
		if told := r.read("tmp/procd"); !strings.Contains(told, "add_jail_mount_rw|/dev/"+line+"\n") {
			t.Errorf("the jail lacks /dev/%s:\n%s", line, told)
		}
	}
}

// hotplug runs the package's script for what the kernel, or the time's client, says,
// as hotplug-call does. It has nothing to say itself.
func (r *router) hotplug(subsystem string, env ...string) {
	r.t.Helper()
	if out := r.hotplugSays(subsystem, env...); out != "" {
		r.t.Errorf("hotplug %s %q says %s", subsystem, env, out)
	}
}

func (r *router) hotplugSays(subsystem string, env ...string) string {
	cmd := r.command(nil, "/bin/sh", "-c", ". /etc/hotplug.d/"+subsystem+"/50-pngw")
	cmd.Env = append(cmd.Env, env...)
	out, _ := cmd.CombinedOutput() // whose exit code nobody looks at
	return string(out)
}

// TestAtOnce: adapters that come and go side by side have their names right in the
// end, and no others.
func TestAtOnce(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	const rounds = 25
	for round := range rounds {
		want := map[string]string{"by-id/usb-meter": "ttyUSB0"}
		var running sync.WaitGroup
		for i := range 2 {
			line, port, serial := fmt.Sprintf("ttyUSB%d", 3+i), fmt.Sprintf("1-1.%d", 2+i), fmt.Sprintf("A%d", i)
			if round%2 == 0 {
				r.adapter(line, port, "FTDI", "UART", serial)
				want["by-id/usb-FTDI_UART_"+serial+"-if00-port0"] = line
				want["by-path/platform-ehci-platform.0-usb-0:"+port[2:]+":1.0-port0"] = line
			} else {
				r.gone(line, port)
			}
			running.Go(func() { r.hotplugSays("tty", "ACTION=remove") })
		}
		running.Wait()
		if got := r.names(); !maps.Equal(got, want) {
			t.Fatalf("round %d: got\n%v\nwant\n%v", round, got, want)
		}
	}
}

// TestCutShort: names that a run of the script left behind which did not get to its
// end are taken away by the next.
func TestCutShort(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.adapter("ttyUSB3", "1-1.2", "FTDI", "UART", "A1")
	cmd := r.command(nil, "/bin/sh", "-c", "ln() { /bin/ln \"$@\"; exit 1; }; . /usr/libexec/pngw-serial-names")
	out, err := cmd.CombinedOutput()
	if len(r.names()) < 2 {
		t.Fatalf("it has made no name before it ended: %v: %s", err, out)
	}
	r.gone("ttyUSB3", "1-1.2")
	r.hotplug("tty", "ACTION=remove")
	if got := r.names(); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}
