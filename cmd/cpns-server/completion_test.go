package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/internal/command/commandtest"
)

func TestHelp(t *testing.T) { commandtest.Help(t, program(time.Now)) }

func TestManual(t *testing.T) { commandtest.Manual(t, program(time.Now)) }

func TestCompletion(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for _, line := range []string{
		"init --data " + data,
		"gateway add --data " + data + " gw-0001 --psk-out " + data + ".psk",
		"user add --data " + data + " --password-file - alice",
		"pne import --data " + data + " -",
	} {
		cmd := exec.Command("cpns-server", strings.Fields(line)...)
		cmd.Stdin = strings.NewReader("correct horse\n")
		if strings.HasPrefix(line, "pne") {
			cmd.Stdin = strings.NewReader("entity_id,tk\nurn:dev:lamp-1,00112233445566778899aabbccddeeff\n")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	commandtest.Completions(t, "cpns-server", []commandtest.Completion{
		{Typed: "cpns-server us", Want: "cpns-server user "},
		{Typed: "cpns-server user pa", Want: "cpns-server user passwd "},
		{Typed: "cpns-server gateway remove --data " + data + " gw", Want: "gw-0001 "},
		{Typed: "cpns-server user remove --data=" + data + " a", Want: "alice "},
		{Typed: "cpns-server pne release --data " + data + " u", Want: "urn:dev:lamp-1 "},
	})
	if out, err := exec.Command("cpns-server", "completion", "lists", "users", "--data", data).CombinedOutput(); err != nil || string(out) != "alice\n" {
		t.Errorf("users: %v: %s", err, out)
	}
}
