package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/secretfile"
)

var pneSetTKCommand = command.Command{
	Name: "pne set-tk", Options: "--data DIR --tk-in FILE [--yes]", Args: "ENTITY_ID",
	Summary: "replace a PNE's Temporary Key",
	About: `Replaces the Temporary Key of a PNE that was imported with a wrong one. The one that is there is lost. Owner and epoch stay; gateways get the new key with the next request for the PNE.

It asks before, unless --yes is given.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		in := fs.String("tk-in", "", "take the Temporary Key from `FILE`: 16 to 64 bytes as hex")
		yes := yesFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			if *in == "" {
				return command.Misused("--tk-in FILE is missing")
			}
			e, err := cpns.ParseEntityID(args[0])
			if err != nil {
				return command.Misused("%v", err)
			}
			tk, err := readTK(*in)
			if err != nil {
				return err
			}
			defer clear(tk)
			if err := server.CheckTK(tk); err != nil {
				return fmt.Errorf("%s: %w", *in, err)
			}
			there := func(op operator) error {
				_, err := op.PNE(ctx, e)
				return noPNE(err, e)
			}
			if err := askBefore(ctx, c, *data, *yes, fmt.Sprintf("Replace the Temporary Key of %s? The one that is there is lost.", e), there); err != nil {
				return err
			}
			return asOperator(ctx, c, *data, func(op operator) error {
				if err := op.SetTK(ctx, e, tk); err != nil {
					return noPNE(err, e)
				}
				c.Printf("Temporary Key of PNE %s replaced\n", e)
				return nil
			})
		}
	},
}

// readTK reads a Temporary Key in hex, with the rights of who gives the command.
func readTK(path string) (cpns.TK, error) {
	raw, err := secretfile.Key(path, cpns.MaxTKSize)
	if err != nil {
		return nil, fmt.Errorf("reading the Temporary Key: %w", err)
	}
	defer clear(raw)
	tk, err := cpns.ParseTK(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tk, nil
}

var pneRemoveCommand = command.Command{
	Name: "pne remove", Options: "--data DIR [--list FILE] [--yes]", Args: "[ENTITY_ID...]",
	Summary: "remove PNEs",
	About: `Removes PNEs from the server with their Temporary Keys and sets, whoever owns them. A gateway that has one goes on with what it has. Imported again, it is nobody's.

It asks before, unless --yes is given.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		data, yes := dataFlag(fs), yesFlag(fs)
		wanted := wantedFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			all, err := wanted.all(args)
			if err != nil {
				return err
			}
			who := strings.Join(args, ", ")
			if wanted.file != "" {
				who = fmt.Sprintf("the PNEs of %s, %d in all,", wanted.file, len(all))
			}
			there := func(op operator) error { // one at least: the others are named when it comes to them
				var err error
				for _, arg := range args {
					if _, err = op.PNE(ctx, cpns.EntityID(arg)); err == nil || wanted.file != "" {
						return nil
					}
					err = noPNE(err, cpns.EntityID(arg))
				}
				return err
			}
			if err := askBefore(ctx, c, *data, *yes, fmt.Sprintf("Remove %s with their Temporary Keys?", who), there); err != nil {
				return err
			}
			return eachPNE(ctx, c, *data, all, func(op operator, e cpns.EntityID) error {
				if err := op.RemovePNE(ctx, e); err != nil {
					return err
				}
				c.Printf("PNE %s removed\n", e)
				return nil
			})
		}
	},
}

// yesFlag declares --yes.
func yesFlag(fs *flag.FlagSet) *bool { return fs.Bool("yes", false, "do not ask") }

// askBefore asks about what cannot be undone. Whether it can be done at all, as far as that
// is known before, says there.
func askBefore(ctx context.Context, c *command.Console, data place, yes bool, question string, there func(operator) error) error {
	if yes {
		return nil
	}
	if err := asOperator(ctx, c, data, there); err != nil {
		return err
	}
	if err := c.CanAsk(yes); err != nil {
		return err
	}
	if !c.Confirm(question) {
		return errors.New("nothing was changed")
	}
	return nil
}

func noPNE(err error, e cpns.EntityID) error {
	if errors.Is(err, server.ErrNotFound) {
		return &noPNEError{e}
	}
	return err
}

// A noPNEError says that the server does not know a PNE. It is not named where it is a
// line of a file: a wrong file may have keys in it.
type noPNEError struct{ id cpns.EntityID }

func (e *noPNEError) Error() string {
	if e.id == "" {
		return "there is no such PNE"
	}
	return fmt.Sprintf("there is no PNE %q", e.id)
}

func (e *noPNEError) Is(target error) bool { return target == server.ErrNotFound }
