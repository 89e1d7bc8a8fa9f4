package main

import (
	"context"
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

var forgetCommand = command{
	name: "forget", usage: "ENTITY_ID [--yes]", summary: "delete a device's keys from this gateway",
	help: `Deletes what this gateway holds for a device: its keys and its Temporary Key. The
device keeps its own key, and stays bound to its user at the CPNS Server until
the server's operator releases it.

  --yes   do not ask

example: pngw forget urn:dev:lamp-1
`,
	run: forget,
}

func forget(ctx context.Context, c *call) error {
	yes := c.flags.Bool("yes", false, "")
	args, err := c.parse(1, 1)
	if err != nil {
		return err
	}
	entity, err := cpns.ParseEntityID(args[0])
	if err != nil {
		return usageError("%v", err)
	}
	if err := c.canAsk(*yes); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if !*yes && !c.confirm(fmt.Sprintf("Delete the keys of %s from this gateway?", entity)) {
		return errors.New("nothing was deleted")
	}
	if err := client.Forget(ctx, entity); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(c.stdout, "%s: forgotten\n", entity)
	return nil
}
