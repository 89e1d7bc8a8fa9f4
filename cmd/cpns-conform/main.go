// Cpns-conform is the conformance kit: it plays the other parties of CPNS, good and
// hostile, against a device, a CPNS Server or a gateway of anybody's making, and says
// of each case whether the clause of docs/protocol.md holds.
//
// This package puts the parts together: each command is one suite. Where to read on:
//
//   - internal/conform has what the suites have in common: cases, verdicts, reports
//   - internal/wire makes messages by hand, byte for byte
//   - internal/device has the cases for a PNE, pne.go its command
//   - internal/againstserver has the cases for a CPNS Server, server.go its command
//   - internal/againstgateway has the cases for a gateway, gateway.go its command
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
)

// Set by the linker.
var (
	version   string
	buildTime string // of the commit, in seconds since 1970
)

func main() {
	// A run that is stopped reports what it has done until then.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return commandLine().Execute(ctx, &command.Console{Stdin: os.Stdin, Stdout: stdout, Stderr: stderr}, args)
}

func commandLine() *command.Program {
	return &command.Program{
		Name:    "cpns-conform",
		Summary: "tries devices, servers and gateways of CPNS on what the protocol wants of them",
		About: `It plays the other parties, good and hostile, and says of each case whether the protocol's clause holds: pass, FAIL with what was expected and what was seen, or n/a where the clause is about a party of another kind.

What is tried is left with keys that only the kit knew: try a device, a server or a gateway that nobody relies on.`,
		Notes:    conform.ExitCodes,
		Date:     buildinfo.Date(buildTime),
		Commands: []command.Command{pneCommand, serverCommand, gatewayCommand, buildinfo.Command("cpns-conform", version, buildTime)},
	}
}
