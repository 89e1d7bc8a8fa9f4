//go:build linux

package openwrt

import (
	"os"
	"strings"
	"testing"
)

// reasons are what may bring procd to look at the agent again.
var reasons = map[string]func(r *router) string{
	"a line comes":       func(r *router) string { return r.hotplugSays("tty", "ACTION=add") },
	"a USB device comes": func(r *router) string { return r.hotplugSays("usb", "ACTION=add", "DEVTYPE=usb_interface") },
	"the clock is set":   func(r *router) string { return r.hotplugSays("ntp", "ACTION=stratum") },
	"a network comes":    func(r *router) string { r.event("interface.update"); return "" },
}

// TestLeftAlone: what was not started, or was stopped, is neither started nor
// talked about.
func TestLeftAlone(t *testing.T) {
	for _, tt := range []struct {
		name string
		with func(r *router)
	}{
		{"while the router starts", func(*router) {}},
		{"stopped by hand", func(r *router) {
			r.starts()
			if _, _, err := r.service("stop"); err != nil {
				t.Fatal(err)
			}
		}},
		{"not enabled", func(r *router) {
			r.configure(strings.Replace(configured, "enabled '1'", "enabled '0'", 1))
			if _, _, err := r.service("start"); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newGateway(t, "rootfs-openwrt-mips")
			tt.with(r)
			r.did()
			r.write("dev/ttyUSB7", "", 0o660)
			for reason, comes := range reasons {
				if said := comes(r); said != "" {
					t.Errorf("%s: said %q", reason, said)
				}
				if did := r.did(); did != "" {
					t.Errorf("%s: procd did %q", reason, did)
				}
			}
		})
	}
}

// TestGaveUp: each of them is another chance for an agent that procd gave up.
func TestGaveUp(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.starts()
	for reason, comes := range reasons {
		r.gaveUp()
		if said, did := comes(r), r.did(); said != "" || did != "start" {
			t.Errorf("%s: said %q, procd did %q", reason, said, did)
		}
	}
}

// TestGoesOn: nothing of what does not concern an agent that runs costs more than a
// look at procd's list.
func TestGoesOn(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.write("sbin/ujail", "", 0o755)
	r.starts()
	const mark = "mark|of the test\n"
	for name, comes := range map[string]func(){
		"the clock is set":         func() { r.hotplug("ntp", "ACTION=stratum") },
		"the clock was a bit off":  func() { r.hotplug("ntp", "ACTION=step") },
		"a line goes":              func() { r.hotplug("tty", "ACTION=remove") },
		"a USB device comes":       func() { r.hotplug("usb", "ACTION=add", "DEVTYPE=usb_device") },
		"a USB device goes":        func() { r.hotplug("usb", "ACTION=remove", "DEVTYPE=usb_interface") },
		"a network is as it was":   func() { r.event("interface.update") },
		"a network goes":           func() { r.event("interface.down") },
		"another package's change": func() { r.event("config.change", "network") },
	} {
		told := r.read("tmp/procd") + mark
		r.write("tmp/procd", told, 0o644)
		comes()
		if got := r.read("tmp/procd"); got != told {
			t.Errorf("%s: the service was reloaded", name)
		}
		r.write("tmp/procd", strings.Replace(r.read("tmp/procd"), mark, "", 1), 0o644)
		if did := r.did(); did != "" {
			t.Errorf("%s: procd did %q", name, did)
		}
	}
}

// TestNameServers: a jail keeps the list of name servers that was there when it was
// made, while netifd renames a new one over it.
func TestNameServers(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.write("sbin/ujail", "", 0o755)
	r.starts()
	named := func(server string) {
		r.write("tmp/resolv.conf.d/resolv.conf.auto.tmp", "nameserver "+server+"\n", 0o644)
		check(t, os.Rename(r.path("tmp/resolv.conf.d/resolv.conf.auto.tmp"), r.path("tmp/resolv.conf.d/resolv.conf.auto")))
	}
	wanUp := func(server string) {
		named(server)
		r.event("interface.update")
	}
	for _, tt := range []struct{ server, did string }{{"192.0.2.1", "restart"}, {"192.0.2.1", ""}, {"192.0.2.2", "restart"}} {
		wanUp(tt.server)
		if did := r.did(); did != tt.did {
			t.Errorf("with %s procd did %q, want %q", tt.server, did, tt.did)
		}
	}
	// Those that the configuration names netifd exchanges while the network stays up: no
	// event says so but that of the configuration.
	named("192.0.2.4")
	r.event("config.change", "network")
	if did := r.did(); did != "restart" {
		t.Errorf("with name servers that the configuration names procd did %q", did)
	}

	// Without a jail the agent reads it itself.
	check(t, os.Remove(r.path("sbin/ujail")))
	r.service("restart")
	r.did()
	wanUp("192.0.2.3")
	if did := r.did(); did != "" {
		t.Errorf("without a jail procd did %q", did)
	}
}

// TestExchanged: so do files that the configuration names, elsewhere than in the
// agent's own folder; a reload makes a new jail.
func TestExchanged(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.configure(strings.Replace(configured, "option socket", "option psk_file '/srv/psk1'\n\toption socket", 1))
	r.write("srv/psk1", strings.Repeat("5a", 32)+"\n", 0o600)
	if asRoot {
		check(t, os.Chown(r.path("srv/psk1"), int(r.credential("pngw").Uid), 0))
	}
	r.starts()
	for _, name := range []string{"etc/ssl/broker.pem", "srv/psk1", "etc/hosts"} {
		if name == "etc/hosts" {
			r.write("sbin/ujail", "", 0o755)
			r.service("restart")
			r.did()
		}
		old := must(os.Stat(r.path(name)))(t)
		text := r.read(name)
		if name == "srv/psk1" {
			text = strings.Repeat("a5", 32)
		}
		r.write(name+".new", text+"\n", old.Mode())
		if asRoot && name == "srv/psk1" {
			check(t, os.Chown(r.path(name+".new"), int(r.credential("pngw").Uid), 0))
		}
		check(t, os.Rename(r.path(name+".new"), r.path(name)))
		for _, want := range []string{"restart", ""} {
			says, _, err := r.service("reload")
			if did := r.did(); err != nil || did != want {
				t.Errorf("%s: reload: %v, procd did %q, want %q\n%s", name, err, did, want, says)
			}
		}
	}
}

// TestStaged: what uci has not committed does not count, for nobody.
func TestStaged(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	before := r.starts()
	uci := func(args ...string) {
		t.Helper()
		if out, err := r.command(nil, "/sbin/uci", args...).CombinedOutput(); err != nil {
			t.Fatalf("uci %q: %v\n%s", args, err, out)
		}
	}
	uci("set", "pngw.service.enabled=0")
	uci("set", "pngw.gone.device=/dev/ttyUSB0x")
	r.write("dev/ttyUSB0x", "", 0o660)
	r.hotplug("tty", "ACTION=add")
	if says, tells, err := r.service("reload"); err != nil || tells != before || r.did() != "" {
		t.Errorf("with changes that are only staged, reload: %v\n%s\ntold:\n%s", err, says, tells)
	}
	uci("commit", "pngw")
	if did := r.did(); did != "stop" {
		t.Errorf("once it was committed that the agent is not to run, procd did %q", did)
	}
	uci("set", "pngw.service.enabled=1")
	uci("commit", "pngw")
	if did := r.did(); did != "start" || !strings.Contains(r.read("tmp/procd"), "add_jail_mount_rw|/dev/ttyUSB0x\n") {
		t.Errorf("once it was committed that it is, procd did %q and was told\n%s", did, r.read("tmp/procd"))
	}
}

// TestOddPaths: whatever a path is made of, the jail has it as it is, and no shell
// takes it apart or runs it.
func TestOddPaths(t *testing.T) {
	for _, path := range []string{"/srv/two words/ca", "/srv/*", "/srv/$(touch /tmp/ran)", "/srv/`touch /tmp/ran`", `/srv/"a\b`, "/srv/-w", "/srv/;touch /tmp/ran", "/srv/é"} {
		r := newGateway(t, "rootfs-openwrt-mips")
		r.configure(strings.Replace(configured, "'/etc/ssl/broker.pem'", "'"+path+"'", 1))
		r.write(path[1:], certificate(t), 0o644)
		r.write("srv/another", "", 0o644)
		tells := r.starts()
		for _, line := range []string{"append_param|file|" + path + "\n", "add_jail_mount|" + path + "\n"} {
			if strings.Count(tells, line) != 1 {
				t.Errorf("%s: procd was told\n%s", path, tells)
			}
		}
		if _, err := os.Stat(r.path("tmp/ran")); err == nil || strings.Contains(tells, "another") {
			t.Errorf("%s: a shell has taken it apart", path)
		}
	}

	r := newGateway(t, "rootfs-openwrt-mips")
	r.configure(strings.Replace(configured, "'/etc/ssl/broker.pem'", "'/srv/a:b'", 1))
	r.write("srv/a:b", certificate(t), 0o644)
	if says, _, err := r.service("start"); err == nil || !strings.Contains(says, `/etc/config/pngw:21: "/srv/a:b": OpenWrt's jail takes no path with a colon`) {
		t.Errorf("with a colon: %v\n%s", err, says)
	}

	// procd's shell functions keep only letters and digits apart.
	r.configure(strings.Replace(configured, "option ca '/etc/ssl/broker.pem'", "option ca '/srv/a-b'\n\toption cert '/srv/a_b'\n\toption key '/srv/a_b.key'", 1))
	for _, name := range []string{"srv/a-b", "srv/a_b", "srv/a_b.key"} {
		r.write(name, certificate(t), 0o644)
	}
	out := must(r.command(nil, "/usr/bin/pngw", "procd").Output())(t)
	if !strings.Contains(string(out), "file /srv/a-b\n") || !strings.Contains(string(out), "file //srv/a_b\n") {
		t.Errorf("two that differ only there:\n%s", out)
	}
}

// TestOneAtATime: who waits for another start or reload to end sees the configuration as
// it is then, and not as it was when he came.
func TestOneAtATime(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.starts()
	check(t, os.Mkdir(r.path("tmp/procd.lock"), 0o755)) // another is at it
	type answer struct {
		says, tells string
		err         error
	}
	ended := make(chan answer, 1)
	go func() {
		says, tells, err := r.service("reload")
		ended <- answer{says, tells, err}
	}()
	r.soon("tmp/procd.waits")
	r.write("etc/config/pngw", strings.Replace(configured, "gogc '50'", "gogc '77'", 1), 0o600)
	check(t, os.Remove(r.path("tmp/procd.lock")))
	if a := <-ended; a.err != nil || !strings.Contains(a.tells, "GOGC=77") {
		t.Errorf("reload: %v\n%s\ntells\n%s", a.err, a.says, a.tells)
	}
}
