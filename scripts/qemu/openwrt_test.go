//go:build linux && qemu

package qemu

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// An official is an image of OpenWrt's own, as a user has downloaded it.
type official struct {
	board  *board
	kernel string
	initrd string // "" for a kernel that has its files in it, as official ones have
	rootfs string // "" where there is no disk: then nothing outlasts a reboot
	log    string // the command that shows the agent's log
}

// The boards that OpenWrt makes images for and QEMU has. What they do not say here
// is the image's own affair.
var officials = map[string]*board{
	"malta-le": {
		name: "malta-le", target: "linux-mipsle", arch: "mipsel_24kc", program: "qemu-system-mipsel",
		args:   []string{"-M", "malta", "-m", "128M", "-device", "e1000,netdev=lan"},
		append: "console=ttyS0 panic=-1", serials: malta.serials, line: malta.line,
	},
	"malta-be": {
		name: "malta-be", target: "linux-mips", arch: "mips_24kc", program: "qemu-system-mips",
		args:   []string{"-M", "malta", "-m", "128M", "-device", "e1000,netdev=lan"},
		append: "console=ttyS0 panic=-1", serials: malta.serials, line: malta.line,
	},
	"armsr-armv7": {
		name: "armsr-armv7", target: "linux-armv7", arch: "arm_cortex-a15_neon-vfpv4", program: "qemu-system-arm",
		args:   []string{"-M", "virt,highmem=off", "-m", "256M", "-device", "virtio-net-pci,netdev=lan"},
		append: "console=ttyAMA0 panic=-1", serials: []string{"-serial", "stdio"},
	},
	"armsr-armv8": {
		name: "armsr-armv8", target: "linux-arm64", arch: "aarch64_generic", program: "qemu-system-aarch64",
		args:   []string{"-M", "virt", "-cpu", "cortex-a53", "-m", "256M", "-device", "virtio-net-pci,netdev=lan"},
		append: "console=ttyAMA0 panic=-1", serials: []string{"-serial", "stdio"},
	},
}

// A router's LAN as OpenWrt has it from the first start, and this machine in it.
const lan, lanHost = "192.168.1.0/24", "192.168.1.2"

// TestOpenWrt runs the system test on an official image. OPENWRT_IMAGE is its
// kernel, OPENWRT_ROOTFS the disk that goes with it, if any.
func TestOpenWrt(t *testing.T) {
	o := &official{kernel: os.Getenv("OPENWRT_IMAGE"), rootfs: os.Getenv("OPENWRT_ROOTFS"), log: "logread -e pngw"}
	if o.kernel == "" {
		t.Fatal("OPENWRT_IMAGE names no image: see docs/testing.md")
	}
	for name, b := range officials {
		if strings.Contains(filepath.Base(o.kernel), name) {
			o.board = b
		}
	}
	if o.board == nil {
		t.Fatalf("%s: of which board? Its name wants one of malta-le, malta-be, armsr-armv7, armsr-armv8, as the download has", o.kernel)
	}
	testOfficial(t, o)
}

// testOfficial installs the package by the image's own package manager, provisions
// devices over each kind of link that QEMU gives it, upgrades, reboots where that
// leaves something, and removes the package.
func testOfficial(t *testing.T, o *official) {
	h := newHostAt(t, lanHost, "meter-1", "pump-1", "late-1")
	disk := o.disk(t)
	g := o.boot(t, disk)
	g.until("ping -c 1 -W 2 %s", lanHost)
	g.setOfficialClock()

	files := h.files(o.board.line)
	folder, name := o.board.packages(t)
	ipk, apk := single(t, folder+"/"+name+"_*.ipk"), single(t, folder+"/"+name+"-[0-9]*.apk")
	get := h.serves(map[string]string{"pngw.ipk": ipk, "pngw.apk": apk})
	install := "opkg install --force-reinstall /tmp/pngw.ipk"
	remove := "opkg remove " + name
	if _, code := g.run("command -v apk"); code == 0 {
		install = "apk add --allow-untrusted --no-network /tmp/pngw.apk"
		remove = "apk del --no-network " + name
		g.sh("wget -q -O /tmp/pngw.apk %s/pngw.apk", get)
	} else {
		g.sh("wget -q -O /tmp/pngw.ipk %s/pngw.ipk", get)
	}
	t.Logf("%s", g.sh("cat /etc/openwrt_release | grep -e RELEASE -e ARCH -e TARGET"))
	text := g.sh("%s 2>&1", install)
	if strings.Contains(text, "Not found") || !strings.Contains(text, "not enabled: uci set") {
		t.Errorf("the first installation says:\n%s", text)
	}

	for file, text := range files {
		g.put(file, text)
	}
	g.sh("service pngw reload")
	g.ready()
	if _, code := g.run("[ -x /sbin/ujail ]"); code == 0 {
		g.sh("ls /proc/$(pidof pngw)/root/etc/pngw/psk1 && ! ls /proc/$(pidof pngw)/root/bin")
	} else {
		t.Log("without procd-ujail: the agent has not run in a jail")
	}
	g.sh("! %s | grep 'daemon.err.*level=INFO'", g.log)

	h.pne("pump-1", h.overMQTT()...)
	devices := "pump-1"
	if g.line != "" {
		h.pne("meter-1", "--serial", g.line)
		devices += " meter-1"
	}
	g.sh("%s %s", provision, devices)
	g.sh("pngw authenticate pump-1")

	// A mistake stops nothing, and neither starts anything.
	g.sh("uci set pngw.main.server=ftp://x && uci commit pngw")
	g.sh("! service pngw restart && pidof pngw")
	g.sh("uci set pngw.main.server=https://%s && uci commit pngw && service pngw reload", h.server)
	g.ready()

	before := strings.TrimSpace(g.sh("pidof pngw"))
	g.sh("%s 2>&1", install)
	g.until("pngw status")
	if after := strings.TrimSpace(g.sh("pidof pngw")); after == before {
		t.Error("after an upgrade the old agent runs")
	}

	if disk != "" {
		g.exits(3, "%s --wait 0s late-1", provision)
		g.sh("sync")
		g.send("reboot -f")
		g.off()
		h.pne("late-1", h.overMQTT()...)
		g = o.boot(t, disk)
		g.ready()
		g.setOfficialClock()
		g.until("pngw list | grep late-1 | grep delivered")
	} else {
		t.Log("an image without a disk: no reboot was tried")
	}
	g.sh("%s && ! pidof pngw && ls /etc/pngw/root.key", remove)
	g.cut()
}

// disk is a copy of the root file system, for it is written to.
func (o *official) disk(t *testing.T) string {
	t.Helper()
	if o.rootfs == "" {
		return ""
	}
	in, err := os.Open(o.rootfs)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var from io.Reader = in
	if strings.HasSuffix(o.rootfs, ".gz") {
		z, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false) // OpenWrt's have bytes of another kind behind the end
		from = z
	}
	path := filepath.Join(t.TempDir(), "disk")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, from); err != nil {
		t.Fatal(err)
	}
	return path
}

// boot gives an official image power, and has its shell answer as the guests of the
// other tests do.
func (o *official) boot(t *testing.T, disk string) *guest {
	t.Helper()
	b := o.board
	root := ""
	args := append([]string{
		"-kernel", o.kernel, "-display", "none", "-monitor", "none", "-no-reboot",
		"-netdev", "user,id=lan,net=" + lan + ",host=" + lanHost + ",dhcpstart=192.168.1.100",
	}, b.args...)
	if o.initrd != "" {
		args = append(args, "-initrd", o.initrd)
	}
	if disk != "" {
		root = " rootwait root=/dev/sda"
		if !strings.HasPrefix(b.name, "malta") {
			root = " rootwait root=/dev/vda"
			args = append(args, "-device", "virtio-blk-pci,drive=disk", "-drive", "if=none,id=disk,format=raw,file="+disk)
		} else {
			args = append(args, "-drive", "format=raw,file="+disk)
		}
	}
	args = append(append(args, "-append", b.append+root), b.serials...)
	g := power(t, b.program, args)
	g.log = o.log
	g.findLine()
	// The console becomes a shell once somebody presses Enter.
	g.expect(regexp.MustCompile(`Please press Enter to activate this console`))
	g.findLine()
	prompt := regexp.MustCompile(`[#$] (\x1b\[6n)?$`) // by which busybox asks where the cursor is
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		g.send("")
		if _, groups := g.heard(prompt); groups != nil {
			break
		}
		if g.gone() || time.Now().After(deadline) {
			g.mu.Lock()
			defer g.mu.Unlock()
			t.Fatalf("no shell on the console, the last of which is:\n%s", g.said.Bytes()[max(0, g.said.Len()-2000):])
		}
	}
	g.send(`stty -echo 2>/dev/null; dmesg -n 1; echo guest: "up"; while read -r line; do eval "$line"; echo "guest: ended with $?"; done`)
	g.expect(regexp.MustCompile(`guest: up\r?\n`))
	return g
}

// setOfficialClock sets the clock as OpenWrt's NTP client does.
func (g *guest) setOfficialClock() {
	g.t.Helper()
	g.sh("date -s @%d && ACTION=stratum stratum=2 hotplug-call ntp", time.Now().Unix())
}

// put types a file, a line at a time.
func (g *guest) put(name, text string) {
	g.t.Helper()
	g.sh("mkdir -p /%s && >/%s", filepath.Dir(name), name)
	for line := range strings.Lines(text) {
		g.sh("printf '%%s\\n' '%s' >>/%s", strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "'", `'\''`), name)
	}
}

// serves has the guest fetch files of this machine, and returns from where.
func (h *host) serves(files map[string]string) (url string) {
	h.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	mux := http.NewServeMux()
	for name, path := range files {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	h.t.Cleanup(func() { server.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return fmt.Sprintf("http://%s", net.JoinHostPort(h.address, port))
}
