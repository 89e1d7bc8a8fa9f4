package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cpns.example.net/pngw/internal/command/commandtest"
)

func TestHelp(t *testing.T) { commandtest.Help(t, program()) }

func TestManual(t *testing.T) { commandtest.Manual(t, program()) }

func TestCompletion(t *testing.T) {
	dir := gateway(t)
	conf := filepath.Join(dir, "pngw.conf")
	for _, id := range []string{"urn:dev:lamp-1", "PNE/7+#%~:A"} {
		out, err := exec.Command("pngw", "provision", "--config", conf, "--user", "alice", "--wait", "0s", "--password-file", filepath.Join(dir, "password"), id).CombinedOutput()
		if exitCodeOf(t, err) != 3 {
			t.Fatalf("%v: %s", err, out)
		}
	}
	t.Setenv("CONF", conf)
	commandtest.Completions(t, "pngw", []commandtest.Completion{
		{Typed: "pngw prov", Want: "pngw provision "},
		{Typed: "pngw --config /x lis", Want: "list "},
		{Typed: "pngw show --js", Want: "pngw show --json "},
		{Typed: "pngw list --config=" + conf[:len(conf)-2], Want: conf + " "},
		{Typed: "pngw show --config " + conf + " urn:dev:l", Want: "urn:dev:lamp-1 "},
		{Typed: "pngw authenticate --config=" + conf + " urn:dev:lamp-1 P", Want: "PNE/7+"},
		{Typed: "pngw completion b", Want: "pngw completion bash "},
	})

	// For a shell that completes nothing by itself.
	out, err := exec.Command("pngw", "completion", "lists", "ids", "--config", conf).Output()
	if ids := strings.Fields(string(out)); err != nil || !slices.Equal(ids, []string{"PNE/7+#%~:A", "urn:dev:lamp-1"}) {
		t.Errorf("ids: %q, %v", ids, err)
	}
	out, err = exec.Command("pngw", "completion", "lists", "commands").Output()
	if commands := strings.Fields(string(out)); err != nil || !slices.Contains(commands, "provision") || slices.Contains(commands, "man") {
		t.Errorf("commands: %q, %v", commands, err)
	}
}
