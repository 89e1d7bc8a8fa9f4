//go:build linux

// Package openwrt runs what the OpenWrt package puts on a router: in a folder
// laid out as a router's, as its root, with a real busybox, a real pngw and the
// real package. Only procd, uci and OpenWrt's shell functions are stood in for, by
// testdata/root, and ujail by folder ujail.
package openwrt

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// router is a folder that is a root file system.
type router struct {
	t    *testing.T
	root string
}

// newRouter lays out a router of a model, a folder of board/testdata, without
// the package.
func newRouter(t *testing.T, model string) *router {
	t.Helper()
	r := &router{t, t.TempDir()}
	// The commands in it run as other users.
	for dir := r.root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		check(t, os.Chmod(dir, 0o755))
	}
	for _, dir := range []string{"bin", "etc/config", "etc/ssl/certs", "sbin", "usr/bin", "tmp", "var/run", "dev"} {
		check(t, os.MkdirAll(r.path(dir), 0o755))
	}
	check(t, os.Chmod(r.path("tmp"), 0o777|fs.ModeSticky))
	check(t, os.CopyFS(r.root, os.DirFS("testdata/root")))
	copyTree(t, filepath.Join("../../board/testdata", model), r.root)
	busybox := tool(t, "busybox", "busybox-static")
	r.write("bin/busybox", string(must(os.ReadFile(busybox))(t)), 0o755)
	must(r.command(nil, "/bin/busybox", "--install", "-s", "/bin").CombinedOutput())(t)
	r.write("etc/passwd", "root:x:0:0:root:/root:/bin/ash\n", 0o644)
	r.write("etc/group", "root:x:0:\ndialout:x:"+dialout+":\n", 0o644)
	r.write("proc/sys/fs/protected_hardlinks", "1\n", 0o644) // by OpenWrt's sysctl.d
	r.write("tmp/resolv.conf.d/resolv.conf.auto", "", 0o644)
	r.link("tmp/resolv.conf", "/tmp/resolv.conf.d/resolv.conf.auto")
	r.link("etc/resolv.conf", "/tmp/resolv.conf")
	r.write("etc/hosts", "127.0.0.1 localhost\n", 0o644)
	return r
}

// Without root, everybody on the router is root in a user namespace: who owns
// what is not tested then.
var (
	asRoot  = os.Geteuid() == 0
	dialout = map[bool]string{true: "20", false: "0"}[asRoot]
)

// needsRoot is for tests that mean nothing without.
func needsRoot(t *testing.T) {
	t.Helper()
	switch {
	case asRoot:
	case os.Getenv("CI") != "":
		t.Fatal("has to run as root")
	default:
		t.Skip("has to run as root")
	}
}

func (r *router) path(name string) string { return filepath.Join(r.root, name) }

func (r *router) write(name, text string, mode fs.FileMode) {
	r.t.Helper()
	check(r.t, os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	check(r.t, os.WriteFile(r.path(name), []byte(text), mode))
	check(r.t, os.Chmod(r.path(name), mode))
}

func (r *router) link(name, target string) {
	r.t.Helper()
	check(r.t, os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	os.Remove(r.path(name))
	check(r.t, os.Symlink(target, r.path(name)))
}

func (r *router) read(name string) string {
	r.t.Helper()
	return string(must(os.ReadFile(r.path(name)))(r.t))
}

// command is a command on the router, by root unless who says otherwise.
func (r *router) command(who *syscall.Credential, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.root, Credential: who}
	if !asRoot {
		cmd.Env = append(cmd.Env, "STAND_IN_ID=0")
		cmd.SysProcAttr.Credential = nil
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// service gives the init script a command, and returns what it says and what procd
// has been told in the end.
func (r *router) service(action string, env ...string) (says, tells string, err error) {
	r.t.Helper()
	cmd := r.command(nil, "/bin/sh", "/etc/rc.common", "/etc/init.d/pngw", action)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), r.maybe("tmp/procd"), err
}

// starts starts the service, which works.
func (r *router) starts() (tells string) {
	r.t.Helper()
	says, tells, err := r.service("start")
	if err != nil || says != "" {
		r.t.Fatalf("start: %v\n%s", err, says)
	}
	r.did()
	return tells
}

// did returns what procd has done to the agent since the last look: words such as
// "start", "restart" and "stop".
func (r *router) did() string {
	r.t.Helper()
	words := strings.Join(strings.Fields(r.maybe("tmp/procd.did")), " ")
	os.Remove(r.path("tmp/procd.did"))
	return words
}

// gaveUp has procd give the agent up.
func (r *router) gaveUp() {
	r.t.Helper()
	r.write("tmp/procd.instance", "false\n", 0o644)
}

// event has procd see an event.
func (r *router) event(args ...string) {
	r.t.Helper()
	if out, err := r.command(nil, "/sbin/procd", append([]string{"event"}, args...)...).CombinedOutput(); err != nil {
		r.t.Fatalf("procd event %q: %v\n%s", args, err, out)
	}
}

// maybe reads a file that need not be there.
func (r *router) maybe(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	return string(text)
}

// credential is what procd runs a user's process with: the user, its group, and
// the groups that it is a member of.
func (r *router) credential(user string) *syscall.Credential {
	r.t.Helper()
	number := func(s string) uint32 { return uint32(must(strconv.ParseUint(s, 10, 32))(r.t)) }
	for line := range strings.Lines(r.read("etc/passwd")) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if f[0] != user {
			continue
		}
		who := &syscall.Credential{Uid: number(f[2]), Gid: number(f[3])}
		for line := range strings.Lines(r.read("etc/group")) {
			g := strings.Split(strings.TrimSpace(line), ":")
			for member := range strings.SplitSeq(g[3], ",") {
				if member == user {
					who.Groups = append(who.Groups, number(g[2]))
				}
			}
		}
		return who
	}
	r.t.Fatalf("there is no user %s in:\n%s", user, r.read("etc/passwd"))
	return nil
}

// install unpacks the package and runs what it runs after that.
func (r *router) install() {
	r.t.Helper()
	for _, f := range packages(r.t).ipk.data {
		r.write(f.name, f.content, f.mode)
	}
	if says, err := r.postinst(); err != nil {
		r.t.Fatalf("postinst: %v\n%s", err, says)
	}
}

func (r *router) postinst() (says string, err error) {
	cmd := r.command(nil, "/bin/sh", "-c", packages(r.t).ipk.control["postinst"])
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// built is what make package makes, for this machine's kind of processor.
type built struct {
	dir string
	ipk unpacked
	apk unpacked
	err error

	luci struct{ ipk, apk unpacked } // luci-app-pngw
}

// unpacked is a package's content. Names are relative to the root.
type unpacked struct {
	control map[string]string // by file name
	data    map[string]file
}

type file struct {
	name, content string
	mode          fs.FileMode
}

var (
	buildOnce sync.Once
	theBuild  built
)

// packages builds pngw and packs it, once for all tests.
func packages(t *testing.T) built {
	t.Helper()
	buildOnce.Do(func() {
		theBuild.dir, theBuild.err = os.MkdirTemp("", "pngw-packages-")
		if theBuild.err == nil {
			theBuild.err = theBuild.make()
		}
	})
	check(t, theBuild.err)
	return theBuild
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(theBuild.dir)
	os.Exit(code)
}

// architectures are OpenWrt's names for what Go can build here and run.
var architectures = map[string]string{"amd64": "x86_64", "arm64": "aarch64_generic"}

func (b *built) program() string { return "pngw-linux-" + runtime.GOARCH }

// make builds pngw, packs it, and takes the packages apart.
func (b *built) make() error {
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags=nethttpomithttp2", "-ldflags=-s -w",
		"-o", filepath.Join(b.dir, b.program()), "./cmd/pngw")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	sums := exec.Command("sh", "-c", `cd "$1" && sha256sum "$2" >SHA256SUMS`, "sh", b.dir, b.program())
	for _, cmd := range []*exec.Cmd{build, sums} {
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	err := b.pack()
	if err != nil {
		return err
	}
	if b.ipk, err = b.open(architectures[runtime.GOARCH], "ipk", openIPK); err != nil {
		return err
	}
	if b.apk, err = b.open(architectures[runtime.GOARCH], "apk", openAPK); err != nil {
		return err
	}
	if b.luci.ipk, err = b.open("all", "ipk", openIPK); err != nil {
		return err
	}
	b.luci.apk, err = b.open("all", "apk", openAPK)
	return err
}

func (b *built) pack() error {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no OpenWrt package for linux/%s", runtime.GOARCH)
	}
	cmd := exec.Command("scripts/package.sh", "-d", b.dir, arch)
	cmd.Dir = "../.."
	// What is packed need not be what was committed last.
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

func (b *built) open(folder, kind string, open func([]byte) (unpacked, error)) (unpacked, error) {
	files, err := filepath.Glob(filepath.Join(b.dir, "packages", folder, "*."+kind))
	if err != nil || len(files) != 1 {
		return unpacked{}, fmt.Errorf("packages of kind %s in %s: %v, %v", kind, folder, files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return unpacked{}, err
	}
	return open(data)
}

// openIPK takes an .ipk apart: two archives in an archive.
func openIPK(data []byte) (u unpacked, err error) {
	outer, err := untar(data)
	if err != nil {
		return u, err
	}
	control, err := untar([]byte(outer["control.tar.gz"].content))
	if err != nil {
		return u, fmt.Errorf("control: %w", err)
	}
	u.control = map[string]string{}
	for name, f := range control {
		u.control[name] = f.content
	}
	u.data, err = untar([]byte(outer["data.tar.gz"].content))
	return u, err
}

// openAPK takes an .apk of version 2 apart: archives one after the other, the
// package's own files beginning with a dot.
func openAPK(data []byte) (u unpacked, err error) {
	all, err := untar(data)
	u = unpacked{control: map[string]string{}, data: map[string]file{}}
	for name, f := range all {
		if strings.HasPrefix(name, ".") {
			u.control[name] = f.content
		} else {
			u.data[name] = f
		}
	}
	return u, err
}

// untar reads a compressed archive's files. The first parts of an .apk lack the
// end mark of an archive, so that one reader reads them all.
func untar(data []byte) (map[string]file, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	files := map[string]file{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(h.Name, "./")
		files[name] = file{name, string(content), fs.FileMode(h.Mode)}
	}
}

// copyTree copies a folder with its links, which os.CopyFS does not.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	check(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := must(filepath.Rel(from, path))(t)
		dest := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(dest, 0o755)
		case d.Type() == fs.ModeSymlink:
			return os.Symlink(must(os.Readlink(path))(t), dest)
		}
		return os.WriteFile(dest, must(os.ReadFile(path))(t), 0o644)
	}))
}

// tool finds a program, which may be missing only outside of CI.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: apt-get install %s", name, debian)
	}
	t.Skipf("%s is missing: apt-get install %s", name, debian)
	return ""
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}
