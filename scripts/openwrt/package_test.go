//go:build linux

package openwrt

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestPackages: both kinds carry the same files, all of them, and say what they
// are.
func TestPackages(t *testing.T) {
	p := packages(t)
	want := map[string]fs.FileMode{
		"usr/bin/pngw":                  0o755,
		"etc/init.d/pngw":               0o755,
		"etc/config/pngw":               0o640,
		"etc/capabilities/pngw.json":    0o644,
		"etc/hotplug.d/tty/50-pngw":     0o644,
		"etc/hotplug.d/usb/50-pngw":     0o644,
		"etc/hotplug.d/ntp/50-pngw":     0o644,
		"etc/hotplug.d/leds/50-pngw":    0o644,
		"etc/hotplug.d/input/50-pngw":   0o644,
		"usr/libexec/pngw-sign-access":  0o755,
		"usr/libexec/pngw-usb-access":   0o755,
		"usr/libexec/pngw-signal":       0o755,
		"usr/libexec/pngw-serial-names": 0o755,
		"usr/libexec/pngw-again":        0o755,
		"lib/upgrade/keep.d/pngw":       0o644,
	}
	for kind, u := range map[string]unpacked{"ipk": p.ipk, "apk": p.apk} {
		got := map[string]fs.FileMode{}
		for name, f := range u.data {
			got[name] = f.mode
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", kind, got, want)
		}
		if !strings.HasPrefix(u.data["usr/bin/pngw"].content, "\x7fELF") {
			t.Errorf("%s: usr/bin/pngw is no program", kind)
		}
	}
	for what, pattern := range map[string]string{
		p.ipk.control["control"]:  `(?m)^Package: pngw-nousb$(?s:.*)^Version: \d+\.\d+\.\d+(_git\d{12})?-r1$(?s:.*)^Depends: ca-bundle$`,
		p.apk.control[".PKGINFO"]: `(?m)^pkgname = pngw-nousb$(?s:.*)^pkgver = \d+\.\d+\.\d+(_git\d{12})?-r1$(?s:.*)^depend = ca-bundle$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(what) {
			t.Errorf("%q\ndoes not match %s", what, pattern)
		}
	}
	if got := p.ipk.data["lib/upgrade/keep.d/pngw"].content; got != "/etc/pngw/\n" {
		t.Errorf("keep.d: %q", got)
	}
	for kind, pattern := range map[string]string{
		"ipk": `^pngw-nousb_\d+\.\d+\.\d+(_git\d{12})?-r1_` + architectures[runtime.GOARCH] + `\.ipk$`,
		"apk": `^pngw-nousb-\d+\.\d+\.\d+(_git\d{12})?-r1\.apk$`, // as an index of apk's wants it
	} {
		files := must(filepath.Glob(filepath.Join(p.dir, "packages", architectures[runtime.GOARCH], "*."+kind)))(t)
		if len(files) != 1 || !regexp.MustCompile(pattern).MatchString(filepath.Base(files[0])) {
			t.Errorf("%s: %q, want one like %s", kind, files, pattern)
		}
	}
	if got := p.ipk.control["conffiles"]; strings.TrimSpace(got) != "/etc/config/pngw" {
		t.Errorf("conffiles: %q", got)
	}
	for _, script := range []string{".post-install", ".post-upgrade", ".pre-deinstall"} {
		if p.apk.control[script] == "" {
			t.Errorf("the apk has no %s", script)
		}
	}
}

// TestReproducible: packed again, elsewhere, the packages are the same bytes.
// That a program is the same bytes when it is built again is for reproduce.sh.
func TestReproducible(t *testing.T) {
	p := packages(t)
	again := built{dir: t.TempDir()}
	for _, name := range []string{p.program(), "SHA256SUMS"} {
		check(t, os.WriteFile(filepath.Join(again.dir, name), must(os.ReadFile(filepath.Join(p.dir, name)))(t), 0o600))
	}
	check(t, again.pack())
	files := must(filepath.Glob(filepath.Join(p.dir, "packages", "*", "*.[ia]pk")))(t)
	if len(files) != 4 {
		t.Fatalf("packages: %q", files)
	}
	for _, file := range files {
		one := must(os.ReadFile(file))(t)
		two := must(os.ReadFile(strings.Replace(file, p.dir, again.dir, 1)))(t)
		if string(one) != string(two) {
			t.Errorf("%s is not the same bytes twice", filepath.Base(file))
		}
	}
}

// TestFeed: what the feed's Makefile installs is what the packages hold, and what
// it passes to the Go build exists.
func TestFeed(t *testing.T) {
	tool(t, "make", "make")
	dir := t.TempDir()
	copyTree(t, "testdata/feed", dir)
	check(t, os.MkdirAll(filepath.Join(dir, "net"), 0o755))
	copyTree(t, "../../build/openwrt", filepath.Join(dir, "net/pngw"))
	dest := filepath.Join(dir, "dest")
	build := func(options ...string) string {
		t.Helper()
		cmd := exec.Command("make", append([]string{"--no-print-directory", "-C", filepath.Join(dir, "net/pngw"),
			"TOPDIR=" + dir, "INCLUDE_DIR=" + dir + "/include", "DEST=" + dest,
			// What the Go build is given, where the source has been unpacked to.
			"PKG_BUILD_DIR=" + must(filepath.Abs("../.."))(t), "GoPackage/Build/Compile=@echo 'go install' $(1)",
			"--eval=compile:; $(Build/Compile)", "install", "compile"}, options...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("make: %v\n%s", err, out)
		}
		return string(out)
	}
	out := build("CONFIG_PNGW_USB=y", "CONFIG_PNGW_GBA=y", "CONFIG_PNGW_PAGE=y")

	data := packages(t).ipk.data
	var names []string
	check(t, filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := must(filepath.Rel(dest, path))(t)
		names = append(names, name)
		if string(must(os.ReadFile(path))(t)) != data[name].content && name != "usr/bin/pngw" {
			t.Errorf("%s differs from the package's", name)
		}
		return nil
	}))
	if want := slices.Sorted(maps.Keys(data)); !slices.Equal(names, want) {
		t.Errorf("installs %q, want %q", names, want)
	}

	has := func(out string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(out, "\n"+want) {
				t.Errorf("the Makefile lacks %s:\n%s", want, out)
			}
		}
	}
	if !strings.Contains(packages(t).ipk.control["control"], "\nMaintainer: The pngw authors <pngw@cpns.example.net>\n") {
		t.Errorf("no maintainer, or another:\n%s", packages(t).ipk.control["control"])
	}
	has("\n"+out, "PKG_MAINTAINER=The pngw authors <pngw@cpns.example.net>\n")
	has(out, "GO_PKG=cpns.example.net/pngw\n", "GO_PKG_BUILD_PKG=cpns.example.net/pngw/cmd/pngw\n",
		"GO_PKG_LDFLAGS_X=main.version=", "GO_PKG_TAGS=nethttpomithttp2,usb\n",
		"go install "+string(must(exec.Command("../gcflags.sh").Output())(t))) // as scripts/cross.sh has them
	has(build("GO_PKG_ENABLE_SPECTRE=1"), "GO_PKG_TAGS=nethttpomithttp2,nogba,nopage\n", "go install\n")
	module := must(os.ReadFile("../../go.mod"))(t)
	if !strings.HasPrefix(string(module), "module cpns.example.net/pngw\n") {
		t.Error("the module is called otherwise")
	}
}

// TestFeedCopies: OpenWrt's Go build copies files of code, by their extension, and
// what GO_PKG_INSTALL_EXTRA names; what a package embeds has to be among that.
func TestFeedCopies(t *testing.T) {
	makefile := string(must(os.ReadFile("../../build/openwrt/Makefile"))(t))
	_, extra, _ := strings.Cut(makefile, "\nGO_PKG_INSTALL_EXTRA:=")
	extra, _, _ = strings.Cut(extra, "\n")
	list := exec.Command("go", "list", "-deps", "-f", `{{$dir := .Dir}}{{if .Module}}{{if .Module.Main}}{{range .EmbedFiles}}{{$dir}}/{{.}}
{{end}}{{end}}{{end}}`, "./cmd/pngw")
	list.Dir = "../.."
	embedded := strings.Fields(string(must(list.Output())(t)))
	if len(embedded) == 0 {
		t.Fatal("nothing is embedded: has the page gone?")
	}
	for _, file := range embedded {
		if !slices.ContainsFunc(strings.Fields(extra), func(part string) bool { return strings.Contains(file, part) }) {
			t.Errorf("%s is embedded, and not copied: GO_PKG_INSTALL_EXTRA is %q", file, extra)
		}
	}
}

// TestOtherProcessor: a program that cannot run on this router is noticed when it
// is installed.
func TestOtherProcessor(t *testing.T) {
	for _, tt := range []struct{ name, program, want string }{
		{"another kind", program(elf.EM_MIPS, ""), "another kind of processor"},
		{"illegal instruction", program(machines[runtime.GOARCH], illegal[runtime.GOARCH]), "Illegal instruction"},
		{"no program", "", "another kind of processor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouter(t, "rootfs-openwrt-mips")
			r.install()
			check(t, os.Remove(r.path("etc/rc.d/S95pngw")))
			r.write("etc/openwrt_release", "DISTRIB_ARCH='mips_4kec'\n", 0o644)
			r.write("usr/bin/pngw", tt.program, 0o755)
			says, err := r.postinst()
			want := "it is for " + architectures[runtime.GOARCH] + ", and the router is mips_4kec: " + tt.want + "\n"
			if err == nil || !strings.Contains(says, want) {
				t.Errorf("postinst: %v, says\n%swant\n%s", err, says, want)
			}
			if _, _, err := r.service("enabled"); err == nil {
				t.Error("enabled all the same")
			}
		})
	}
}

// TestProgramDies: a program that dies before it can say anything leaves a line in
// the log all the same, and is not given to procd.
func TestProgramDies(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.write("usr/bin/pngw", program(machines[runtime.GOARCH], illegal[runtime.GOARCH]), 0o755)
	says, tells, _ := r.service("start")
	if !strings.Contains(says, "pngw: /usr/bin/pngw ends with 132 and says nothing: see docs/openwrt.md") || strings.Contains(tells, "open_instance") {
		t.Errorf("start says %q and tells procd\n%s", says, tells)
	}
}

// What these programs are made of.
var (
	machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	illegal  = map[string]string{"amd64": "\x0f\x0b", "arm64": "\x00\x00\x00\x00"}
)

// program is a whole static program with the code.
func program(machine elf.Machine, code string) string {
	const at, headers = 0x400000, 64 + 56
	var b bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
			Entry: at + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
		},
		elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: at, Paddr: at,
			Filesz: headers + uint64(len(code)), Memsz: headers + uint64(len(code)), Align: 0x1000,
		},
		[]byte(code),
	} {
		binary.Write(&b, binary.LittleEndian, part)
	}
	return b.String()
}

// TestFeedVersion: the feed's CI gives the script a package's name and version.
func TestFeedVersion(t *testing.T) {
	r := newRouter(t, "rootfs-openwrt-mips")
	r.install()
	r.write("test-version.sh", string(must(os.ReadFile("../../build/openwrt/test-version.sh"))(t)), 0o644)
	version, _, _ := strings.Cut(string(must(r.command(nil, "/usr/bin/pngw", "version").Output())(t)), "\n")
	version = strings.TrimPrefix(version, "pngw ")
	for _, tt := range []struct {
		name, version string
		good          bool
	}{{"pngw", version, true}, {"pngw", version + "1", false}, {"pngw", version[:1], false}, {"another", version, false}} {
		err := r.command(nil, "/bin/sh", "/test-version.sh", tt.name, tt.version).Run()
		if (err == nil) != tt.good {
			t.Errorf("%s %s: %v, want good: %v", tt.name, tt.version, err, tt.good)
		}
	}
}

// TestFirstInstallation: it says how to go on, and nothing else.
func TestFirstInstallation(t *testing.T) {
	r := newRouter(t, "rootfs-openwrt-mips")
	for _, f := range packages(t).ipk.data {
		r.write(f.name, f.content, f.mode)
	}
	says, err := r.postinst()
	if err != nil || says != "pngw: not enabled: uci set pngw.service.enabled=1; uci commit pngw\n" {
		t.Errorf("postinst: %v, says\n%s", err, says)
	}
}

// TestReplaced: after an upgrade the new program runs, whichever way the package
// manager goes, and whether or not it has stopped the old one; what is not enabled
// stays so.
func TestReplaced(t *testing.T) {
	feed := feedPostinst(t)
	run := func(r *router, script string) {
		t.Helper()
		cmd := r.command(nil, "/bin/sh", "-c", script)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %s\n%s", err, out, script)
		}
	}
	// What OpenWrt's default_prerm and default_postinst do at an upgrade.
	const stop, start = "/etc/init.d/pngw stop", "/etc/init.d/pngw start"
	ipk, apk := packages(t).ipk.control, packages(t).apk.control
	for name, scripts := range map[string][2]string{
		"by opkg":           {"export PKG_UPGRADE=1\n" + ipk["prerm"], "export PKG_UPGRADE=1\n" + ipk["postinst"]},
		"by apk":            {"", apk[".post-upgrade"]},
		"by opkg, the feed": {stop, "export PKG_UPGRADE=1\n( " + feed + ")\n" + start},
		"by apk, the feed":  {"", "export PKG_UPGRADE=1\n" + start + "\n" + feed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newGateway(t, "rootfs-openwrt-mips")
			r.starts()
			check(t, os.Remove(r.path("etc/rc.d/S95pngw")))
			run(r, scripts[0])
			for _, f := range packages(t).ipk.data {
				if f.name != "etc/config/pngw" {
					r.write(f.name, f.content, f.mode)
				}
			}
			run(r, scripts[1])
			did := strings.Fields(r.did())
			if len(did) < 2 || did[0] != "stop" || did[len(did)-1] != "start" {
				t.Errorf("procd did %q", did)
			}
			if _, _, err := r.service("enabled"); err == nil {
				t.Error("it has been enabled")
			}
		})
	}
}

// feedPostinst is what the feed's package runs after its installation, beside what
// every package does.
func feedPostinst(t *testing.T) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(must(os.ReadFile("../../build/openwrt/Makefile"))(t)), "define Package/pngw/postinst\n")
	script, _, end := strings.Cut(rest, "endef\n")
	if !ok || !end {
		t.Fatal("the Makefile has no postinst")
	}
	return strings.ReplaceAll(script, "$$", "$")
}

// TestRemove: the service goes, the keys stay.
func TestRemove(t *testing.T) {
	r := newGateway(t, "rootfs-openwrt-mips")
	r.starts()
	key := r.read("etc/pngw/root.key")
	cmd := r.command(nil, "/bin/sh", "-c", packages(t).ipk.control["prerm"])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("prerm: %v\n%s", err, out)
	}
	if tells := r.maybe("tmp/procd"); tells != "" || r.did() != "stop" {
		t.Errorf("procd still has\n%s", tells)
	}
	if _, _, err := r.service("enabled"); err == nil {
		t.Error("still enabled at boot")
	}
	if r.read("etc/pngw/root.key") != key {
		t.Error("the root key is not what it was")
	}
}
