//go:build linux

package openwrt

import (
	"strings"
	"testing"
)

// sysupgrade makes a router of another image that keeps of old what OpenWrt
// keeps: what keep.d and conffiles list, found as sysupgrade finds it, and packed by
// tar with the numbers of its owners.
func sysupgrade(t *testing.T, old *router, model string) *router {
	t.Helper()
	old.write("usr/lib/opkg/info/pngw.conffiles", packages(t).ipk.control["conffiles"], 0o644)
	kept := old.command(nil, "/bin/sh", "-c",
		`tar -czf - $(find $(sed -ne '/^[[:space:]]*$/d; /^#/d; p' /lib/upgrade/keep.d/* /usr/lib/opkg/info/pngw.conffiles) -type f -o -type l)`)
	backup := must(kept.Output())(t)

	fresh := newRouter(t, model)
	// In the new image somebody else has the number that the user had.
	fresh.write("etc/passwd", fresh.read("etc/passwd")+"other:x:32768:32768:other:/:/bin/false\n", 0o644)
	fresh.install()
	restore := fresh.command(nil, "/bin/tar", "-xzf", "-", "-C", "/")
	restore.Stdin = strings.NewReader(string(backup))
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("restoring: %v\n%s", err, out)
	}
	fresh.write("etc/ssl/broker.pem", old.read("etc/ssl/broker.pem"), 0o644)
	return fresh
}

var state = []string{"etc/pngw/root.key", "etc/pngw/root.key.board", "etc/pngw/psk1", "etc/config/pngw"}

// TestUpgrade: on the same board, the store opens after an upgrade and the agent
// runs, though its user has got another number.
func TestUpgrade(t *testing.T) {
	old := newGateway(t, "rootfs-openwrt-mips")
	if says, _, err := old.service("start"); err != nil {
		t.Fatalf("start: %v\n%s", err, says)
	}
	old.runInstance()()

	fresh := sysupgrade(t, old, "rootfs-openwrt-mips")
	for _, name := range state {
		if fresh.read(name) != old.read(name) {
			t.Errorf("%s is not what it was", name)
		}
	}
	if asRoot && fresh.credential("pngw").Uid == old.credential("pngw").Uid {
		t.Error("the user has the number that it had: this test shows less than it should")
	}
	says, _, err := fresh.service("start")
	if err != nil {
		t.Fatalf("start: %v\n%s", err, says)
	}
	out, err := fresh.init()
	if err != nil || strings.Count(out, "exists, kept") != 2 {
		t.Errorf("init: %v\n%s", err, out)
	}
	fresh.runInstance()()
}

// TestOtherBoard: on another board, the store stays shut, the message names both,
// and nothing of it is changed.
func TestOtherBoard(t *testing.T) {
	old := newGateway(t, "rootfs-openwrt-mips")
	if says, _, err := old.service("start"); err != nil {
		t.Fatalf("start: %v\n%s", err, says)
	}
	other := sysupgrade(t, old, "rootfs-openwrt-arm-dt")
	says, tells, _ := other.service("start")
	if !strings.Contains(says, "the root key was made on TP-Link") ||
		!strings.Contains(says, "keys do not move from board to board") || strings.Contains(tells, "open_instance") {
		t.Errorf("start says %q and tells procd\n%s", says, tells)
	}
	for _, name := range state {
		if other.read(name) != old.read(name) {
			t.Errorf("%s is not what it was", name)
		}
	}
}

// init runs pngw init as the agent's user.
func (r *router) init() (string, error) {
	cmd := r.command(r.credential("pngw"), "/usr/bin/pngw", "init")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
