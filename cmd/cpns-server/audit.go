package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

var auditCommand = command.Command{
	Name: "audit", Options: "--data DIR [--since WHEN] [--user USER] [--pne ENTITY_ID] [--gateway GATEWAY] [--json]",
	Summary: "show the audit log",
	About:   "Shows the audit log, the oldest event first. Events are kept for 400 days.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		since := fs.String("since", "", "only events since `WHEN`: a duration back, such as 24h, a day, such as 2026-03-01, or an RFC 3339 time")
		user := fs.String("user", "", "only events of `USER`")
		pne := fs.String("pne", "", "only events of the PNE `ENTITY_ID`")
		gateway := fs.String("gateway", "", "only events of `GATEWAY`")
		return func(ctx context.Context, c *command.Console, args []string) error {
			from, err := parseSince(*since, time.Now())
			if err != nil {
				return err
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
			return withOperator(ctx, *data, func(op *server.Operator) error { return op.Audit(ctx, from, wanted) })
		}
	},
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
	b := new(strings.Builder)
	fmt.Fprintf(b, "%s %s", e.Time.Format("2006-01-02T15:04:05.000Z07:00"), e.Kind)
	for _, field := range []struct{ name, value string }{
		{"user", string(e.User)},
		{"pne", string(e.Entity)},
		{"gateway", string(e.Gateway)},
	} {
		if field.value != "" {
			fmt.Fprintf(b, " %s=%s", field.name, field.value)
		}
	}
	if e.Epoch != 0 {
		fmt.Fprintf(b, " epoch=%d", e.Epoch)
	}
	fmt.Fprintf(b, " from=%q", e.Source)
	if e.Detail != "" {
		fmt.Fprintf(b, " detail=%q", e.Detail)
	}
	return b.String()
}
