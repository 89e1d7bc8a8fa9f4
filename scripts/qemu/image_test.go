//go:build linux && qemu

package qemu

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// An image collects a file system for RAM, in cpio's format newc, which the
// kernel unpacks.
type image struct {
	w    io.Writer
	size int
	made map[string]bool // folders
	ino  int
}

func (m *image) entry(name string, mode, rdevMajor, rdevMinor int, data []byte) {
	m.ino++
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", m.ino, mode, 0, 0, 1, 0,
		len(data), 0, 0, rdevMajor, rdevMinor, len(name)+1, 0)
	m.padded(append([]byte(header+name), 0))
	m.padded(data)
}

// padded writes p and what is missing to four bytes.
func (m *image) padded(p []byte) {
	n, _ := m.w.Write(append(p, make([]byte, -len(p)&3)...)) // into memory: it does not fail
	m.size += n
}

func (m *image) folder(name string) {
	if name != "." && !m.made[name] {
		m.folder(path.Dir(name))
		m.made[name] = true
		m.entry(name, 0o40755, 0, 0, nil)
	}
}

func (m *image) file(name string, mode int, data []byte) {
	m.folder(path.Dir(name))
	m.entry(name, 0o100000|mode, 0, 0, data)
}

func (m *image) copy(t *testing.T, name string, mode int, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	m.file(name, mode, data)
}

// tree adds a folder of this machine and what is in it.
func (m *image) tree(t *testing.T, from string) {
	t.Helper()
	err := filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(file, from), "/")
		switch {
		case err != nil || name == "":
			return err
		case d.IsDir():
			m.folder(name)
			return nil
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(file)
			m.folder(path.Dir(name))
			m.entry(name, 0o120777, 0, 0, []byte(target))
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		m.copy(t, name, int(info.Mode().Perm()), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// firmware lays out a router's files in a folder, as OpenWrt's image builder does
// with a package that comes with the firmware: it unpacks the package and runs what
// that runs after installation.
func (b *board) firmware(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, part := range []string{"testdata/root", "../openwrt/testdata/root"} {
		if err := os.CopyFS(root, os.DirFS(part)); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command("sh", "-euc", `
		cd "$1"
		mkdir -p bin dev etc mnt modules overlay proc sys tmp usr/bin
		ln -s tmp var
		echo root:x:0:0:root:/:/bin/sh >etc/passwd
		printf 'root:x:0:\ndialout:x:20:\n' >etc/group
		tar -xzOf "$2" ./data.tar.gz | tar -xz
		tar -xzOf "$2" ./control.tar.gz | tar -xzO ./postinst >tmp/postinst
		IPKG_INSTROOT=$1 sh tmp/postinst
		rm tmp/postinst`, "sh", root, b.ipk(t))
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("installing the package: %v\n%s", err, out)
	}
	return root
}

// build makes the board's initramfs: its firmware, the kernel's modules, and files,
// which a person would copy onto a router.
func (b *board) build(t *testing.T, files map[string]string) (kernel, initrd string) {
	t.Helper()
	root := b.root(t)
	kernel = single(t, root+"/boot/vmlinuz-*")
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	m := &image{w: zip, made: map[string]bool{}}
	m.folder("dev")
	m.entry("dev/console", 0o20600, 5, 1, nil)
	m.tree(t, b.firmware(t))
	m.copy(t, "bin/busybox", 0o755, root+"/bin/busybox")
	if b.line != "" && withUSB() {
		m.copy(t, "usr/bin/usbattach", 0o755, b.helper(t, "./usbattach"))
	}
	for _, folder := range b.tools {
		m.copy(t, "usr/bin/"+filepath.Base(folder), 0o755, b.helper(t, folder))
	}
	m.copy(t, "sbin/ujail", 0o755, b.helper(t, "../openwrt/ujail"))
	b.addModules(t, m, root, strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-"))
	m.file("etc/board", 0o644, fmt.Appendf(nil, "CONSOLE=%s\nSETUP='%s'\nMOUNT='%s'\n", b.console, b.flash.setup, b.flash.mount))
	for name, text := range files {
		m.file(name, 0o600, []byte(text))
	}
	m.entry("TRAILER!!!", 0, 0, 0, nil)
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	initrd = filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(initrd, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return kernel, initrd
}

// addModules adds modules and the order in which they need each other; phram
// is loaded later, with a parameter.
func (b *board) addModules(t *testing.T, m *image, root, version string) {
	t.Helper()
	var order strings.Builder
	names := b.modules
	if strings.Contains(b.flash.setup, "phram") {
		names = append(names[:len(names):len(names)], "phram")
	}
	for _, name := range names {
		cmd := exec.Command("modprobe", "-d", root, "-S", version, "--show-depends", name)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		list, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("modprobe %s: %v: %s", name, err, list)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(list)), "\n") {
			file, ok := strings.CutPrefix(strings.TrimSpace(line), "insmod ")
			inImage := "modules/" + path.Base(file)
			if !ok || m.made[inImage] {
				continue // built in, or there
			}
			m.made[inImage] = true
			m.copy(t, inImage, 0o644, file)
			if name != "phram" {
				fmt.Fprintln(&order, "/"+inImage)
			}
		}
	}
	m.file("modules/order", 0o644, []byte(order.String()))
}
