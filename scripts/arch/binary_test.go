package arch

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pngwBuild is how pngw is built for a router, the target being left out: what
// is linked does not depend on it.
var pngwBuild = []string{"-trimpath", "-buildvcs=false", "-tags=nethttpomithttp2"}

// TestPlainBuild: what a newcomer types works with a C compiler and without libusb,
// and what it makes says where USB is to be had.
func TestPlainBuild(t *testing.T) {
	bin := t.TempDir()
	plain := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = root(t)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "PKG_CONFIG=/nowhere/pkg-config", "GOBIN="+bin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	plain("build", "./...")
	plain("install", "./cmd/pngw")
	// Tests are only listed: that they compile and pass is seen by the run that this
	// one is a part of.
	deps := plain("list", "-test", "-deps", "-f", "{{.ImportPath}}{{if .CgoPkgConfig}} {{.CgoPkgConfig}}{{end}}", "./...")
	if !strings.Contains(deps, "cpns.example.net/pngw/transport/usb.test\n") {
		t.Fatalf("go list names no test of transport/usb:\n%.4096s", deps)
	}
	for line := range strings.Lines(deps) {
		if strings.Contains(line, "gousb") || strings.Contains(line, "[") && strings.Contains(line, "libusb") {
			t.Errorf("a plain build takes %s", line)
		}
	}

	file := filepath.Join(t.TempDir(), "pngw.conf")
	text := "config gateway main\n option id gw-0001\n option server https://127.0.0.1:1\nconfig link stick\n option type usb\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(bin, "pngw"), "init", "--config", file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), file+":4: USB link stick: this build has no USB support") || !strings.Contains(string(out), "-tags usb") {
		t.Errorf("pngw init with a USB link: %v\n%s", err, out)
	}
}

// TestUSBNeedsCgo: a build that was asked for USB is not made without.
func TestUSBNeedsCgo(t *testing.T) {
	cmd := exec.Command("go", "build", "-tags", "usb", "./transport/usb")
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the_build_tag_usb_needs_cgo") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNoTemplates: either template package costs 2 MB on a router.
func TestNoTemplates(t *testing.T) {
	out := run(t, "go", "list", "-deps", "-tags=nethttpomithttp2", "./cmd/pngw")
	deps := strings.Fields(string(out))
	if len(deps) < 50 {
		t.Fatalf("go list names only %d dependencies of pngw", len(deps))
	}
	for _, dep := range deps {
		switch dep {
		case "text/template", "html/template", "testing":
			t.Errorf("pngw links %s", dep)
		}
	}
}

// TestNoReflectMethod: where one function looks up methods by reflection, the
// linker keeps the exported methods of every type that is reachable.
func TestNoReflectMethod(t *testing.T) {
	args := append([]string{"build"}, pngwBuild...)
	args = append(args, "-ldflags=-s -w -dumpdep", "-o", filepath.Join(t.TempDir(), "pngw"), "./cmd/pngw")
	cmd := exec.Command("go", args...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	dump, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%.4096s", strings.Join(args, " "), err, dump)
	}
	lines := bytes.Split(dump, []byte("\n"))
	if len(lines) < 10000 {
		t.Fatalf("the linker told only %d dependencies", len(lines))
	}
	for _, line := range lines {
		if bytes.Contains(line, []byte("<ReflectMethod>")) {
			t.Errorf("looks up methods by reflection: %s", line)
		}
	}
}
