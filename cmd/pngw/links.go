package main

import (
	"context"
	"strconv"

	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/transport/usb"
)

var linksCommand = command.Command{
	Name: "links", Options: "[--json]", Summary: "show the links and whether each is up",
	About:   `Shows the ways to devices: each link of the configuration that is enabled.`,
	Example: "pngw links",
	Setup: report("print an array of objects with name, type, state (up or absent), detail, received, sent and dropped; the last three count messages since the agent started",
		(*api.Client).Links, showLinks),
}

func showLinks(ctx context.Context, c *command.Console, client *api.Client, all []api.Link) error {
	if len(all) == 0 {
		if st, err := client.Status(ctx); err == nil && st.Gateway == "" {
			c.Printf("No links yet: they open once this gateway is enrolled (pngw status).\n")
			return nil
		}
		c.Printf("No links: %s has no section link that is enabled.\n", display.Plain(c.Value("config")))
	} else if err := display.Table(c.Stdout, linkRows(all)); err != nil {
		return err
	}
	c.Printf("\nUSB: %s\n", support(usb.Available()))
	return nil
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
