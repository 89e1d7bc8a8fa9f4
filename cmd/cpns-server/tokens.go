package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/durable"
)

const defaultTokenValid = 365 * 24 * time.Hour

var tokenAddCommand = command.Command{
	Name: "token add", Options: "--data DIR --role ROLE [--valid TIME] [--out FILE|--certificate]", Args: "NAME",
	Summary: "let somebody use the admin API",
	About: `Makes a token for the admin API of run --admin-listen, and shows it once: whoever has it may do what the role may. An auditor sees everything but secrets; an operator changes users, gateways and PNEs too; an admin gives and takes tokens as well. NAME is what the audit log shows.

With --certificate nothing is made: whoever shows a client certificate with NAME as its common name may do what the role may, if it is of the folder's CA or of run --admin-client-ca.`,
	Example: "cpns-server token add --data data --role operator --out alice.token alice",
	Setup: func(f *flag.FlagSet) command.Run {
		data := dataFlag(f)
		role := f.String("role", "", "the `ROLE` is auditor, operator or admin")
		valid := time.Duration(defaultTokenValid)
		f.Func("valid", "it holds for `TIME`, such as 90d or 12h (365d)", func(value string) (err error) {
			valid, err = parseDays(value)
			return err
		})
		out := f.String("out", "", "write the token to a new `FILE` of yours, as --token-file takes it, and do not show it")
		certificate := f.Bool("certificate", false, "let a client certificate in, in place of a token")
		return func(ctx context.Context, c *command.Console, args []string) error {
			r, err := server.ParseRole(*role)
			if *role == "" {
				return command.Misused("--role ROLE is missing: auditor, operator or admin")
			}
			if err == nil {
				err = server.CheckCredentialName(args[0])
			}
			switch {
			case err != nil:
				return command.Misused("%v", err)
			case *certificate && *out != "":
				return command.Misused("--out is for a token, and --certificate makes none")
			case valid < time.Minute || valid > server.MaxCredentialValid:
				return command.Misused("--valid: 1 minute to 3650 days")
			}
			return addToken(ctx, c, *data, &newCredential{args[0], r, valid, *certificate}, *out)
		}
	},
}

// A newCredential is what token add is to make.
type newCredential struct {
	name        string
	role        server.Role
	valid       time.Duration
	certificate bool
}

// addToken makes a token and shows it or writes it into a file of who gives the command.
// One that cannot be written is ended again.
func addToken(ctx context.Context, c *command.Console, data place, n *newCredential, out string) error {
	if out != "" {
		if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already: nothing was changed", out)
		}
	}
	var token string
	var made server.Credential
	err := asOperator(ctx, c, data, func(op operator) (err error) {
		if n.certificate {
			made, err = op.AddCertificate(ctx, n.name, n.role, n.valid)
		} else {
			token, made, err = op.AddToken(ctx, n.name, n.role, n.valid)
		}
		return err
	})
	if errors.Is(err, server.ErrExists) {
		return fmt.Errorf("there is a token of the name %s already: cpns-server token remove ends it", n.name)
	}
	if err != nil {
		return err
	}
	switch {
	case n.certificate:
		c.Printf("certificate %s let in as %s, until %s\n", n.name, n.role, minute(made.Ends))
	case out != "":
		if err := durable.WriteNew(out, []byte(token+"\n"), 0o600); err != nil {
			end := func(op operator) error { return op.RemoveCredential(ctx, n.name) }
			return errors.Join(fmt.Errorf("writing the token: %w", err), asOperator(ctx, c, data, end))
		}
		c.Printf("token %s of role %s is in %s, until %s\n", n.name, n.role, out, minute(made.Ends))
	default:
		c.Printf("%s\n", token)
		display.Fill(c.Stderr, "", fmt.Sprintf("This is the token %s of role %s, until %s. It is shown once: keep it where only its holder reads.", n.name, n.role, minute(made.Ends)), 0)
	}
	return nil
}

var tokenListCommand = command.Command{
	Name: "token list", Options: "--data DIR [--json]",
	Summary: "list who may use the admin API",
	About:   "Lists the tokens and certificates that may use the admin API: active ones, and those whose time is over, which are refused. One that was removed is not listed. ID is how the server's log names a token.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		return func(ctx context.Context, c *command.Console, _ []string) error {
			type line struct {
				Name    string                `json:"name"`
				Kind    server.CredentialKind `json:"kind"`
				Role    server.Role           `json:"role"`
				Used    *time.Time            `json:"last_used"`
				Created time.Time             `json:"created"`
				Until   time.Time             `json:"valid_until"`
				State   string                `json:"state"`
				ID      string                `json:"id"`
			}
			return asOperator(ctx, c, *data, func(op operator) error {
				now := op.Now()
				t := newTable(c.Stdout, *asJSON, "NAME", "KIND", "ROLE", "STATE", "LAST USED", "CREATED", "UNTIL", "ID")
				return t.end(op.Credentials(ctx, func(k server.Credential) error {
					state := "active"
					if !now.Before(k.Ends) {
						state = "ended"
					}
					return t.row(line{k.Name, k.Kind, k.Role, orNil(k.Used), k.Created, k.Ends, state, k.ID},
						k.Name, string(k.Kind), string(k.Role), state, minute(k.Used), day(k.Created), minute(k.Ends), k.ID)
				}))
			})
		}
	},
}

var tokenRemoveCommand = command.Command{
	Name: "token remove", Options: "--data DIR", Args: "TOKEN...",
	Summary: "end tokens, or let certificates in no more",
	About:   "Ends tokens, by the name that token list shows: the next request with one is refused.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			return asOperator(ctx, c, *data, func(op operator) error {
				var errs []error
				for _, name := range args {
					err := op.RemoveCredential(ctx, name)
					if errors.Is(err, server.ErrNotFound) {
						err = fmt.Errorf("there is no token %q: cpns-server token list shows them by name", name)
					} else if err == nil {
						c.Printf("token %s ended\n", name)
					}
					errs = append(errs, err)
				}
				return errors.Join(errs...)
			})
		}
	},
}
