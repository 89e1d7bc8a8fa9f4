package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/audit"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

var watchCommand = command.Command{
	Name: "watch", Options: "[--json]", Summary: "show what happens as it happens",
	About:   `Shows what happens to devices and links from now on, a line each, until Ctrl-C: devices discovered, keys assigned and proved, alarms, links that come and go.`,
	Notes:   `exit codes: 0 after Ctrl-C, 1 where the agent went away, 2 usage or configuration.`,
	Example: "pngw watch",
	Setup: func(f *flag.FlagSet) command.Run {
		asJSON := f.Bool("json", false, "print objects, one a line, with time, event, entity_id, user, epoch, index, length, link and detail")
		return func(ctx context.Context, c *command.Console, _ []string) error {
			client, err := newClient(c)
			if err != nil {
				return err
			}
			ctx, stop := command.Interruptible(ctx)
			defer stop()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			var writing error
			err = client.Watch(ctx, func(h api.Happening) {
				if *asJSON {
					writing = display.JSONLine(c.Stdout, h)
				} else {
					_, writing = fmt.Fprintln(c.Stdout, display.Plain(h.Time+"  "+happeningText(h)))
				}
				if writing != nil {
					cancel()
				}
			})
			switch {
			case writing != nil:
				return writing
			case errors.Is(err, context.Canceled):
				return nil
			case err == nil:
				return errors.New("the agent went away")
			}
			return explain(c, err)
		}
	},
}

// happeningText is what has happened, in words.
func happeningText(h api.Happening) string {
	key := fmt.Sprintf("key %d of %d, epoch %d", h.Index, h.Length, h.Epoch)
	by := ""
	if h.Link != "" {
		by = ", by " + h.Link
	}
	switch h.Event {
	case agent.EventAssigned:
		return fmt.Sprintf("%s: %d keys of %s are sealed in the store (epoch %d)", h.Entity, h.Length, h.User, h.Epoch)
	case agent.EventDelivered:
		return fmt.Sprintf("%s: delivered and acknowledged (%s%s)", h.Entity, key, by)
	case agent.EventAuthenticated:
		return fmt.Sprintf("%s: authenticated (%s%s)", h.Entity, key, by)
	case agent.EventUsedUp:
		return fmt.Sprintf("%s: its set is used up (%s)", h.Entity, key)
	case agent.EventAlarm:
		return fmt.Sprintf("%s: ALARM, rolled back or cloned: it gets no key until pngw resolve (%s%s)", h.Entity, key, by)
	case agent.EventGone:
		return fmt.Sprintf("%s: forgotten", h.Entity)
	case api.EventDiscovered:
		return fmt.Sprintf("%s: says hello on %s, and nobody has asked for it", h.Entity, h.Link)
	case api.EventLinkUp, api.EventLinkDown:
		return join(fmt.Sprintf("link %s is %s", h.Link, map[agent.EventKind]string{api.EventLinkUp: "up", api.EventLinkDown: "down"}[h.Event]), h.Detail)
	}
	return join(string(h.Event), h.Detail)
}

var auditCommand = command.Command{
	Name: "audit", Options: "[--json]", Summary: "show who asked for what, and what came of it",
	About:   `Shows the audit log of this gateway: which user of this system asked for what, about which device, and what came of it, the oldest first. Each line has the hash of the one before; the command says whether the chain holds, and the last hash, which can be compared with one that was noted before. The log keeps the last 32 to 64 kB.`,
	Notes:   `exit codes: 0 the chain holds, 1 it does not, 2 usage or configuration.`,
	Example: "pngw audit",
	Setup: func(f *flag.FlagSet) command.Run {
		asJSON := f.Bool("json", false, "print the lines as they are, for sha256sum and others")
		return func(ctx context.Context, c *command.Console, _ []string) error {
			client, err := newClient(c)
			if err != nil {
				return err
			}
			text, err := client.AuditLog(ctx)
			if err != nil {
				return explain(c, err)
			}
			return showAudit(c, text, *asJSON)
		}
	},
}

func showAudit(c *command.Console, text []byte, asJSON bool) error {
	rows := [][]string{{"LINE", "TIME", "WHO", "WHAT", "ENTITY ID", "USER", "RESULT", "DETAIL"}}
	err := audit.Check(text, func(e audit.Entry) {
		rows = append(rows, []string{fmt.Sprint(e.N), shortTime(e.Time), e.Who, e.What, e.Entity, e.User, e.Result, e.Detail})
	})
	if asJSON {
		if _, err := c.Stdout.Write(text); err != nil {
			return err
		}
		return err
	}
	if len(rows) == 1 && err == nil {
		c.Printf("Nothing was asked for yet.\n")
		return nil
	}
	if err := display.Table(c.Stdout, rows); err != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("the chain is broken: %w", err)
	}
	c.Printf("\nThe chain holds. Last hash: %s\n", audit.Last(text))
	return nil
}
