package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

var listCommand = command.Command{
	Name: "list", Options: "[--json]", Summary: "show the devices and how far each is",
	About:   `Shows every device that was provisioned here, and below them those that have said hello and that nobody has provisioned.`,
	Notes:   `states: requested (asked the server), assigned (keys are here, the device has none yet), delivered (the device proved that it holds a key), used_up (it holds the last one), alarm (it proved an older key than before: rolled back or cloned; it gets no key until pngw resolve).`,
	Example: `pngw list --json | jq -r '.[] | select(.state != "delivered") | .entity_id'`,
	Setup: report("print only the former, an array of objects with entity_id, user, state, epoch, index, length, x25519 (the key in use was delivered under it), pending (a key waits for the device), link, last_seen, tag_fault and note",
		(*api.Client).List, showList),
}

func showList(ctx context.Context, c *command.Console, client *api.Client, pnes []agent.PNE) error {
	found, err := client.Discovered(ctx)
	if err != nil {
		return explain(c, err)
	}
	if len(pnes) == 0 {
		c.Printf("No devices yet. Provision one: pngw provision --user USER ENTITY_ID\n")
	} else if err := display.Table(c.Stdout, pneRows(pnes)); err != nil {
		return err
	}
	if len(found) == 0 {
		return nil
	}
	c.Printf("\nDiscovered, not provisioned (what they say of themselves is not proved):\n")
	return display.Table(c.Stdout, discoveredRows(found))
}

func pneRows(pnes []agent.PNE) [][]string {
	rows := [][]string{{"ENTITY ID", "USER", "STATE", "KEY", "LINK", "LAST SEEN", "NOTE"}}
	for _, p := range pnes {
		row := []string{string(p.Entity), string(p.User), string(p.State), "", p.Link, shortTime(p.LastSeen), p.Note}
		if p.Epoch != 0 {
			row[3] = keyOf(p)
		}
		rows = append(rows, row)
	}
	return rows
}

// shortTime is a time for a list: to the minute, in UTC, as the agent tells it.
func shortTime(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

func keyOf(p agent.PNE) string {
	return fmt.Sprintf("%d of %d", p.Index, p.Length)
}

var showCommand = command.Command{
	Name: "show", Options: "[--json]", Args: "ENTITY_ID", Summary: "show one device",
	About:   `Shows one device that was provisioned here, and what to do about it.`,
	Example: "pngw show urn:dev:lamp-1",
	Setup: func(f *flag.FlagSet) command.Run {
		asJSON := f.Bool("json", false, "print it as an object, with the fields that list has")
		return func(ctx context.Context, c *command.Console, args []string) error {
			return show(ctx, c, args, *asJSON)
		}
	},
}

func show(ctx context.Context, c *command.Console, args []string, asJSON bool) error {
	entity, err := oneEntity(args)
	if err != nil {
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
	if asJSON {
		return display.JSON(c.Stdout, p)
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
		if p.X25519 {
			pairs = append(pairs, [2]string{"Delivered", "under X25519: who listened cannot read it, though they learn the Temporary Key later"})
		}
	}
	todo, commands := next(p)
	if err := display.Sheet(c.Stdout, append(pairs, [2]string{"Next", todo})); err != nil {
		return err
	}
	for _, line := range commands { // each on a line, however long, to be copied
		c.Printf("  %s\n", line)
	}
	return nil
}

// next is what a person can do about a device, and by which commands; "" where all
// is well.
func next(p agent.PNE) (todo string, commands []string) {
	entity, user := command.Quote(string(p.Entity)), command.Quote(string(p.User))
	provision := fmt.Sprintf("pngw provision --user %s %s", user, entity)
	switch p.TagFault {
	case agent.TagNeverGood:
		return "have the server's operator compare its Temporary Key with the manufacturer's list and set it (cpns-server pne set-tk), then provision it again; if they are the same, look for another device of this name on that link",
			[]string{provision}
	case agent.TagForeign:
		return "look for another device of this name on that link; its own key is safe", nil
	}
	switch p.State {
	case agent.StateRequested:
		return "no keys have come: ask again", []string{provision}
	case agent.StateAssigned:
		if p.Held {
			return "press the router's button when the device is there; without the button, provision it again", []string{provision}
		}
		return "the device gets its key at its next hello: switch it on, and see pngw links", nil
	case agent.StateAlarm:
		return "see whether there are two devices of this name, exchange or reset the wrong one, then give it the next key of its set, or a new set", []string{
			fmt.Sprintf("pngw resolve --readmit %s", entity),
			fmt.Sprintf("pngw resolve --reassign --user %s %s", user, entity),
		}
	case agent.StateUsedUp:
		return "get a new set; with --remember the gateway renews it by itself from then on", []string{provision}
	}
	return "", nil
}

var discoveredCommand = command.Command{
	Name: "discovered", Options: "[--json]", Summary: "show devices that nobody has provisioned",
	About:   `Shows devices that have said hello on a link and that nobody has provisioned. Anybody on the link can say hello under any name: the list proves nothing.`,
	Example: "pngw discovered",
	Setup: report("print an array of objects with entity_id, link, last_seen, epoch and index",
		(*api.Client).Discovered, showDiscovered),
}

func showDiscovered(_ context.Context, c *command.Console, _ *api.Client, found []agent.Discovered) error {
	if len(found) == 0 {
		c.Printf("None.\n")
		return nil
	}
	return display.Table(c.Stdout, discoveredRows(found))
}

func discoveredRows(found []agent.Discovered) [][]string {
	rows := [][]string{{"ENTITY ID", "LINK", "LAST SEEN", "SAYS IT HOLDS"}}
	for _, d := range found {
		holds := "no key"
		if d.Epoch != 0 {
			holds = fmt.Sprintf("key %d of epoch %d", d.Index, d.Epoch)
		}
		rows = append(rows, []string{string(d.Entity), d.Link, shortTime(d.LastSeen), holds})
	}
	return rows
}
