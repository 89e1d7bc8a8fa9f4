// Package arch holds what no single package can hold about itself: who may
// import whom, what the router's program may link, that every dependency has
// a decision behind it, and that the documents name files and tests that exist.
package arch

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "cpns.example.net/pngw"

// rules say what a package may import besides the standard library. The first
// that matches counts. "x/..." is x and all below it, in rules and in imports.
var rules = []struct {
	pkg     string
	imports []string
}{
	// The protocol is pure: no I/O, and nothing that brings some.
	{"cpns", []string{"golang.org/x/crypto/...", "cpns/cbor"}},
	{"cpns/cbor", nil},
	{"cpns/server/admin/page", []string{"internal/webpage"}},
	{"cpns/server/...", []string{"cpns", "internal/sleep", "internal/spool", "cpns/server/...", "golang.org/x/...", "github.com/ncruces/go-sqlite3/...", "github.com/jackc/pgx/v5/..."}},
	// The device's half must fit a device: the protocol and nothing else.
	{"cpns/pne/...", []string{"cpns", "cpns/pne/..."}},

	// In C, and its tests in Go.
	{"device", nil},
	{"device/test/...", []string{"transport"}},

	{"transport", []string{"internal/...", "golang.org/x/..."}},
	{"transport/serial", []string{"transport", "internal/...", "golang.org/x/...", "github.com/tarm/serial"}},
	{"transport/usb", []string{"transport", "internal/...", "golang.org/x/...", "github.com/google/gousb"}},
	{"transport/mqtt", []string{"transport", "internal/...", "golang.org/x/...", "github.com/eclipse/paho.mqtt.golang/..."}},
	{"transport/https", []string{"transport", "internal/...", "golang.org/x/..."}},
	{"transport/linktest", []string{"transport"}},
	{"transport/mqtt/mosquitto", nil}, // starts a broker for tests

	// 3GPP GBA knows nothing of what its keys are for.
	{"gba", nil},

	// What several programs and packages share, and knows none of them.
	{"internal/qrcode", []string{"internal/...", "rsc.io/qr"}},
	{"internal/...", []string{"internal/...", "golang.org/x/..."}},

	{"keystore/...", []string{"keystore/...", "internal/...", "golang.org/x/..."}},
	{"board/...", []string{"board/...", "internal/...", "golang.org/x/..."}},

	// The agent declares the interfaces that keystore, board and links satisfy.
	{"agent/life", []string{"cpns", "cpns/cbor"}},
	{"agent/certificate", nil},
	// Step 0 speaks with the server and the store through interfaces of its own.
	{"agent/batch", []string{"agent", "agent/api", "cpns", "internal/sleep", "internal/spreadsheet"}},
	{"agent/step0", []string{"agent", "agent/certificate", "cpns", "transport"}},
	{"agent/bootstrap", []string{"agent", "cpns", "gba"}},
	// The file's options are those of the links, which say what they are unless set.
	{"agent/config", []string{"agent/certificate", "cpns", "board/uci", "transport", "transport/serial", "transport/mqtt"}},
	{"agent/application", []string{"agent", "cpns", "internal/sleep"}},
	{"agent/hooks", []string{"agent", "cpns", "golang.org/x/sys/unix"}},
	{"agent/api/page", []string{"agent/...", "cpns", "transport", "internal/sleep", "internal/webpage"}},
	{"agent/api", []string{"agent", "agent/audit", "agent/step0", "agent/hooks", "cpns", "transport"}},
	{"agent/...", []string{"agent/...", "cpns", "transport"}},

	// The kit judges our own programs too, and must not share a fault with them: it
	// encodes and decodes messages by itself.
	{"cmd/cpns-conform/internal/...", []string{"cmd/cpns-conform/internal/...", "internal/...", "transport", "transport/mqtt", "golang.org/x/..."}},

	// Only here are parts put together.
	{"cmd/...", []string{"..."}},
	{"scripts/...", []string{"..."}},
	{"build/...", []string{"..."}},
}

func TestImports(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) == 0 {
		t.Fatal("no packages found")
	}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		allowed, known := allowedImports(name)
		if !known {
			t.Errorf("%s: no rule says what it may import", name)
			continue
		}
		for _, path := range p.Imports {
			if inStandardLibrary(path) {
				continue
			}
			path = strings.TrimPrefix(path, module+"/")
			if !matchesAny(allowed, path) {
				t.Errorf("%s imports %s; it may import the standard library and %v", name, path, allowed)
			}
		}
	}
}

func allowedImports(pkg string) (imports []string, known bool) {
	for _, rule := range rules {
		if matches(rule.pkg, pkg) {
			return rule.imports, true
		}
	}
	return nil, false
}

func matchesAny(patterns []string, path string) bool {
	for _, pattern := range patterns {
		if matches(pattern, path) {
			return true
		}
	}
	return false
}

func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == root || strings.HasPrefix(path, root+"/")
	}
	return path == pattern
}

func TestMatches(t *testing.T) {
	tests := []struct {
		pattern, path string
		want          bool
	}{
		{"cpns", "cpns", true},
		{"cpns", "cpns/pne", false},
		{"cpns/...", "cpns", true},
		{"cpns/...", "cpns/pne", true},
		{"cpns/...", "cpnsx", false},
		{"...", "anything/at/all", true},
	}
	for _, test := range tests {
		if got := matches(test.pattern, test.path); got != test.want {
			t.Errorf("matches(%q, %q) = %v, want %v", test.pattern, test.path, got, test.want)
		}
	}
}

// goPackage is what go list -json says of a package, as far as it is used here.
type goPackage struct {
	ImportPath string
	Imports    []string // of the files that are not tests
}

func inStandardLibrary(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func list(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	out := run(t, "go", append([]string{"list", "-json=ImportPath,Imports"}, patterns...)...)
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := d.Decode(&p)
		if err == io.EOF {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// root is the module's folder.
func root(t *testing.T) string {
	t.Helper()
	abs, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// run runs a command in the module's folder and returns its standard output.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir = root(t)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}
