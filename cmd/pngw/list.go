package main

import (
	"context"
	"fmt"
	"strconv"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cmd/pngw/internal/api"
	"cpns.example.net/pngw/cpns"
)

var listCommand = command{
	name: "list", usage: "[--json]", summary: "show the devices and how far each is",
	help: `Shows every device that was provisioned here, and below them those that have
said hello and that nobody has provisioned.

  --json   only the former, as an array of objects with entity_id, user, state,
           epoch, index, length, link, last_seen and note

States: requested (asked the server), assigned (keys are here, the device has
none yet), delivered (the device proved that it holds a key), used_up (it holds
the last one), alarm (it proved an older key than before: rolled back or cloned;
it gets no key until pngw resolve).

example: pngw list --json | jq -r '.[] | select(.state != "delivered") | .entity_id'
`,
	run: list,
}

func list(ctx context.Context, c *call) error {
	return report(ctx, c, (*api.Client).List, func(client *api.Client, pnes []agent.PNE) error {
		found, err := client.Discovered(ctx)
		if err != nil {
			return c.explain(err)
		}
		if len(pnes) == 0 {
			fmt.Fprintln(c.stdout, "No devices yet. Provision one: pngw provision --user USER ENTITY_ID")
		} else if err := table(c.stdout, pneRows(pnes)); err != nil {
			return err
		}
		if len(found) == 0 {
			return nil
		}
		fmt.Fprintln(c.stdout, "\nDiscovered, not provisioned (what they say of themselves is not proved):")
		return table(c.stdout, discoveredRows(found))
	})
}

func pneRows(pnes []agent.PNE) [][]string {
	rows := [][]string{{"ENTITY ID", "USER", "STATE", "EPOCH", "KEY", "LINK", "LAST SEEN", "NOTE"}}
	for _, p := range pnes {
		row := []string{string(p.Entity), string(p.User), string(p.State), "", "", p.Link, p.LastSeen, p.Note}
		if p.Epoch != 0 {
			row[3], row[4] = strconv.FormatUint(uint64(p.Epoch), 10), keyOf(p)
		}
		rows = append(rows, row)
	}
	return rows
}

func keyOf(p agent.PNE) string {
	return fmt.Sprintf("%d of %d", p.Index, p.Length)
}

var showCommand = command{
	name: "show", usage: "ENTITY_ID [--json]", summary: "show one device",
	help: `Shows one device that was provisioned here, and what to do about it.

  --json   as an object, with the fields that list has

example: pngw show urn:dev:lamp-1
`,
	run: show,
}

func show(ctx context.Context, c *call) error {
	asJSON := c.flags.Bool("json", false, "")
	args, err := c.parse(1, 1)
	if err != nil {
		return err
	}
	entity, err := cpns.ParseEntityID(args[0])
	if err != nil {
		return usageError("%v", err)
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	p, err := client.Show(ctx, entity)
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(c.stdout, p)
	}
	pairs := [][2]string{
		{"Entity ID", string(p.Entity)},
		{"User", string(p.User)},
		{"State", string(p.State)},
		{"Note", p.Note},
		{"Last seen", "not since the agent started"},
	}
	if p.LastSeen != "" {
		pairs[4][1] = p.LastSeen + " on " + p.Link
	}
	if p.Epoch != 0 {
		pairs = append(pairs,
			[2]string{"Epoch", strconv.FormatUint(uint64(p.Epoch), 10)},
			[2]string{"Key in use", keyOf(p)})
	}
	pairs = append(pairs, [2]string{"Next", next(p)})
	return sheet(c.stdout, pairs)
}

// next is what a person can do about a device, "" where all is well.
func next(p agent.PNE) string {
	switch p.State {
	case agent.StateRequested:
		return fmt.Sprintf("no keys have come: pngw provision --user %s %s", p.User, p.Entity)
	case agent.StateAssigned:
		return "the device gets its key at its next hello: switch it on, and see pngw links"
	case agent.StateAlarm:
		return fmt.Sprintf("see whether there are two devices of this name, exchange or reset the wrong one, then pngw resolve %s --readmit, or --reassign --user %s for a new set", p.Entity, p.User)
	case agent.StateUsedUp:
		return fmt.Sprintf("pngw provision --user %s %s, for a new set; with --remember the gateway renews it by itself from then on", p.User, p.Entity)
	}
	return ""
}

var discoveredCommand = command{
	name: "discovered", usage: "[--json]", summary: "show devices that nobody has provisioned",
	help: `Shows devices that have said hello on a link and that nobody has provisioned.
Anybody on the link can say hello under any name: the list proves nothing.

  --json   an array of objects with entity_id, link, last_seen, epoch and index

example: pngw discovered
`,
	run: discovered,
}

func discovered(ctx context.Context, c *call) error {
	return report(ctx, c, (*api.Client).Discovered, func(_ *api.Client, found []agent.Discovered) error {
		if len(found) == 0 {
			fmt.Fprintln(c.stdout, "None.")
			return nil
		}
		return table(c.stdout, discoveredRows(found))
	})
}

func discoveredRows(found []agent.Discovered) [][]string {
	rows := [][]string{{"ENTITY ID", "LINK", "LAST SEEN", "SAYS IT HOLDS"}}
	for _, d := range found {
		holds := "no key"
		if d.Epoch != 0 {
			holds = fmt.Sprintf("key %d of epoch %d", d.Index, d.Epoch)
		}
		rows = append(rows, []string{string(d.Entity), d.Link, d.LastSeen, holds})
	}
	return rows
}
