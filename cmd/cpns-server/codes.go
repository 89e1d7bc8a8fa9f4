package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

var gatewayCodesCommand = command.Command{
	Name: "gateway codes", Options: "--data DIR [--json]",
	Summary: "list the codes that gateway invite made",
	About:   "Lists the codes with a secret, by a name of their own: for how many gateways each was made, and how many it has taken in. The codes themselves are not shown. One that ended is listed for three months more.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		return func(ctx context.Context, c *command.Console, _ []string) error {
			type line struct {
				ID      string         `json:"id"`
				Gateway cpns.GatewayID `json:"gateway"`
				Uses    int            `json:"uses"`
				Used    int            `json:"used"`
				Until   time.Time      `json:"valid_until"`
				Created time.Time      `json:"created"`
			}
			now := time.Now()
			return asOperator(ctx, c, *data, func(op operator) error {
				t := newTable(c.Stdout, *asJSON, "CODE", "USED", "FOR", "CREATED", "UNTIL", "STATE")
				return t.end(op.Invitations(ctx, func(i server.Invitation) error {
					state := "open"
					switch {
					case !now.Before(i.Ends):
						state = "ended"
					case i.Bound >= i.Uses:
						state = "used up"
					}
					return t.row(line{i.ID, i.Gateway, i.Uses, i.Bound, i.Ends, i.Created},
						i.ID, fmt.Sprintf("%d of %d", i.Bound, i.Uses), string(i.Gateway), day(i.Created), minute(i.Ends), state)
				}))
			})
		}
	},
}

var gatewayRevokeCommand = command.Command{
	Name: "gateway revoke", Options: "--data DIR", Args: "CODE...",
	Summary: "end codes that got into the wrong hands",
	About:   "Ends codes, by the name that gateway codes shows: nobody else comes in by them. Who has come in stays, until gateway remove.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			for _, id := range args {
				if _, err := cpns.ParseEnrolmentCode(id); err == nil { // which is not repeated here
					return command.Misused("that is the code itself: give its name, as gateway codes shows it")
				}
			}
			return asOperator(ctx, c, *data, func(op operator) error {
				var errs []error
				for _, id := range args {
					err := op.Revoke(ctx, id)
					if errors.Is(err, server.ErrNotFound) {
						err = fmt.Errorf("there is no code %s: cpns-server gateway codes shows them", id)
					} else if err == nil {
						c.Printf("nobody else comes in by code %s\n", id)
					}
					errs = append(errs, err)
				}
				return errors.Join(errs...)
			})
		}
	},
}
