//go:build linux

package openwrt

import (
	"io/fs"
	"os"
	"strings"
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

// TestHotplug: a line that comes reloads the service, what else happens does not.
func TestHotplug(t *testing.T) {
	for _, tt := range []struct {
		subsystem string
		env       []string
		reloads   bool
	}{
		{"tty", []string{"ACTION=add"}, true},
		{"tty", []string{"ACTION=remove"}, false},
		{"ntp", []string{"ACTION=stratum"}, true},
		{"ntp", []string{"ACTION=step"}, false},
		{"usb", []string{"ACTION=add", "DEVTYPE=usb_interface"}, true},
		{"usb", []string{"ACTION=add", "DEVTYPE=usb_device"}, false},
		{"usb", []string{"ACTION=remove", "DEVTYPE=usb_interface"}, false},
	} {
		t.Run(tt.subsystem+" "+strings.Join(tt.env, " "), func(t *testing.T) {
			r := newGateway(t, "rootfs-openwrt-mips")
			// /etc/init.d/pngw is run by its first line, which the kernel reads.
			cmd := r.command(nil, "/bin/sh", "/etc/hotplug.d/"+tt.subsystem+"/50-pngw")
			cmd.Env = append(cmd.Env, tt.env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			_, err = os.Stat(r.path("tmp/procd"))
			told := err == nil && strings.Contains(r.read("tmp/procd"), "open_instance")
			if told != tt.reloads {
				t.Errorf("reloaded: %v, want %v\n%s", told, tt.reloads, out)
			}
		})
	}
}

// TestLineComes: the line that was not there is in the next jail.
func TestLineComes(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	_, before, err := r.service("start")
	check(t, err)
	r.write("dev/ttyUSB7", "", 0o660)
	_, after, err := r.service("reload")
	check(t, err)
	const mount = "add_jail_mount_rw|/dev/ttyUSB7\n"
	if strings.Contains(before, mount) || !strings.Contains(after, mount) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
