package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

var auditCommand = command.Command{
	Name: "audit", Options: "--data DIR [--since WHEN] [--user USER] [--pne ENTITY_ID] [--gateway GATEWAY] [--json] [--follow | --verify [--head HEAD]]",
	Summary: "show the audit log, or verify it",
	About: `Shows the audit log, the oldest event first. Events are kept for 400 days, a million at most. With --follow it shows what has come since --since, or nothing, and then each event as it comes, until Ctrl-C.

With --verify it shows nothing of it, but reads all of it and names what was changed, removed or added by others than servers and operators, by the number of the event; the exit code is 1 then. A head that --verify has shown, or a server's log, and that lies elsewhere, shows with --head whether the newest events were cut off.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		since := fs.String("since", "", "only events since `WHEN`: a duration back, such as 24h, a day, such as 2026-03-01, or an RFC 3339 time")
		user := fs.String("user", "", "only events of `USER`")
		pne := fs.String("pne", "", "only events of the PNE `ENTITY_ID`")
		gateway := fs.String("gateway", "", "only events of `GATEWAY`")
		follow := fs.Bool("follow", false, "show events as they come")
		verify := fs.Bool("verify", false, "verify the whole log")
		head := fs.String("head", "", "with --verify: the log has to have the `HEAD` that was noted")
		return func(ctx context.Context, c *command.Console, args []string) error {
			from, err := parseSince(*since, time.Now())
			if err != nil {
				return err
			}
			filtered := *since + *user + *pne + *gateway
			switch {
			case *verify && (*follow || *asJSON || filtered != ""):
				return command.Misused("--verify looks at the whole log, and goes with --head only")
			case !*verify && *head != "":
				return command.Misused("--head goes with --verify")
			}
			if *verify {
				var noted server.Head
				if *head != "" {
					if noted, err = server.ParseHead(*head); err != nil {
						return command.Misused("--head %s: %v", *head, err)
					}
				}
				return withOperator(ctx, *data, func(op *server.Operator) error { return verifyAudit(ctx, c, op, noted) })
			}
			show := func(e server.Event) error {
				_, err := fmt.Fprintln(c.Stdout, eventLine(e))
				return err
			}
			if *asJSON {
				t := newTable(c.Stdout, true)
				show = func(e server.Event) error { return t.row(e) }
			}
			wanted := func(e server.Event) error {
				if *user != "" && string(e.User) != *user || *pne != "" && string(e.Entity) != *pne || *gateway != "" && string(e.Gateway) != *gateway {
					return nil
				}
				return show(e)
			}
			return asOperator(ctx, c, *data, func(op operator) error {
				if *follow {
					return followAudit(ctx, c, op, *data, *since, from, wanted)
				}
				return op.Audit(ctx, from, wanted)
			})
		}
	},
}

// followAudit shows events until a signal ends it, which is no failure.
func followAudit(ctx context.Context, c *command.Console, op operator, p place, since string, from time.Time, show func(server.Event) error) error {
	r, err := p.remote()
	if err != nil {
		return err
	}
	whom, explain := "the database", func(err error) error { return err }
	if r != nil {
		whom, explain = "the server", r.explain
	}
	ctx, stop := command.Interruptible(ctx)
	defer stop()
	if since == "" {
		from = op.Now()
	}
	err = op.Follow(ctx, from, show, func(away error) {
		if away != nil {
			fmt.Fprintf(c.Stderr, "waiting for %s: %v\n", whom, explain(away))
		} else {
			fmt.Fprintf(c.Stderr, "%s is there again\n", whom)
		}
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// verifyAudit says what the audit log was found to be, and fails where it is not whole.
func verifyAudit(ctx context.Context, c *command.Console, op *server.Operator, noted server.Head) error {
	const toldMost = 20
	told := 0
	found, err := op.VerifyAudit(ctx, noted, func(seq int64, what string) {
		if told++; told <= toldMost {
			fmt.Fprintf(c.Stderr, "audit log, event %d: %s\n", seq, what)
		}
	})
	if err != nil {
		return err
	}
	if told > toldMost {
		fmt.Fprintf(c.Stderr, "and %d more\n", told-toldMost)
	}
	c.Printf("audit log: %d events under %d seals", found.Events, found.Seals)
	if found.Removed > 0 {
		c.Printf(", after %d that had had their time by %s", found.Removed, day(found.RemovedBefore))
	}
	if found.Unsealed > 0 {
		c.Printf("; %d not sealed yet, which a running server does within seconds", found.Unsealed)
	}
	c.Printf("\n")
	if found.Unsigned > 0 {
		c.Printf("%d events between %d and %d have no MAC: an older program wrote them, or nobody knows who\n", found.Unsigned, found.FirstUnsigned, found.LastUnsigned)
	}
	if found.Broken > 0 {
		return fmt.Errorf("the audit log is not as it was written: %d places, the first at event %d", found.Broken, found.First)
	}
	if found.Head.Number > 0 {
		c.Printf("verified; its head is %s\n", found.Head)
	} else {
		c.Printf("verified\n")
	}
	return nil
}

// parseSince reads a value of --since; an empty one is the beginning of time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if back, err := time.ParseDuration(s); err == nil && back >= 0 {
		return now.Add(-back), nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return at, nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, nil
	}
	return time.Time{}, command.Misused("--since %s: write a time back, such as 24h, a day, such as 2026-03-01, or an RFC 3339 time", s)
}

// eventLine is an event in one line, the way it is searched by grep.
func eventLine(e server.Event) string {
	return e.Time.Format("2006-01-02T15:04:05.000Z07:00") + " " + e.Text()
}
