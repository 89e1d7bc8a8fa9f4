package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

var resolveCommand = command.Command{
	Name: "resolve", Options: "--readmit|--reassign [options]", Args: "ENTITY_ID", Summary: "take a device under alarm in again",
	About:   `Takes a device in again that proved an older key than before. It was rolled back, such as by a reset or a backup of its storage, or there are two of it. Find out which, and exchange or reset the wrong one first: whichever device answers next gets the key.`,
	Notes:   `exit codes: as those of provision; --readmit only 0, 1 and 2.`,
	Example: "pngw resolve --readmit urn:dev:lamp-1",
	Setup: func(f *flag.FlagSet) command.Run {
		var o resolveOptions
		f.BoolVar(&o.readmit, "readmit", false, "give it the next key of its set, which a copy of the device that lacks the Temporary Key cannot take")
		f.BoolVar(&o.reassign, "reassign", false, "get a new set for it from the CPNS Server, as provision does, with the options that provision has")
		f.BoolVar(&o.yes, "yes", false, "do not ask")
		o.declare(f, "the CPNS `USER` who owns the device, with --reassign")
		return func(ctx context.Context, c *command.Console, args []string) error {
			return resolve(ctx, c, args, &o)
		}
	},
}

type resolveOptions struct {
	readmit, reassign, yes bool
	provisionOptions
}

// Whoever resolves an alarm reads this first. A copy that has the Temporary Key
// too is as good as the device, whichever way it is resolved.
const resolveWarning = `There may be two devices with this identity. Find out which is the right one, and
exchange or reset the other first: whichever answers next gets the key. If the
other has the Temporary Key too, only exchanging the device helps.
`

func resolve(ctx context.Context, c *command.Console, args []string, o *resolveOptions) error {
	entity, err := oneEntity(args)
	if err != nil {
		return err
	}
	var req agent.ProvisionRequest
	switch {
	case o.readmit == o.reassign:
		return command.Misused("want either --readmit (the next key of its set) or --reassign (a new set)")
	case o.reassign:
		if req, err = o.request(args); err != nil {
			return err
		}
		req.Reassign = true
	case o.user != "" || o.passwordFile != "":
		return command.Misused("--user and --password-file are of --reassign: --readmit asks nothing of the server")
	}
	if err := c.CanAsk(o.yes); err != nil {
		return err
	}
	client, err := newClient(c)
	if err != nil {
		return err
	}
	p, err := client.Show(ctx, entity)
	if err != nil {
		return explain(c, err)
	}
	if p.State != agent.StateAlarm {
		return fmt.Errorf("%s is not under alarm: there is nothing to resolve", entity)
	}
	if !o.yes {
		fmt.Fprintf(c.Stderr, "%s: %s\n%s", entity, display.Plain(p.Note), resolveWarning)
		if !c.Confirm("Take " + string(entity) + " in again?") {
			return errors.New("nothing was changed")
		}
	}
	if o.reassign {
		return provision(ctx, c, req, &o.provisionOptions)
	}
	if err := client.Readmit(ctx, entity); err != nil {
		return explain(c, err)
	}
	c.Printf("%s: readmitted, gets its next key at its next hello\n", entity)
	return nil
}
