// Pngw is the agent of a PN GW and its command line, in one binary for the
// router. On a CPNS User's request it gives a headless PNE an EUKey, and reports
// success when the PNE has proved that it holds that key.
//
// This package puts the parts together and is the only one that reads flags,
// environment and signals. Where to read on:
//
//   - run.go builds the agent from its parts and runs it; init.go makes the root key
//     and the store, without which the agent refuses to start
//   - enrol.go enrols the gateway with a server; step0.go combines the result of
//     enrolment with what is configured
//   - provision.go, with progress.go, is the user's side of the procedure:
//     clause 7.4.2.2.1, request, steps 1 to 3
//   - authenticate.go and resolve.go come after delivery: the mutual
//     authentication, and a person's decision about a device that was cloned
//   - list.go, forget.go, links.go, status.go, version.go and others are one
//     command each; program.go lists them all and defines the exit codes
//   - procd.go prints what OpenWrt's init script needs to know; actas.go switches
//     from root to the agent's user; log.go is the agent's log, for people and for
//     service managers; memory.go limits a command's memory
//   - package agent/config reads /etc/config/pngw; agent/api is the protocol between
//     commands and agent on the unix socket; agent/hooks runs the programs that tell
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
