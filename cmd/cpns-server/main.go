// Command cpns-server is the CPNS Server: it answers gateways (run) and manages
// what it knows about users, gateways and PNEs (everything else). Package
// cpns/server has what it does; here it is put together on a data folder.
package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/hardening"
)

func main() { os.Exit(execute(time.Now)) }

// execute runs the command line by a clock and returns the exit code.
func execute(now func() time.Time) int {
	// What SQLite makes beside the database is nobody else's either.
	syscall.Umask(0o077)
	if err := hardening.Memory(); err != nil {
		fmt.Fprintln(os.Stderr, "cpns-server:", err)
		return command.Failed
	}
	return program(now).Execute(context.Background(), command.StandardConsole(), os.Args[1:])
}

func program(now func() time.Time) *command.Program {
	return &command.Program{
		Name:    "cpns-server",
		Summary: "gives gateways the EUKeys of their users' PNEs",
		Commands: []command.Command{
			initCommand(now), runCommand(now),
			userAddCommand, userPasswdCommand, userListCommand, userRemoveCommand,
			gatewayAddCommand, gatewayListCommand, gatewayRemoveCommand,
			pneImportCommand, pneListCommand, pneReleaseCommand, pneSetTKCommand, pneRemoveCommand,
			auditCommand, versionCommand,
		},
		Notes: "First: init, user add, gateway add, pne import; then run.",
	}
}
