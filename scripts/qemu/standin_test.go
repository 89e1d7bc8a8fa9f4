//go:build linux && qemu

package qemu

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenWrtStandIn runs what TestOpenWrt runs on an image that is made here of
// Debian's kernel and busybox, with OpenWrt's console, LAN and opkg stood in for: it
// shows that the test works, and nothing of OpenWrt.
func TestOpenWrtStandIn(t *testing.T) {
	b := malta // with the kernel that there is
	root := b.root(t)
	o := &official{board: officials["malta-le"], kernel: single(t, root+"/boot/vmlinuz-*"), log: "cat /tmp/pngw.log"}

	files := t.TempDir()
	for _, part := range []string{"../openwrt/testdata/root", "testdata/official"} {
		if err := os.CopyFS(files, os.DirFS(part)); err != nil {
			t.Fatal(err)
		}
	}
	lay := exec.Command("sh", "-euc", `
		cp testdata/root/sbin/supervise "$1/sbin/"
		cd "$1"
		mkdir -p dev etc/config mnt modules proc root sys tmp usr/bin
		ln -s tmp var
		echo root:x:0:0:root:/:/bin/sh >etc/passwd
		printf 'root:x:0:\ndialout:x:20:\n' >etc/group
		printf "DISTRIB_RELEASE='none'\nDISTRIB_ARCH='%s'\n" "$2" >etc/openwrt_release`, "sh", files, o.board.arch)
	if out, err := lay.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	m := &image{w: zip, made: map[string]bool{}}
	m.folder("dev")
	m.entry("dev/console", 0o20600, 5, 1, nil)
	m.tree(t, files)
	m.copy(t, "bin/busybox", 0o755, root+"/bin/busybox")
	m.copy(t, "sbin/ujail", 0o755, b.helper(t, "../openwrt/ujail"))
	b.modules = []string{"e1000"}
	b.flash = flash{}
	b.addModules(t, m, root, strings.TrimPrefix(filepath.Base(o.kernel), "vmlinuz-"))
	m.entry("TRAILER!!!", 0, 0, 0, nil)
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	o.initrd = filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(o.initrd, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	testOfficial(t, o)
}
