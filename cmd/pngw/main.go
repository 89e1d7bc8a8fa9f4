// Pngw is the agent of a PN GW and its command line, one binary for the
// router. It takes a CPNS User's request to an EUKey that a headless PNE holds
// and has proved that it holds.
//
// This package puts the parts together and is the only one that reads flags,
// environment and signals. Where to read on:
//
//   - run.go makes the agent out of its parts and runs it; init.go makes what
//     the agent refuses to be without
//   - enrol.go makes the gateway known to a server; step0.go puts what enrolment left
//     and what is configured together
//   - provision.go, with progress.go, is the user's side of the procedure:
//     clause 7.4.2.2.1, request, steps 1 to 3
//   - authenticate.go and resolve.go are what follows: the mutual
//     authentication, and what a person does about a device that was cloned
//   - list.go, forget.go, links.go, status.go, version.go are the other
//     commands
//   - procd.go tells OpenWrt's init script what it has to know; actas.go makes
//     root the agent's user; log.go is the agent's log, for people and for
//     service managers
//   - program.go lists them, and says which exit code means what; memory.go
//     says how much memory a command may take
//   - internal/config reads /etc/config/pngw; internal/api is what commands
//     and agent say to each other over the unix socket; internal/hooks tells
//     the router's other software
package main

import (
	"context"
	"os"

	"cpns.example.net/pngw/internal/command"
)

// Set by the linker: -X main.version=v0.1.0 -X main.buildTime=SECONDS, the
// latter seconds since 1970.
var (
	version   string
	buildTime string
)

func main() {
	boundMemory(commandGC)
	os.Exit(program().Execute(context.Background(), command.StandardConsole(), os.Args[1:]))
}
