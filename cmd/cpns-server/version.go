package main

import (
	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
)

// Set by the linker.
var (
	version   string
	buildTime string // of the commit, in seconds since 1970
)

var versionCommand = apart(buildinfo.Command("cpns-server", version, buildTime), "version is that of the program here, and asks no server")

func apart(c command.Command, why string) command.Command {
	c.Apart = why
	return c
}
