//go:build linux && qemu

package qemu

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A board is a kind of router that QEMU knows.
type board struct {
	name    string
	debian  string   // Debian's name of the architecture
	target  string   // of scripts/cross.sh, without -usb
	arch    string   // OpenWrt's name of it
	goarch  []string // what go build calls the target
	program string   // QEMU's
	args    []string
	append  string   // to the kernel's command line
	console string   // the device that standard input and output are
	serials []string // QEMU's, the console at standard input and output
	line    string   // the second serial line, at the chardev pne; "" for none
	dtb     string   // the device tree's file name, "" if QEMU brings one
	modules []string // without those that they depend on, in this order
	tools   []string // folders of programs of the tests that the image has
	flash   flash
}

// A flash is what survives a power cut.
type flash struct {
	size  int          // bytes of the file on this machine
	blank func([]byte) // makes it as it leaves the factory
	args  func(file string) []string
	setup string // shell commands in the guest, before mount
	mount string // what mount takes
}

// The malta board's flash is RAM that a file keeps, and which the kernel takes
// for a memory chip; the router's 64 MB come on top. It is not at the end, where
// QEMU puts the initramfs.
const (
	phramStart = 0x2c00000
	phramSize  = 8 << 20
)

var malta = board{
	name:    "malta",
	debian:  "mipsel",
	target:  "linux-mipsle",
	arch:    "mipsel_24kc",
	goarch:  []string{"GOARCH=mipsle", "GOMIPS=softfloat"},
	program: "qemu-system-mipsel",
	args:    []string{"-m", "72M", "-nic", "user,model=e1000"},
	append:  "console=ttyS0 nokaslr memmap=8M$0x2c00000",
	console: "ttyS0",
	serials: []string{"-serial", "stdio", "-chardev", "pty,id=pne", "-serial", "chardev:pne"},
	line:    "/dev/ttyS1",
	modules: []string{"e1000", "vhci-hcd", "jffs2", "mtdblock", "overlay"},
	flash: flash{
		size: 72 << 20,
		blank: func(p []byte) {
			erase(p[phramStart : phramStart+phramSize])
		},
		args: func(file string) []string {
			return []string{
				"-machine", "malta,memory-backend=nv",
				"-object", "memory-backend-file,id=nv,share=on,size=72M,mem-path=" + file,
			}
		},
		setup: "insmod /modules/phram.ko phram=overlay,0x2c00000,0x800000,0x10000",
		mount: "-t jffs2 mtd:overlay",
	},
}

// virt has a disk, since it has no flash that survives QEMU's end. Debian's kernel
// for every ARM board keeps 16 MB of the 64 for devices that need much memory in
// one piece, which a router's kernel does not; cma=0 gives them back.
var virt = board{
	name:    "virt",
	debian:  "armhf",
	target:  "linux-armv7",
	arch:    "arm_cortex-a7_neon-vfpv4",
	goarch:  []string{"GOARCH=arm", "GOARM=7"},
	program: "qemu-system-arm",
	args:    []string{"-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "64M", "-nic", "user,model=virtio-net-pci"},
	append:  "console=ttyAMA0 cma=0",
	console: "ttyAMA0",
	serials: []string{"-serial", "stdio", "-chardev", "pty,id=pne", "-device", "pci-serial,chardev=pne"},
	line:    "/dev/ttyS0",
	modules: []string{"virtio_pci", "virtio_net", "virtio_blk", "ext4", "vhci-hcd", "overlay"},
	flash: flash{
		size: 16 << 20,
		args: func(file string) []string {
			return []string{"-drive", "if=none,id=disk,format=raw,file=" + file, "-device", "virtio-blk-pci,drive=disk"}
		},
		setup: "[ $(dd if=/dev/vda bs=1k skip=1 count=1 2>/dev/null | tr -d \\\\000 | wc -c) != 0 ] || mke2fs /dev/vda >/dev/null",
		mount: "-t ext4 -o noatime /dev/vda",
	},
}

// sabrelite has a SPI NOR chip, which QEMU writes page by page.
var sabrelite = board{
	name:    "sabrelite",
	debian:  "armhf",
	target:  "linux-armv7",
	arch:    "arm_cortex-a9_neon",
	goarch:  []string{"GOARCH=arm", "GOARM=7"},
	program: "qemu-system-arm",
	args:    []string{"-M", "sabrelite", "-m", "128M", "-nic", "user"},
	append:  "console=ttymxc1",
	console: "ttymxc1",
	serials: []string{"-serial", "null", "-serial", "stdio"},
	dtb:     "imx6q-sabrelite.dtb",
	modules: []string{"fec", "gpio-mxc", "spi-imx", "spi-nor", "jffs2", "overlay"},
	flash: flash{
		size:  2 << 20,
		blank: erase,
		args: func(file string) []string {
			return []string{"-drive", "if=mtd,format=raw,file=" + file}
		},
		mount: "-t jffs2 mtd0",
	},
}

func erase(p []byte) {
	for i := range p {
		p[i] = 0xff
	}
}

// root is Debian's kernel, modules and busybox for the board.
func (b *board) root(t *testing.T) string {
	building.Lock()
	defer building.Unlock()
	return strings.TrimSpace(script(t, "qemu-fetch.sh", b.debian))
}

// withUSB is whether the routers have a pngw with USB, which takes a C compiler.
func withUSB() bool { return os.Getenv("USB") != "0" }

// building is held where scripts write to build/out, for tests run side by side.
var building sync.Mutex

// ipk is the package for opkg.
func (b *board) ipk(t *testing.T) string {
	t.Helper()
	folder, name := b.packages(t)
	return single(t, folder+"/"+name+"_*.ipk")
}

// packages builds pngw as make cross does, packs it as make package does, and returns
// the folder with the packages, and what they are called.
func (b *board) packages(t *testing.T) (folder, name string) {
	t.Helper()
	target, name := b.target, "pngw-nousb"
	if withUSB() {
		target, name = target+"-usb", "pngw"
	}
	folder = t.TempDir()
	building.Lock()
	defer building.Unlock()
	script(t, "cross.sh", target)
	for _, file := range []string{"pngw-" + target, "SHA256SUMS"} {
		if out, err := exec.Command("cp", "../../build/out/"+file, folder).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	script(t, "package.sh", "-d", folder, b.arch)
	return folder + "/packages/" + b.arch, name
}

// helper builds a program of the tests for the guest.
func (b *board) helper(t *testing.T, folder string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), filepath.Base(folder))
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", file, folder)
	cmd.Env = append(append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0"), b.goarch...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", folder, err, out)
	}
	return file
}

// script runs one of the scripts above this folder; what it says on standard
// error is for people.
func script(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command("../"+name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scripts/%s: %v", name, err)
	}
	return string(out)
}

func single(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: got %d files, want one", pattern, len(found))
	}
	return found[0]
}
