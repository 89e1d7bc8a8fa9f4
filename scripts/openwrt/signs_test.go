//go:build linux

package openwrt

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// lightsAndButton is a board that has two lights, of which the kernel blinks one, and a button. Files are what the
// kernel's would be but for what a trigger does: TestSigns of scripts/qemu has those.
func (r *router) lightsAndButton() {
	r.t.Helper()
	for name, files := range map[string]map[string]string{
		"green:status": {"trigger": "none [default-on] timer\n", "brightness": "255\n", "max_brightness": "255\n", "delay_on": "", "delay_off": ""},
		"red:status":   {"trigger": "[none] mmc0\n", "brightness": "0\n", "max_brightness": "255\n"},
	} {
		dir := "sys/devices/platform/leds/leds/" + name
		for file, text := range files {
			r.write(dir+"/"+file, text, 0o644)
		}
		r.link("sys/class/leds/"+name, "../../devices/platform/leds/leds/"+name)
	}
	device := "sys/devices/platform/keys/input/input0/"
	r.write(device+"name", "keys\n", 0o644)
	r.write(device+"id/bustype", "0019\n", 0o644)
	r.write(device+"capabilities/key", "20000 0 0 0 0 0 0 0 0\n", 0o644)
	r.link("sys/class/input/event0", "../../devices/platform/keys/input/input0/event0")
	r.link(device+"event0/device", "../../input0")
	check(r.t, os.MkdirAll(r.path("dev/input"), 0o755))
	if asRoot {
		check(r.t, syscall.Mknod(r.path("dev/input/event0"), syscall.S_IFCHR|0o600, 1<<8|3)) // /dev/null
	}
}

const signsConfigured = `
	option led 'green:status'
	option alarm_led 'red:status'
	option button 'wps'
`

// TestSignAccess: the init script gives the agent's user its lights and its button, tells
// procd to show them in the jail, and puts the lights back when the service is stopped, or
// when they are no longer configured.
func TestSignAccess(t *testing.T) {
	needsRoot(t)
	r := newGateway(t, "rootfs-openwrt-mips")
	r.lightsAndButton()
	with := strings.Replace(configured, "config gateway 'main'\n", "config gateway 'main'\n"+signsConfigured, 1)
	r.configure(with)
	agent := r.credential("pngw").Gid
	green, red := r.path("sys/class/leds/green:status"), r.path("sys/class/leds/red:status")
	mode := func(path string, gid uint32, want fs.FileMode) {
		t.Helper()
		info := must(os.Stat(path))(t)
		if s := info.Sys().(*syscall.Stat_t); info.Mode() != want || s.Gid != gid || s.Uid != 0 {
			t.Errorf("%s: %v of %d:%d, want %v of 0:%d", path, info.Mode(), s.Uid, s.Gid, want, gid)
		}
	}
	given := func() {
		t.Helper()
		for _, file := range []string{"brightness", "delay_on", "delay_off"} {
			mode(filepath.Join(green, file), agent, 0o664)
		}
		mode(filepath.Join(red, "brightness"), agent, 0o664)
		mode(filepath.Join(green, "trigger"), 0, 0o644)
		mode(filepath.Join(red, "trigger"), 0, 0o644)
		mode(r.path("dev/input/event0"), agent, 0o640|fs.ModeDevice|fs.ModeCharDevice)
	}
	is := func(file, want string) {
		t.Helper()
		if got := strings.TrimSpace(string(must(os.ReadFile(file))(t))); got != want {
			t.Errorf("%s has %q, want %q", file, got, want)
		}
	}
	tells := r.starts()
	for _, want := range []string{"add_jail_mount_rw|/sys/devices\n", "add_jail_mount|/dev/input\n"} {
		if !strings.Contains(tells, want) {
			t.Errorf("procd was not told %q:\n%s", want, tells)
		}
	}
	given()
	is(green+"/trigger", "timer")
	is(red+"/trigger", "[none] mmc0")

	// What the kernel would have made of it, and the same again.
	r.write("sys/class/leds/green:status/trigger", "none default-on [timer]\n", 0o644)
	for _, action := range []string{"reload", "restart"} {
		if says, _, err := r.service(action); err != nil || says != "" {
			t.Errorf("%s: %v\n%s", action, err, says)
		}
		given()
		r.write("sys/class/leds/green:status/trigger", "none default-on [timer]\n", 0o644)
	}

	// A light and a button that come later are given, too.
	for _, file := range []string{"brightness", "delay_on", "delay_off"} {
		check(t, os.Chown(filepath.Join(green, file), 0, 0))
	}
	r.hotplug("leds", "ACTION=add")
	check(t, os.Chown(r.path("dev/input/event0"), 0, 0))
	r.hotplug("input", "ACTION=add", "DEVNAME=input/event0")
	given()

	if _, _, err := r.service("stop"); err != nil {
		t.Fatal(err)
	}
	is(green+"/trigger", "default-on")
	is(green+"/brightness", "255")
	mode(green+"/brightness", 0, 0o644)
	is(red+"/trigger", "none")
	is(red+"/brightness", "0")
	if kept := must(filepath.Glob(r.path("var/run/pngw-leds/*")))(t); len(kept) > 0 {
		t.Errorf("still kept: %q", kept)
	}

	// No longer configured.
	r.write("sys/class/leds/green:status/trigger", "none [default-on] timer\n", 0o644)
	r.starts()
	is(green+"/trigger", "timer")
	r.configure(configured)
	if says, _, err := r.service("reload"); err != nil || says != "" {
		t.Errorf("reload: %v\n%s", err, says)
	}
	is(green+"/trigger", "default-on")

	// A light that is not there, or not any more, stops nothing.
	r.configure(strings.Replace(with, "green:status", "blue:status", 1))
	if says, _, err := r.service("restart"); err != nil || !strings.Contains(says, "warning: /etc/config/pngw:10: option led: no light blue:status") {
		t.Errorf("restart: %v\n%s", err, says)
	}
	check(t, os.RemoveAll(r.path("sys/devices/platform/leds")))
	if _, _, err := r.service("stop"); err != nil {
		t.Fatal(err)
	}
}

// TestSignsInJail: the agent in its jail, which is not root, sets its light, and says by
// which device it hears the button; what it may not write it says, too.
func TestSignsInJail(t *testing.T) {
	needsRoot(t)
	n := newNetwork(t, "meter-1")
	r := newGateway(t, "rootfs-openwrt-mips")
	r.takeHome(n)
	r.lightsAndButton()
	r.write("etc/config/pngw", strings.Replace(r.read("etc/config/pngw"), "config gateway 'main'\n", "config gateway 'main'\n"+signsConfigured, 1), 0o600)
	tells := r.starts()
	r.write("sys/class/leds/green:status/trigger", "none default-on [timer]\n", 0o644)
	r.jailed(tells)
	light := func(file, want string) func() bool {
		return func() bool {
			return strings.TrimSpace(string(must(os.ReadFile(r.path("sys/class/leds/green:status/"+file)))(t))) == want
		}
	}
	until(t, "the light is idle's", light("delay_on", "50"))
	until(t, "all of it", light("delay_off", "2950"))
	status := func() string {
		return string(must(r.command(nil, "/usr/bin/pngw", "status").CombinedOutput())(t))
	}
	until(t, "the status has them", func() bool {
		s := status()
		return strings.Contains(s, "Light green:status  shows what the agent does") && strings.Contains(s, "keys (/dev/input/event0)")
	})

	// Kept for the button, it waits.
	out, err := r.command(nil, "/usr/bin/pngw", "provision", "--user", alice, "--password-file", "/etc/alice.pw", "--hold", "meter-1").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "meter-1: kept: it gets its key when the router's button is pressed") {
		t.Errorf("--hold: %v\n%s", err, out)
	}
	if s := status(); !strings.Contains(s, "devices that wait for it: 1") {
		t.Errorf("the status is\n%s", s)
	}

	// Somebody takes the light away from the agent.
	check(t, os.Chmod(r.path("sys/class/leds/green:status/delay_on"), 0o644))
	check(t, os.Chmod(r.path("sys/class/leds/green:status/delay_off"), 0o644))
	if out, err := r.command(nil, "/usr/bin/pngw", "provision", "--user", alice, "--password-file", "/etc/alice.pw", "--wait", "30s", "meter-1").CombinedOutput(); err != nil {
		t.Errorf("without --hold: %v\n%s", err, out)
	}
	until(t, "the status says what is in the way", func() bool {
		return strings.Contains(status(), "no permission to write ")
	})
	doctor, _ := r.command(nil, "/usr/bin/pngw", "doctor").CombinedOutput()
	if !strings.Contains(strings.Join(strings.Fields(string(doctor)), " "), "BAD light green:status: no permission to write") {
		t.Errorf("the doctor says\n%s", doctor)
	}
}
