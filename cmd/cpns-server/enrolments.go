package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

var gatewayPendingCommand = command.Command{
	Name: "gateway pending", Options: "--data DIR [--json]",
	Summary: "list the gateways that wait to be approved",
	About:   "Lists the gateways that wait for a person, those that came first in front. The fingerprint is what counts: compare it with what pngw enrol shows on the router. Model, serial number and addresses are what the router says of itself.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		return func(ctx context.Context, c *command.Console, _ []string) error {
			type line struct {
				Fingerprint string         `json:"fingerprint"`
				Gateway     cpns.GatewayID `json:"gateway_id"`
				Proved      bool           `json:"proved"` // that it has the secret of a code
				Serial      string         `json:"serial"`
				Model       string         `json:"model"`
				MACs        []string       `json:"macs"`
				From        string         `json:"from"`
				First       time.Time      `json:"first"`
				Last        time.Time      `json:"last"`
				Warnings    []string       `json:"warnings"`
			}
			var warned bool
			err := asOperator(ctx, c, *data, func(op operator) error {
				t := newTable(c.Stdout, *asJSON, "FINGERPRINT", "WANTS TO BE", "SERIAL", "MODEL", "FROM", "SINCE", "WARNING")
				return t.end(op.Pending(ctx, func(e server.Enrolment, conflicts []server.Conflict) error {
					l := line{e.Key.Fingerprint(), e.Gateway, e.Invitation != "", e.Serial, e.Model, e.MACs, e.From(), e.First, e.Last, []string{}}
					for _, conflict := range conflicts {
						l.Warnings = append(l.Warnings, conflict.Reason)
					}
					warned = warned || len(conflicts) > 0
					return t.row(l, l.Fingerprint, string(e.Gateway), e.Serial, e.Model, e.From(), minute(e.First), strings.Join(l.Warnings, ", "))
				}))
			})
			if err == nil && warned && !*asJSON {
				fmt.Fprintln(c.Stderr, "One with a warning takes another's place by gateway approve --replace FINGERPRINT.")
			}
			return err
		}
	},
}

var gatewayApproveCommand = command.Command{
	Name: "gateway approve", Options: "--data DIR [--id ID] [--list FILE] [--trust-serial-numbers] [--replace]", Args: "[FINGERPRINT...]",
	Summary: "take in gateways that wait",
	About: `Takes in gateways, by the whole fingerprint that pngw enrol shows on the router, also those that were refused or removed before. One whose serial number or gateway ID is known with another key, such as a router that was flashed anew, takes the place of the old one with --replace: its gateway ID stays, and the old key ends.

--list takes many: a CSV file with a header, of the columns serial, gateway_id and fingerprint. Each row gets a verdict. A row without a fingerprint takes in the one that says the serial number, which anybody can say: only with --trust-serial-numbers.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		id := fs.String("id", "", "the gateway is called `ID`, whatever it wants to be")
		file := fs.String("list", "", "take in those of a CSV `FILE`")
		trust := fs.Bool("trust-serial-numbers", false, "with --list: a row may do without a fingerprint")
		replace := fs.Bool("replace", false, "let them take the place of gateways that are known with another key")
		return func(ctx context.Context, c *command.Console, args []string) error {
			switch {
			case (*file == "") == (len(args) == 0):
				return command.Misused("give fingerprints, or --list FILE")
			case *file == "" && *trust:
				return command.Misused("--trust-serial-numbers goes with --list")
			case *id != "" && len(args) != 1:
				return command.Misused("--id goes with one fingerprint")
			case *file != "":
				rows, err := readApprovals(*file, *trust, *replace)
				if err != nil {
					return err
				}
				return asOperator(ctx, c, *data, func(op operator) error { return approveRows(ctx, c, op, rows) })
			}
			var approvals []server.Approval
			for _, arg := range args {
				fingerprint, err := cpns.ParseFingerprint(arg)
				if err != nil {
					return command.Misused("%q: %v", arg, err)
				}
				a := server.Approval{Fingerprint: fingerprint, Replace: *replace}
				if *id != "" {
					if a.ID, err = cpns.ParseGatewayID(*id); err != nil {
						return command.Misused("%v", err)
					}
				}
				approvals = append(approvals, a)
			}
			return asOperator(ctx, c, *data, func(op operator) error {
				var errs []error
				for _, a := range approvals {
					verdict, err := approve(ctx, op, a)
					if err != nil {
						errs = append(errs, err)
						continue
					}
					c.Printf("%s\n", verdict)
				}
				return errors.Join(errs...)
			})
		}
	},
}

// approve takes one gateway in and says so.
func approve(ctx context.Context, op operator, a server.Approval) (string, error) {
	who := a.Fingerprint
	if who == "" {
		who = fmt.Sprintf("serial number %q", a.Serial)
	}
	got, err := op.Approve(ctx, a)
	conflict, isConflict := errors.AsType[*server.ConflictError](err)
	switch {
	case errors.Is(err, server.ErrNotFound):
		return "", fmt.Errorf("%s: no such gateway is waiting: cpns-server gateway pending shows who is", who)
	case isConflict && a.Replace:
		return "", fmt.Errorf("%s: %w: say by --id whose place it takes", who, conflict)
	case isConflict:
		return "", fmt.Errorf("%s: %w: --replace lets it take that place, --id ID names it anew", who, conflict)
	case err != nil:
		return "", fmt.Errorf("%s: %w", who, err)
	}
	verdict := fmt.Sprintf("%s is gateway %s now", got.Fingerprint, got.Gateway)
	if got.Replaced {
		verdict += ", in place of the key before"
	}
	if got.WasRefused {
		verdict += "; it was told that it is refused, so give the router the code again: pngw enrol CODE (by option enrol it comes within a day)"
	}
	return verdict, nil
}

var gatewayRefuseCommand = command.Command{
	Name: "gateway refuse", Options: "--data DIR", Args: "FINGERPRINT...",
	Summary: "tell gateways that wait that they are not taken in",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			var fingerprints []string
			for _, arg := range args {
				fingerprint, err := cpns.ParseFingerprint(arg)
				if err != nil {
					return command.Misused("%q: %v", arg, err)
				}
				fingerprints = append(fingerprints, fingerprint)
			}
			return asOperator(ctx, c, *data, func(op operator) error {
				var errs []error
				for _, f := range fingerprints {
					err := op.Refuse(ctx, f)
					known, isKnown := errors.AsType[*server.KnownKeyError](err)
					switch {
					case errors.Is(err, server.ErrNotFound):
						err = fmt.Errorf("%s: no such gateway is waiting", f)
					case isKnown:
						err = fmt.Errorf("%s is gateway %s: cpns-server gateway remove %[2]s ends it", f, known.Gateway)
					case err == nil:
						c.Printf("%s refused\n", f)
					}
					errs = append(errs, err)
				}
				return errors.Join(errs...)
			})
		}
	},
}
