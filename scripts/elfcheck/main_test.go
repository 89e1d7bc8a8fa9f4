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
	for _, tt := range []struct {
		name string
		args []string
		env  string
		want string // in the error, "" for none
	}{
		{"good", []string{"-trimpath", "-ldflags=-s -w"}, "GOMIPS=softfloat", ""},
		{"hard", []string{"-trimpath", "-ldflags=-s -w"}, "GOMIPS=hardfloat", "hard float"},
		{"symbols", []string{"-trimpath"}, "GOMIPS=softfloat", "not stripped"},
		{"paths", []string{"-ldflags=-s -w"}, "GOMIPS=softfloat", "contains the build's path " + dir},
		{"dynamic", []string{"-trimpath", "-ldflags=-s -w", "-buildmode=pie"}, "GOARCH=amd64", "not static"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, tt.name)
			cmd := exec.Command("go", append(append([]string{"build", "-o", file}, tt.args...), ".")...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=mips", "CGO_ENABLED=0", "GOWORK=off", tt.env)
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
