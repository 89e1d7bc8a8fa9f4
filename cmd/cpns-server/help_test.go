package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cpns.example.net/pngw/internal/display"
)

// Every help text fits a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	helps := [][]string{{"help"}}
	for _, cmd := range program(time.Now).Commands {
		helps = append(helps, append(strings.Fields(cmd.Name), "--help"))
	}
	for _, args := range helps {
		out, err := exec.Command("cpns-server", args...).Output()
		if err != nil || len(out) == 0 {
			t.Errorf("%v: %v", args, err)
		}
		for line := range strings.Lines(string(out)) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > display.Width {
				t.Errorf("%v: %d columns: %s", args, n, line)
			}
		}
	}
}
