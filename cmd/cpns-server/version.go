package main

import "cpns.example.net/pngw/internal/buildinfo"

// Set by the linker.
var (
	version   string
	buildTime string // of the commit, in seconds since 1970
)

var versionCommand = buildinfo.Command("cpns-server", version, buildTime)
