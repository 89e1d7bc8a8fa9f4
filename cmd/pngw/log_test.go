package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cpns.example.net/pngw/internal/command"
)

// TestSupervisedLog: information and problems come by different ways and without
// a time; the level counts for both.
func TestSupervisedLog(t *testing.T) {
	var out, errs strings.Builder
	log := newLog(&command.Console{Stdout: &out, Stderr: &errs}, slog.LevelInfo, true).With("a", 1)
	log.Debug("too much")
	log.Info("ready")
	log.Warn("hm", "time", "now")
	log.Error("bad")
	if got, want := out.String(), "level=INFO msg=ready a=1\n"; got != want {
		t.Errorf("standard output: %q, want %q", got, want)
	}
	if got, want := errs.String(), "level=WARN msg=hm a=1 time=now\nlevel=ERROR msg=bad a=1\n"; got != want {
		t.Errorf("standard error: %q, want %q", got, want)
	}
}

// TestJournal: systemd's journal adds the time; a file that standard error was
// redirected to does not, though the variable is still there.
func TestJournal(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other uint64
		time  bool
	}{{"the journal", 0, false}, {"another file", 1, true}} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			st := info.Sys().(*syscall.Stat_t)
			t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", uint64(st.Dev), st.Ino+tt.other))
			newLog(&command.Console{Stderr: f}, slog.LevelInfo, false).Info("ready")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(text), "time="); got != tt.time || !strings.HasSuffix(string(text), "level=INFO msg=ready\n") {
				t.Errorf("got %q, want a time: %v", text, tt.time)
			}
		})
	}
}
