package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const program = `package main

import "os"

func main() { println(float64(len(os.Args)) * 1.5) }
`

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": program, "go.mod": "module probe\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := []string{"-trimpath", "-ldflags=-s -w", "-tags=nethttpomithttp2"}
	withUSB := []string{"-trimpath", "-ldflags=-s -w", "-tags=nethttpomithttp2,usb,netgo,osusergo"}
	for _, tt := range []struct {
		name string
		file string
		args []string
		env  []string
		want string // in the error, "" for none
	}{
		{"good", "linux-mips", good, nil, ""},
		{"hard float", "linux-mips", good, []string{"GOMIPS=hardfloat"}, "hard float"},
		{"symbols", "linux-mips", []string{"-trimpath", "-tags=nethttpomithttp2"}, nil, "not stripped"},
		{"paths", "linux-mips", good[1:], nil, "contains the build's path " + dir},
		{"dynamic", "linux-amd64", append(good, "-buildmode=pie"), []string{"GOARCH=amd64"}, "not static"},
		{"byte order", "linux-mipsle", good, nil, "another processor"},
		{"processor", "linux-arm64", good, []string{"GOARCH=amd64"}, "another processor"},
		{"ARM v5", "linux-armv5", good, []string{"GOARCH=arm", "GOARM=5"}, ""},
		{"ARM v7 for v5", "linux-armv5", good, []string{"GOARCH=arm", "GOARM=7"}, "another processor"},
		{"amd64 v3", "linux-amd64", good, []string{"GOARCH=amd64", "GOAMD64=v3"}, "GOAMD64=v3"},
		{"arm64 v9", "linux-arm64", good, []string{"GOARCH=arm64", "GOARM64=v9.0"}, "GOARM64=v9.0"},
		{"experiment", "linux-amd64", good, []string{"GOARCH=amd64", "GOEXPERIMENT=arenas"}, "GOEXPERIMENT=arenas"},
		{"flags", "linux-mips", []string{"-ldflags=-s -w"}, []string{"GOFLAGS=-trimpath -tags=netgo"}, `-tags "netgo"`},
		{"no USB", "linux-mips-usb", good, nil, `-tags "nethttpomithttp2", want`},
		{"USB without cgo", "linux-mips-usb", withUSB, nil, "CGO_ENABLED=0, want 1"},
		{"no target", "linux-mips64", good, nil, "no target"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pngw-"+tt.file)
			cmd := exec.Command("go", append(append([]string{"build", "-o", file}, tt.args...), ".")...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=mips", "GOMIPS=softfloat", "CGO_ENABLED=0", "GOWORK=off")
			cmd.Env = append(cmd.Env, tt.env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("go build: %v\n%s", err, out)
			}
			err := check(file, []string{dir})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestPinned: what a person has set for the go command does not get into a program
// that the scripts build.
func TestPinned(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": program, "go.mod": "module probe\n\ngo 1.26\n",
		"other.go": "//go:build other\n\npackage main\n\nfunc init() { undefined() }\n",
		"env":      "GOARM64=v9.0\nGOFLAGS=-tags=other\nGOEXPERIMENT=arenas\nCGO_ENABLED=1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pin, err := filepath.Abs("../pin.sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, arch := range map[string]string{"linux-amd64": "amd64", "linux-arm64": "arm64", "linux-mipsle": "mipsle"} {
		file := filepath.Join(t.TempDir(), "pngw-"+name)
		cmd := exec.Command("sh", "-euc", `. "$1"
			GOOS=linux GOARCH=$2 CGO_ENABLED=0 go build -trimpath -tags nethttpomithttp2 -ldflags '-s -w' -o "$3" .`, "sh", pin, arch, file)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOENV="+filepath.Join(dir, "env"), "GOAMD64=v3", "GOMIPS=hardfloat",
			"GOOS=plan9", "GOWORK=/nowhere/go.work", "GOFIPS140=latest", "CC=/nowhere/cc")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		} else if err := check(file, []string{dir}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTargets: every line of the size budget is a target, so that a new one is
// checked too.
func TestTargets(t *testing.T) {
	budget, err := os.ReadFile("../../build/size-budget")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(budget)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		if _, ok := targets[strings.TrimSuffix(fields[0], "-usb")]; !ok {
			t.Errorf("no target %s", fields[0])
		}
	}
	if lines < len(targets) {
		t.Errorf("%d lines in the size budget, %d targets", lines, len(targets))
	}
}

// TestUsesFPU: by the instructions' words in MIPS's manual.
func TestUsesFPU(t *testing.T) {
	for _, tt := range []struct {
		name string
		word uint32
		want bool
	}{
		{"add.d $f0,$f2,$f4", 0x46241000, true},
		{"mtc1 $t0,$f0", 0x44880000, true},
		{"lwc1 $f0,0($sp)", 0xc7a00000, true},
		{"sdc1 $f0,0($sp)", 0xf7a00000, true},
		{"addu $v0,$a0,$a1", 0x00851021, false},
		{"lw $ra,28($sp)", 0x8fbf001c, false},
		{"mfc0 $t0,$12", 0x40086000, false},
	} {
		if got := usesFPU(tt.word); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}
