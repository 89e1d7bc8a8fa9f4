package main

import (
	"testing"

	"cpns.example.net/pngw/internal/command/commandtest"
)

func TestHelp(t *testing.T) { commandtest.Help(t, commandLine()) }

func TestManual(t *testing.T) { commandtest.Manual(t, commandLine()) }

func TestCompletion(t *testing.T) {
	commandtest.Completions(t, "cpns-conform", []commandtest.Completion{
		{Typed: "cpns-conform pn", Want: "cpns-conform pne "},
		{Typed: "cpns-conform pne --power", Want: "cpns-conform pne --power-cycle "},
	})
}
