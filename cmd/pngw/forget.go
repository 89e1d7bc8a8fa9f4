package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"cpns.example.net/pngw/internal/command"
)

var forgetCommand = command.Command{
	Name: "forget", Options: "[--yes]", Args: "ENTITY_ID", Summary: "delete a device's keys from this gateway",
	About:   `Deletes what this gateway holds for a device: its keys and its Temporary Key. The device keeps its own key, and stays bound to its user at the CPNS Server until the server's operator releases it.`,
	Example: "pngw forget urn:dev:lamp-1",
	Setup: func(f *flag.FlagSet) command.Run {
		yes := f.Bool("yes", false, "do not ask")
		return func(ctx context.Context, c *command.Console, args []string) error {
			return forget(ctx, c, args, *yes)
		}
	},
}

func forget(ctx context.Context, c *command.Console, args []string, yes bool) error {
	entity, err := oneEntity(args)
	if err != nil {
		return err
	}
	if err := c.CanAsk(yes); err != nil {
		return err
	}
	client, err := newClient(c)
	if err != nil {
		return err
	}
	if !yes && !c.Confirm(fmt.Sprintf("Delete the keys of %s from this gateway?", entity)) {
		return errors.New("nothing was deleted")
	}
	if err := client.Forget(ctx, entity); err != nil {
		return explain(c, err)
	}
	c.Printf("%s: forgotten\n", entity)
	return nil
}
