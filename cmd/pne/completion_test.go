package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cpns.example.net/pngw/internal/command/commandtest"
)

func TestHelp(t *testing.T) { commandtest.Help(t, commandLine()) }

func TestManual(t *testing.T) { commandtest.Manual(t, commandLine()) }

func TestCompletion(t *testing.T) {
	tk := filepath.Join(t.TempDir(), "meter one.tk")
	if err := os.WriteFile(tk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tk = strings.ReplaceAll(tk, " ", `\ `)
	commandtest.Completions(t, "pne", []commandtest.Completion{
		{Typed: "pne --ent", Want: "pne --entity-id "},
		{Typed: "pne --x", Want: "pne --x25519 "},
		{Typed: "pne --volatile --use", Want: "--username "},
		{Typed: "pne --tk-file " + tk[:len(tk)-3], Want: tk + " "},
		{Typed: "pne vers", Want: "pne version "},
	})
}
