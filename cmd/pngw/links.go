package main

import (
	"context"
	"fmt"
	"strconv"

	"cpns.example.net/pngw/cmd/pngw/internal/api"
)

var linksCommand = command{
	name: "links", usage: "[--json]", summary: "show the links and whether each is up",
	help: `Shows the ways to devices: each link of the configuration that is enabled.

  --json   an array of objects with name, type, state (up or absent), detail,
           received, sent and dropped; the last three count messages since the
           agent started

example: pngw links
`,
	run: links,
}

func links(ctx context.Context, c *call) error {
	return report(ctx, c, (*api.Client).Links, func(_ *api.Client, all []api.Link) error {
		if len(all) == 0 {
			fmt.Fprintf(c.stdout, "No links: %s has no section link that is enabled.\n", c.configFile)
		} else if err := table(c.stdout, linkRows(all)); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.stdout, "\nUSB: %s\n", usbSupport())
		return err
	})
}

func linkRows(all []api.Link) [][]string {
	rows := [][]string{{"LINK", "TYPE", "STATE", "RECEIVED", "SENT", "DROPPED", "DETAIL"}}
	for _, l := range all {
		rows = append(rows, []string{
			l.Name, l.Type, l.State,
			strconv.FormatInt(l.Received, 10), strconv.FormatInt(l.Sent, 10), strconv.FormatInt(l.Dropped, 10),
			l.Detail,
		})
	}
	return rows
}
