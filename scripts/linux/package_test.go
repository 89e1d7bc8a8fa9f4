//go:build linux

// Package linux tests the packages for machines with systemd, as dpkg and rpm install,
// upgrade and remove them, in a folder that is their root. Its useradd, getent and
// systemctl are stood in for; that the units run under systemd itself was tried by hand.
package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tool finds a program; where there is none the test is skipped, but in CI.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s: apt-get install %s", name, debian)
	}
	t.Skipf("no %s: apt-get install %s", name, debian)
	return ""
}

// build makes the programs once, and the packages of two versions of them.
var build = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "pngw-linux-"); err != nil {
		return "", err
	}
	run := func(env []string, name string, args ...string) {
		if err != nil {
			return
		}
		cmd := exec.Command(name, args...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), env...)
		if out, e := cmd.CombinedOutput(); e != nil {
			err = fmt.Errorf("%s: %w\n%s", cmd, e, out)
		}
	}
	// What the server's package carries is not what is tested here, and takes long to build.
	for _, name := range []string{"cpns-server", "pne"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho .TH "+name+"\n"), 0o755))
	}
	run(nil, "go", "build", "-o", filepath.Join(dir, "pngw"), "./cmd/pngw")
	for _, version := range []string{"1700000000", "1700086400"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, version), 0o755),
			os.Symlink("../pngw", filepath.Join(dir, version, "pngw-linux-"+runtime.GOARCH)))
		run([]string{"SOURCE_DATE_EPOCH=" + version, "PROGRAMS=" + dir}, "scripts/package-linux.sh", "-d", filepath.Join(dir, version), runtime.GOARCH)
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := build(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// packages are the files of a kind, of the first or the second version.
func packages(t *testing.T, version int, kind string) []string {
	t.Helper()
	tool(t, "git", "git")
	dir := must(build())(t)
	files := must(filepath.Glob(filepath.Join(dir, []string{"1700000000", "1700086400"}[version], "packages/linux/*."+kind)))(t)
	if len(files) != 2 {
		t.Fatalf("packages: %q", files)
	}
	return files
}

// TestContents: both kinds carry the same files with the same modes, all of them root's.
func TestContents(t *testing.T) {
	rpm := tool(t, "rpm", "rpm")
	tool(t, "dpkg-deb", "dpkg")
	want := []string{
		"-rw-r----- /etc/config/pngw",
		"-rw-r--r-- /usr/lib/systemd/system/cpns-server.service",
		"-rw-r--r-- /usr/lib/systemd/system/pngw.service",
		"-rw-r--r-- /usr/lib/udev/rules.d/60-pngw.rules",
		"-rw-r--r-- /usr/share/doc/cpns-server/copyright",
		"-rw-r--r-- /usr/share/doc/pngw/copyright",
		"-rw-r--r-- /usr/share/man/man1/cpns-server.1.gz",
		"-rw-r--r-- /usr/share/man/man1/pne.1.gz",
		"-rw-r--r-- /usr/share/man/man1/pngw.1.gz",
		"-rwxr-xr-x /usr/bin/cpns-server",
		"-rwxr-xr-x /usr/bin/pne",
		"-rwxr-xr-x /usr/bin/pngw",
	}
	lists := map[string][]string{}
	for _, file := range packages(t, 0, "deb") {
		for line := range strings.Lines(string(must(exec.Command("dpkg-deb", "-c", file).Output())(t))) {
			if f := strings.Fields(line); f[0][0] == '-' {
				lists["deb"] = append(lists["deb"], f[0]+" "+strings.TrimPrefix(f[5], "."))
				if f[1] != "root/root" {
					t.Errorf("deb: %s", line)
				}
			}
		}
	}
	for _, file := range packages(t, 0, "rpm") {
		out := must(exec.Command(rpm, "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES} %{FILEUSERNAME} %{FILEGROUPNAME}\n]", file).Output())(t)
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); f[0][0] == '-' {
				lists["rpm"] = append(lists["rpm"], f[0]+" "+f[1])
				if f[2] != "root" || f[3] != "root" {
					t.Errorf("rpm: %s", line)
				}
			}
		}
	}
	for kind, got := range lists {
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", kind, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if len(lists) != 2 {
		t.Errorf("kinds: %d", len(lists))
	}
}

// TestUnits: the unit of the gateway is one that systemd takes and finds well kept in, as
// is the server's, and each runs what its package has.
func TestUnits(t *testing.T) {
	tool(t, "systemd-analyze", "systemd")
	for _, name := range []string{"cpns-server", "pngw"} {
		text := string(must(os.ReadFile("../../build/systemd/" + name + ".service"))(t))
		programs := regexp.MustCompile(`/usr/(local/)?bin/[\w-]+`)
		for _, p := range programs.FindAllString(text, -1) {
			if filepath.Base(p) != name {
				t.Errorf("%s runs %s", name, p)
			}
		}
		unit := filepath.Join(t.TempDir(), name+".service")
		check(t, os.WriteFile(unit, []byte(programs.ReplaceAllString(text, "/bin/true")), 0o644))
		out, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput()
		if err != nil || strings.Contains(string(out), name+".service") {
			t.Errorf("%v: %s", err, out)
		}
		// 2.0 of 10 is at the good end of what systemd calls OK.
		if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", unit).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// TestReproducible: packed again, the packages are the same bytes.
func TestReproducible(t *testing.T) {
	files := append(packages(t, 0, "deb"), packages(t, 0, "rpm")...)
	dir := must(build())(t)
	again := t.TempDir()
	check(t, os.Symlink(filepath.Join(dir, "1700000000", "pngw-linux-"+runtime.GOARCH), filepath.Join(again, "pngw-linux-"+runtime.GOARCH)))
	cmd := exec.Command("scripts/package-linux.sh", "-d", again, runtime.GOARCH)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "PROGRAMS="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, file := range files {
		one := must(os.ReadFile(file))(t)
		two := must(os.ReadFile(filepath.Join(again, "packages/linux", filepath.Base(file))))(t)
		if string(one) != string(two) {
			t.Errorf("%s is not the same bytes twice", filepath.Base(file))
		}
	}
}

// A machine is a folder in which packages are installed.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("not root: packages cannot be installed")
		}
		t.Skip("not root: packages cannot be installed")
	}
	busybox := tool(t, "busybox", "busybox-static")
	m := &machine{t, t.TempDir()}
	for _, dir := range []string{"bin", "usr/bin", "etc", "dev", "tmp", "var/lib/dpkg/info", "var/lib/dpkg/updates", "run/systemd/system"} {
		check(t, os.MkdirAll(filepath.Join(m.root, dir), 0o755))
	}
	m.write("bin/busybox", string(must(os.ReadFile(busybox))(t)), 0o755)
	if out, err := exec.Command("chroot", m.root, "/bin/busybox", "--install", "-s", "/bin").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m.write("dev/null", "", 0o666)
	m.write("var/lib/dpkg/status", "", 0o644)
	m.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
	m.write("etc/group", "root:x:0:\n", 0o644)
	m.write("bin/getent", "#!/bin/sh\ngrep \"^$2:\" /etc/$1\n", 0o755)
	m.write("bin/useradd", `#!/bin/sh
for name; do :; done
n=$((900 + $(wc -l </etc/passwd)))
echo "$name:x:$n:$n::/:/bin/false" >>/etc/passwd
echo "$name:x:$n:" >>/etc/group
echo "useradd $*" >>/log
`, 0o755)
	m.write("bin/systemctl", "#!/bin/sh\necho \"systemctl $*\" >>/log\n", 0o755)
	return m
}

func (m *machine) write(name, text string, mode fs.FileMode) {
	m.t.Helper()
	check(m.t, os.WriteFile(filepath.Join(m.root, name), []byte(text), mode))
}

func (m *machine) read(name string) string {
	m.t.Helper()
	return string(must(os.ReadFile(filepath.Join(m.root, name)))(m.t))
}

func (m *machine) run(name string, args ...string) string {
	m.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// did is what systemctl and useradd were told since the last time.
func (m *machine) did() []string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, "log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Fatal(err)
	}
	os.Remove(filepath.Join(m.root, "log"))
	lines := strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(text)), " ", "\x00"))
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], "\x00", " ")
	}
	slices.Sort(lines)
	return slices.DeleteFunc(lines, func(l string) bool { return l == "systemctl daemon-reload" })
}

func (m *machine) wantDid(when string, want ...string) {
	m.t.Helper()
	if got := m.did(); !slices.Equal(got, want) {
		m.t.Errorf("%s: did %q, want %q", when, got, want)
	}
}

// TestLifeOfPackages: installed, a package waits for its owner; upgraded, it begins anew
// where it runs; removed, it is stopped and disabled; and keys and data stay, whatever happens.
func TestLifeOfPackages(t *testing.T) {
	tool(t, "dpkg", "dpkg")
	tool(t, "rpm", "rpm")
	for _, kind := range []string{"deb", "rpm"} {
		t.Run(kind, func(t *testing.T) {
			m := newMachine(t)
			var install, upgrade, remove, purge []string
			if kind == "deb" {
				dpkg := []string{"dpkg", "--root=" + m.root, "--force-depends,not-root,confold"}
				install, upgrade = append(slices.Clip(dpkg), "-i"), append(slices.Clip(dpkg), "-i")
				remove, purge = append(slices.Clip(dpkg), "-r", "pngw", "cpns-server"), append(slices.Clip(dpkg), "-P", "pngw", "cpns-server")
			} else {
				rpm := []string{"rpm", "--root", m.root, "--nodeps"}
				install, upgrade = append(slices.Clip(rpm), "-i"), append(slices.Clip(rpm), "-U")
				remove = append(slices.Clip(rpm), "-e", "pngw", "cpns-server")
			}
			said := m.run(install[0], append(install[1:], packages(t, 0, kind)...)...)
			for _, want := range []string{"systemctl enable --now pngw", "cpns-server init --data /var/lib/cpns-server/data"} {
				if !strings.Contains(said, want) {
					t.Errorf("installing does not say %q:\n%s", want, said)
				}
			}
			m.wantDid("installed",
				"useradd --system --user-group --home-dir /var/lib/cpns-server --shell /usr/sbin/nologin cpns-server",
				"useradd --system --user-group --home-dir /var/lib/pngw --shell /usr/sbin/nologin pngw")
			for _, name := range []string{"cpns-server", "pngw"} {
				info := must(os.Stat(filepath.Join(m.root, "var/lib", name)))(t)
				owner := fmt.Sprintf("\n%s:x:%d:", name, info.Sys().(*syscall.Stat_t).Uid)
				if info.Mode() != fs.ModeDir|0o700 || !strings.Contains(m.read("etc/passwd"), owner) {
					t.Errorf("/var/lib/%s: %v, and not of%s", name, info.Mode(), owner)
				}
				m.write("var/lib/"+name+"/key", "secret", 0o600)
				if unit := m.read("usr/lib/systemd/system/" + name + ".service"); !strings.Contains(unit, "\nExecStart=/usr/bin/"+name+" run") {
					t.Errorf("%s: the unit runs something else:\n%s", name, unit)
				}
			}
			if got := must(os.Stat(filepath.Join(m.root, "etc/config/pngw")))(t).Mode(); got != 0o640 {
				t.Errorf("/etc/config/pngw: %v", got)
			}
			// A configuration with a mistake in it would be said before.
			status := exec.Command(filepath.Join(must(build())(t), "pngw"), "status", "--config", filepath.Join(m.root, "etc/config/pngw"))
			if out, _ := status.CombinedOutput(); !strings.Contains(string(out), "the agent is not running") {
				t.Errorf("the configuration of the package: %s", out)
			}

			mine := m.read("etc/config/pngw") + "# mine\n"
			m.write("etc/config/pngw", mine, 0o640)
			m.run(upgrade[0], append(upgrade[1:], packages(t, 1, kind)...)...)
			m.wantDid("upgraded", "systemctl try-restart cpns-server.service", "systemctl try-restart pngw.service")
			if m.read("etc/config/pngw") != mine {
				t.Error("an upgrade put its own configuration into place")
			}

			m.run(remove[0], remove[1:]...)
			m.wantDid("removed",
				"systemctl --no-reload disable cpns-server.service", "systemctl --no-reload disable pngw.service",
				"systemctl stop cpns-server.service", "systemctl stop pngw.service")
			if purge != nil {
				if said := m.run(purge[0], purge[1:]...); !strings.Contains(said, "/var/lib/pngw and the user pngw are left") {
					t.Errorf("a purge does not say what stays:\n%s", said)
				}
				m.wantDid("purged")
			}
			for _, name := range []string{"cpns-server", "pngw"} {
				if got := m.read("var/lib/" + name + "/key"); got != "secret" {
					t.Errorf("/var/lib/%s: %q", name, got)
				}
			}
			// And again, with what is there.
			m.run(install[0], append(install[1:], packages(t, 1, kind)...)...)
			if got := m.did(); slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "useradd") }) || m.read("var/lib/pngw/key") != "secret" {
				t.Errorf("installed again: %q", got)
			}
		})
	}
}
