package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cpns.example.net/pngw/internal/ptytest"
)

// TestPrompt: what is typed is not shown, stopping and going on ask again, and
// an interrupt leaves terminal and database as they were. All that a terminal
// can do is tried in package password.
func TestPrompt(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if out, err := exec.Command("cpns-server", "init", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const first, again = "Password of alice: ", "Once more: "
	tests := []struct {
		name   string
		dialog []string // what is waited for and what is typed, in turn
		want   string
		code   int
	}{
		{"interrupted", []string{first, "corr\x03"}, "interrupted: nothing was changed", 1},
		{"interrupted the second time", []string{first, "correct horse\n", again, "corr\x03"}, "interrupted: nothing was changed", 1},
		{"typed twice", []string{first, "correct horse\n", again, "correct horse\n"}, "user alice added", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			term := ptytest.New(t)
			cmd := exec.Command("cpns-server", "user", "add", "--data", data, "alice")
			term.Start(t, cmd)
			for i, text := range tt.dialog {
				if i%2 == 0 {
					term.Until(t, text)
				} else {
					term.Type(t, text)
				}
			}
			term.Until(t, tt.want)
			if code := ptytest.Exit(t, cmd); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if strings.Contains(term.Seen.String(), "corr") {
				t.Errorf("the terminal shows what was typed: %q", term.Seen.String())
			}
			if !term.Echoes(t) {
				t.Error("the terminal is left without echo")
			}
		})
	}
}

// TestPromptStopped presses Ctrl-Z at the prompt under a shell with job control,
// and goes on.
func TestPromptStopped(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if out, err := exec.Command("cpns-server", "init", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	term := ptytest.New(t)
	term.StartShell(t, "busybox", "sh", "-i")
	term.Type(t, "cpns-server user add --data "+data+" alice\n")
	term.Until(t, "Password of alice: ")
	term.Type(t, "correct horse\n")
	term.Until(t, "Once more: ")
	term.Type(t, "half\x1a")
	term.Until(t, ptytest.Ready)
	if !term.ShellEchoes(t) {
		t.Error("stopped, it leaves the shell without echo")
	}
	term.Type(t, "fg\n")
	term.Until(t, "Once more: ")
	term.Type(t, "correct horse\n")
	term.Until(t, "user alice added")
	for _, text := range []string{"half", "correct"} {
		if strings.Contains(term.Seen.String(), text) {
			t.Errorf("the terminal shows %q: %q", text, term.Seen.String())
		}
	}
}
