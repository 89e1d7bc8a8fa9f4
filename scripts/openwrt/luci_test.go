//go:build linux

package openwrt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const luciApp = "../../build/openwrt/luci-app-pngw"

// TestLuCIPackages: both kinds carry the app as LuCI's build would install it, with the
// catalogue of each language.
func TestLuCIPackages(t *testing.T) {
	p := packages(t).luci
	want := map[string]fs.FileMode{"usr/lib/lua/luci/i18n/pngw.de.lmo": 0o644}
	for from, to := range map[string]string{"root": "", "htdocs": "www"} {
		check(t, fs.WalkDir(os.DirFS(filepath.Join(luciApp, from)), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				want[filepath.Join(to, path)] = 0o644
			}
			return err
		}))
	}
	want["usr/libexec/rpcd/luci.pngw"] = 0o755
	if len(want) != 11 {
		t.Errorf("the app has %d files: %v", len(want), slices.Sorted(maps.Keys(want)))
	}
	for kind, u := range map[string]unpacked{"ipk": p.ipk, "apk": p.apk} {
		got := map[string]fs.FileMode{}
		for name, f := range u.data {
			got[name] = f.mode
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", kind, got, want)
		}
	}
	for what, pattern := range map[string]string{
		p.ipk.control["control"]:  `(?m)^Architecture: all$(?s:.*)^Package: luci-app-pngw$(?s:.*)^Depends: luci-base, pngw$`,
		p.apk.control[".PKGINFO"]: `(?m)^pkgname = luci-app-pngw$(?s:.*)^arch = noarch$(?s:.*)^depend = luci-base$\n^depend = pngw$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(what) {
			t.Errorf("%q\ndoes not match %s", what, pattern)
		}
	}
	for _, script := range []string{p.ipk.control["postinst"], p.ipk.control["postrm"], p.apk.control[".post-install"], p.apk.control[".post-upgrade"], p.apk.control[".post-deinstall"]} {
		if !strings.Contains(script, "/etc/init.d/rpcd reload") {
			t.Errorf("a script does not have rpcd look anew: %q", script)
		}
	}
}

// TestLuCIInstall: what the package runs has LuCI and rpcd look anew, and nothing where an
// image is built, or where there is no rpcd.
func TestLuCIInstall(t *testing.T) {
	script := packages(t).luci.ipk.control["postinst"]
	for _, tt := range []struct {
		name, root string
		rpcd, told bool
	}{{"on a router", "", true, true}, {"in an image", "/image", true, false}, {"without rpcd", "", false, false}} {
		r := newRouter(t, "rootfs-openwrt-mips")
		r.write("tmp/luci-indexcache.old.json", "{}", 0o644)
		if tt.rpcd {
			r.write("etc/init.d/rpcd", "#!/bin/sh\necho \"$1\" >/tmp/told\n", 0o755)
		}
		cmd := r.command(nil, "/bin/sh", "-c", "IPKG_INSTROOT="+tt.root+"; "+script)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) != 0 {
			t.Errorf("%s: %v: %s", tt.name, err, out)
		}
		told, _ := os.ReadFile(r.path("tmp/told"))
		_, err := os.Stat(r.path("tmp/luci-indexcache.old.json"))
		if got := string(told) == "reload\n"; got != tt.told || (err == nil) != (tt.root != "") {
			t.Errorf("%s: rpcd was told %q, the old menu: %v", tt.name, told, err)
		}
	}
}

// rpcdACL is a file of rpcd's access control lists.
type rpcdACL map[string]struct {
	Read, Write struct {
		UBUS map[string][]string
		UCI  []string
		File map[string]any
	}
}

// TestLuCIACL: what a session may call is what it needs, each method is for somebody,
// and whoever only looks changes nothing.
func TestLuCIACL(t *testing.T) {
	var acl rpcdACL
	d := json.NewDecoder(bytes.NewReader(must(os.ReadFile(luciApp + "/root/usr/share/rpcd/acl.d/luci-app-pngw.json"))(t)))
	check(t, d.Decode(&acl))
	read := []string{"check", "devices", "discovered", "status"}
	var reads, writes, uci []string
	for name, group := range acl {
		for _, access := range []map[string][]string{group.Read.UBUS, group.Write.UBUS} {
			if len(access) != 1 || access["luci.pngw"] == nil {
				t.Errorf("%s: other objects than luci.pngw: %v", name, access)
			}
		}
		if len(group.Read.File)+len(group.Write.File) != 0 {
			t.Errorf("%s: files: %v, %v", name, group.Read.File, group.Write.File)
		}
		reads = append(reads, group.Read.UBUS["luci.pngw"]...)
		writes = append(writes, group.Write.UBUS["luci.pngw"]...)
		uci = append(append(uci, group.Read.UCI...), group.Write.UCI...)
	}
	if slices.Sort(reads); !slices.Equal(reads, read) {
		t.Errorf("who only looks may call %v, want %v", reads, read)
	}
	if !slices.Equal(uci, []string{"pngw", "pngw"}) {
		t.Errorf("configurations: %v", uci)
	}
	if group := acl["luci-app-pngw"]; len(group.Read.UCI)+len(group.Write.UCI) != 0 {
		t.Error("the configuration, which may hold an enrolment code, is shown to who only sees devices")
	}
	p := packages(t)
	list := exec.Command(filepath.Join(p.dir, p.program()), "rpcd", "list")
	var methods map[string]any
	check(t, json.Unmarshal(must(list.Output())(t), &methods))
	all := append(reads, writes...)
	if slices.Sort(all); !slices.Equal(all, slices.Sorted(maps.Keys(methods))) {
		t.Errorf("rights are given to %v, and there is %v", all, slices.Sorted(maps.Keys(methods)))
	}
	// And the pages call nothing else.
	script := string(must(os.ReadFile(luciApp + "/htdocs/luci-static/resources/pngw/gateway.js"))(t))
	var called []string
	for _, m := range regexp.MustCompile(`method\('(\w+)'`).FindAllStringSubmatch(script, -1) {
		called = append(called, m[1])
	}
	if slices.Sort(called); !slices.Equal(called, all) {
		t.Errorf("the pages call %v, and may call %v", called, all)
	}
}

// TestLuCIMenu: each entry's page is there, and its right.
func TestLuCIMenu(t *testing.T) {
	var menu map[string]struct {
		Title  string
		Action struct{ Type, Path string }
	}
	check(t, json.Unmarshal(must(os.ReadFile(luciApp+"/root/usr/share/luci/menu.d/luci-app-pngw.json"))(t), &menu))
	pages := 0
	for name, entry := range menu {
		if entry.Action.Type != "view" {
			continue
		}
		pages++
		if _, err := os.Stat(filepath.Join(luciApp, "htdocs/luci-static/resources/view", entry.Action.Path+".js")); err != nil || entry.Title == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if views := must(filepath.Glob(luciApp + "/htdocs/luci-static/resources/view/pngw/*.js"))(t); pages != len(views) {
		t.Errorf("%d pages in the menu, and there are %q", pages, views)
	}
}

// TestLuCIArgon2: LuCI's pages compute Argon2id by what the technicians' page does it by.
func TestLuCIArgon2(t *testing.T) {
	z := must(gzip.NewReader(bytes.NewReader(must(os.ReadFile("../../agent/api/page/dist/argon2.js.gz"))(t))))(t)
	want := must(io.ReadAll(z))(t)
	if got := must(os.ReadFile(luciApp + "/htdocs/luci-static/resources/pngw/argon2.js"))(t); !bytes.Equal(got, want) {
		t.Error("argon2.js is not that of the page: gunzip -c agent/api/page/dist/argon2.js.gz into its place")
	}
}
