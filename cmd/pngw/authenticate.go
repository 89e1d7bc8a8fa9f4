package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

var authenticateCommand = command.Command{
	Name: "authenticate", Options: "[--all] [--wait TIME] [--json]", Args: "[ENTITY_ID...]", Summary: "have devices prove their keys, and move them on",
	About: `Has each device prove that it holds its key, proves to it that this is its gateway, and moves it on to the next key of its set. A device that proves an older key than before is put under alarm: see pngw resolve.`,
	Notes: `results: authenticated, delivered (the device took a key instead: of a newer set, or after it was readmitted), alarm, no_answer, not_delivered (the device has proved no key yet, it gets its first at its next hello), failed.

exit codes: 0 all authenticated, 1 otherwise, 2 usage or configuration. With --all a device that has no key yet is shown, and is no failure.`,
	Example: "pngw authenticate --all",
	Setup: func(f *flag.FlagSet) command.Run {
		all := f.Bool("all", false, "every device that was provisioned here")
		wait := command.Duration(f, "wait", 0, "the most to wait for each device, a `TIME` such as 90s; as long as its link takes for all repeats if not given")
		asJSON := f.Bool("json", false, "print the results as JSON, one object a line, with entity_id, result, epoch, index and detail")
		return func(ctx context.Context, c *command.Console, args []string) error {
			return authenticate(ctx, c, args, *all, *wait, *asJSON)
		}
	},
}

func authenticate(ctx context.Context, c *command.Console, args []string, all bool, wait time.Duration, asJSON bool) (err error) {
	switch {
	case all == (len(args) > 0):
		return command.Misused("want either devices or --all")
	case wait < 0 || wait > api.MaxWait:
		return command.Misused("--wait %v: want a time from 0s to %v", wait, api.MaxWait)
	}
	var entities []cpns.EntityID // none are all
	if !all {
		if entities, err = parseEntities(args); err != nil {
			return err
		}
	}
	client, err := newClient(c)
	if err != nil {
		return err
	}
	ctx, stop := command.Interruptible(ctx)
	defer stop()

	asked := len(entities)
	if all {
		pnes, err := client.List(ctx)
		if err != nil {
			return explain(c, err)
		}
		asked = len(pnes)
	}
	p := proofs{progress: progress{w: c.Stdout, json: asJSON}, all: all}
	quiet := tellOfQuiet(func() {
		fmt.Fprintf(c.Stderr, "pngw: waiting for %d of %d devices\n", max(asked-p.n, 0), asked)
	})
	err = client.Authenticate(ctx, entities, wait, func(r agent.Proof) {
		quiet.broken(func() { p.show(r) })
	})
	quiet.end()
	if err != nil {
		if ctx.Err() != nil {
			err = errInterrupted
		}
		return explain(c, err)
	}
	p.sum()
	if p.silent && !asJSON {
		if links, err := client.Links(ctx); err == nil {
			p.absent(links)
		}
	}
	if p.err == nil && p.failed {
		return &command.Exit{Code: command.Failed}
	}
	return p.err
}

// proofs shows the results of an authenticate command.
type proofs struct {
	progress
	all    bool
	good   int
	failed bool
	silent bool // a device has not answered
}

func (p *proofs) show(r agent.Proof) {
	p.n++
	text := ""
	switch r.Result {
	case agent.ProofAuthenticated:
		p.good++
		text = fmt.Sprintf("authenticated (epoch %d, key %d)", r.Epoch, r.Index)
	case agent.ProofDelivered:
		p.good++
		text = fmt.Sprintf("took a key (epoch %d, key %d)", r.Epoch, r.Index)
	case agent.ProofAlarm:
		p.failed = true
		text = "ALARM: " + r.Detail
	case agent.ProofNoAnswer:
		p.failed, p.silent = true, true
		text = join("no answer", r.Detail)
	case agent.ProofNotDelivered:
		p.failed = p.failed || !p.all
		text = join("not delivered", r.Detail)
	default:
		p.failed = true
		text = join(string(r.Result), r.Detail)
	}
	if p.json {
		p.keep(display.JSONLine(p.w, r))
		return
	}
	p.say(r.Entity, text)
	if r.Result == agent.ProofAlarm {
		p.next("pngw show " + command.Quote(string(r.Entity)))
	}
}

func (p *proofs) sum() {
	switch {
	case p.json:
	case p.n == 0:
		p.print("No devices yet. Provision one: pngw provision --user USER ENTITY_ID")
	case p.n > 1:
		p.print(fmt.Sprintf("%d of %d authenticated", p.good, p.n))
	}
}
