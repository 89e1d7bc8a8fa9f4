package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/term"

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
	if !*yes && !term.IsTerminal(int(c.stdin.Fd())) {
		return usageError("nobody to ask on standard input: say --yes")
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if !*yes {
		fmt.Fprintf(c.stderr, "Delete the keys of %s from this gateway? [y/N] ", entity)
		answer, _ := bufio.NewReader(c.stdin).ReadString('\n')
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
		default:
			return errors.New("nothing was deleted")
		}
	}
	if err := client.Forget(ctx, entity); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(c.stdout, "%s: forgotten\n", entity)
	return nil
}
