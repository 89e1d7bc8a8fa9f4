// Command cpns-server is the CPNS Server: it answers gateways (run) and manages
// what it knows about users, gateways and PNEs (everything else). Package
// cpns/server has what it does; here it is put together on a data folder.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/buildinfo"
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
		Common:  remoteFlags,
		Date:    buildinfo.Date(buildTime),
		Commands: []command.Command{
			initCommand(now), runCommand(now),
			userAddCommand, userPasswdCommand, userListCommand, userUnlockCommand, userDisableCommand, userEnableCommand, userRemoveCommand,
			gatewayInviteCommand, gatewayCodesCommand, gatewayRevokeCommand, gatewayPendingCommand, gatewayApproveCommand, gatewayRefuseCommand,
			gatewayAddCommand, gatewayListCommand, gatewayRekeyCommand, gatewaySetIMPICommand, gatewayRemoveCommand,
			pneImportCommand, pneListCommand, pneShowCommand, pneLabelsCommand, pneSetOwnerCommand, pneTransferCommand, pneReleaseCommand, pneSetTKCommand, pneRemoveCommand,
			tokenAddCommand, tokenListCommand, tokenRemoveCommand,
			auditCommand, backupCommand, restoreCommand, checkCommand, rekeyCommand, migrateCommand, versionCommand,
		},
		Notes: "First: init, user add, gateway invite, pne import; then run.",
		Lists: []command.List{
			{Name: "users", Word: "USER", All: listed(func(ctx context.Context, op operator, tell func(string)) error {
				return op.Users(ctx, server.UserFilter{}, func(u server.UserStatus) error { tell(string(u.ID)); return nil })
			})},
			{Name: "gateways", Word: "GATEWAY", All: listed(func(ctx context.Context, op operator, tell func(string)) error {
				return op.Gateways(ctx, func(g server.Gateway, _ []server.PSK1) error { tell(string(g.ID)); return nil })
			})},
			{Name: "fingerprints", Word: "FINGERPRINT", All: listed(func(ctx context.Context, op operator, tell func(string)) error {
				return op.Pending(ctx, func(e server.Enrolment, _ []server.Conflict) error { tell(e.Key.Fingerprint()); return nil })
			})},
			{Name: "tokens", Word: "TOKEN", All: listed(func(ctx context.Context, op operator, tell func(string)) error {
				return op.Credentials(ctx, func(k server.Credential) error { tell(k.Name); return nil })
			})},
			{Name: "ids", Word: "ENTITY_ID", All: listed(func(ctx context.Context, op operator, tell func(string)) error {
				return op.PNEs(ctx, server.PNEFilter{}, func(p server.PNE) error { tell(string(p.Entity)); return nil })
			})},
		},
		ListOptions: func(fs *flag.FlagSet) { dataFlag(fs) },
	}
}

// listed makes a list for a shell of what is in the folder that --data names, or at the
// server that --remote names: of that, the first few thousand.
func listed(each func(context.Context, operator, func(string)) error) func(context.Context, *command.Console, func(string)) error {
	const most = 5000
	return func(ctx context.Context, c *command.Console, tell func(string)) error {
		p := place{folder: c.Value("data"), store: c.Value("store"), passwordFile: c.Value("store-password-file"), flags: c.Flags()}
		r, err := p.remote()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		told := 0
		return asOperator(ctx, c, p, func(op operator) error {
			return each(ctx, op, func(s string) {
				if told++; r != nil && told > most {
					cancel()
					return
				}
				tell(s)
			})
		})
	}
}
