package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

var authenticateCommand = command{
	name: "authenticate", usage: "ENTITY_ID...|--all [--json]", summary: "have devices prove their keys, and move them on",
	help: `Has each device prove that it holds its key, proves to it that this is its
gateway, and moves it on to the next key of its set. A device that proves an
older key than before is put under alarm: see pngw resolve.

  --all    every device that was provisioned here
  --json   print the results as JSON, one object a line, with entity_id, result,
           epoch, index and detail

Results: authenticated, alarm, no_answer, not_delivered (the device has proved no
key yet, it gets its first at its next hello), failed.

exit codes: 0 all authenticated, 1 otherwise, 2 usage or configuration. With --all
a device that has no key yet is shown, and is no failure.

example: pngw authenticate --all
`,
	run: authenticate,
}

func authenticate(ctx context.Context, c *call) error {
	all := c.flags.Bool("all", false, "")
	asJSON := c.flags.Bool("json", false, "")
	args, err := c.parse(0, -1)
	if err != nil {
		return err
	}
	if *all == (len(args) > 0) {
		return usageError("want either devices or --all: pngw %s %s", c.name, c.usage)
	}
	var entities []cpns.EntityID // none are all
	if !*all {
		if entities, err = parseEntities(args); err != nil {
			return err
		}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	p := proofs{progress: progress{w: c.stdout, json: *asJSON}, all: *all}
	if err := client.Authenticate(ctx, entities, p.show); err != nil {
		if ctx.Err() != nil {
			err = errInterrupted
		}
		return c.explain(err)
	}
	p.sum()
	if p.err == nil && p.failed {
		return &exit{code: exitOther}
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
		p.keep(printJSONLine(p.w, r))
		return
	}
	p.say(r.Entity, text)
	if r.Result == agent.ProofAlarm {
		p.next("pngw show " + string(r.Entity))
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
