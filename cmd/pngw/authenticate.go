package main

import (
	"context"
	"flag"
	"fmt"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

var authenticateCommand = command.Command{
	Name: "authenticate", Options: "[--json]", Args: "[ENTITY_ID...]", Summary: "have devices prove their keys, and move them on",
	About: `Has each device prove that it holds its key, proves to it that this is its gateway, and moves it on to the next key of its set. A device that proves an older key than before is put under alarm: see pngw resolve.`,
	Notes: `results: authenticated, alarm, no_answer, not_delivered (the device has proved no key yet, it gets its first at its next hello), failed.

exit codes: 0 all authenticated, 1 otherwise, 2 usage or configuration. With --all a device that has no key yet is shown, and is no failure.`,
	Example: "pngw authenticate --all",
	Setup: func(f *flag.FlagSet) command.Run {
		all := f.Bool("all", false, "every device that was provisioned here")
		asJSON := f.Bool("json", false, "print the results as JSON, one object a line, with entity_id, result, epoch, index and detail")
		return func(ctx context.Context, c *command.Console, args []string) error {
			return authenticate(ctx, c, args, *all, *asJSON)
		}
	},
}

func authenticate(ctx context.Context, c *command.Console, args []string, all, asJSON bool) (err error) {
	if all == (len(args) > 0) {
		return command.Misused("want either devices or --all")
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

	p := proofs{progress: progress{w: c.Stdout, json: asJSON}, all: all}
	if err := client.Authenticate(ctx, entities, p.show); err != nil {
		if ctx.Err() != nil {
			err = errInterrupted
		}
		return explain(c, err)
	}
	p.sum()
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
}

func (p *proofs) show(r agent.Proof) {
	p.n++
	text := ""
	switch r.Result {
	case agent.ProofAuthenticated:
		p.good++
		text = fmt.Sprintf("authenticated (epoch %d, key %d)", r.Epoch, r.Index)
	case agent.ProofAlarm:
		p.failed = true
		text = "ALARM: " + r.Detail
	case agent.ProofNoAnswer:
		p.failed = true
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
