package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

var pneShowCommand = command.Command{
	Name: "pne show", Options: "--data DIR [--json]", Args: "ENTITY_ID...",
	Summary: "show what the server knows of PNEs",
	About:   "Shows who owns PNEs, their state, and the epoch, time and gateway of the newest assignment.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			t := newTable(c.Stdout, *asJSON, "ENTITY ID", "OWNER", "STATE", "EPOCH", "ASSIGNED", "CREATED", "GATEWAY")
			return t.end(eachPNE(ctx, c, *data, named(args), func(op operator, e cpns.EntityID) error {
				p, err := op.PNE(ctx, e)
				if err != nil {
					return err
				}
				return t.row(pneLineOf(p), string(p.Entity), string(p.Owner), string(p.State()), strconv.FormatUint(uint64(p.Epoch), 10),
					minute(p.Assigned), day(p.Created), string(p.Gateway))
			}))
		}
	},
}

var pneSetOwnerCommand = command.Command{
	Name: "pne set-owner", Options: "--data DIR --owner USER [--list FILE]", Args: "[ENTITY_ID...]",
	Summary: "give PNEs to a user",
	About:   "Makes PNEs a user's, whoever owned them. The sets of the owner before are erased from the server; a gateway that has one goes on with it.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		owner := fs.String("owner", "", "the `USER` who gets them")
		wanted := wantedFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			to, err := cpns.ParseUserID(*owner)
			if err != nil {
				return command.Misused("--owner: %v", err)
			}
			all, err := wanted.all(args)
			if err != nil {
				return err
			}
			return eachPNE(ctx, c, *data, all, func(op operator, e cpns.EntityID) error { return giveTo(ctx, c, op, e, to) })
		}
	},
}

func giveTo(ctx context.Context, c *command.Console, op operator, e cpns.EntityID, to cpns.UserID) error {
	changed, err := op.GiveTo(ctx, e, to)
	if err != nil {
		return err
	}
	if changed {
		c.Printf("PNE %s is user %s's\n", e, to)
	} else {
		c.Printf("PNE %s was user %s's already\n", e, to)
	}
	return nil
}

var pneTransferCommand = command.Command{
	Name: "pne transfer", Options: "--data DIR --from USER --to USER [--yes]",
	Summary: "give all PNEs of one user to another",
	About: `Makes all PNEs of one user another's, one after the other. The sets of the owner before are erased from the server; gateways that have them go on with them. Broken off, the same command goes on.

It asks before, unless --yes is given.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		data, yes := dataFlag(fs), yesFlag(fs)
		from := fs.String("from", "", "the `USER` who has them")
		to := fs.String("to", "", "the `USER` who gets them")
		return func(ctx context.Context, c *command.Console, _ []string) error {
			has, err := cpns.ParseUserID(*from)
			if err != nil {
				return command.Misused("--from: %v", err)
			}
			gets, err := cpns.ParseUserID(*to)
			if err != nil {
				return command.Misused("--to: %v", err)
			}
			if has == gets {
				return command.Misused("--from and --to are the same user")
			}
			there := func(op operator) error {
				for _, id := range []cpns.UserID{has, gets} {
					if _, err := op.User(ctx, id); err != nil {
						return noUser(err, id)
					}
				}
				return nil
			}
			if err := askBefore(ctx, c, *data, *yes, fmt.Sprintf("Give all PNEs of user %s to user %s?", has, gets), there); err != nil {
				return err
			}
			return asOperator(ctx, c, *data, func(op operator) error {
				if err := there(op); err != nil {
					return err
				}
				n := 0
				err := op.PNEs(ctx, server.PNEFilter{Owner: has}, func(p server.PNE) error {
					changed, err := op.GiveTo(ctx, p.Entity, gets)
					if errors.Is(err, server.ErrNotFound) {
						return nil // removed meanwhile
					}
					if changed {
						n++
					}
					return err
				})
				if n > 0 || err == nil {
					c.Printf("PNEs of user %s that are user %s's now: %d\n", has, gets, n)
				}
				return err
			})
		}
	},
}
