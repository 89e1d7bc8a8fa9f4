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
