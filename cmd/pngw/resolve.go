package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

var resolveCommand = command{
	name: "resolve", usage: "ENTITY_ID --readmit|--reassign [options]", summary: "take a device under alarm in again",
	help: `Takes a device in again that proved an older key than before. It was rolled back,
such as by a reset or a backup of its storage, or there are two of it. Find out
which, and exchange or reset the wrong one first: whichever device answers next
gets the key.

  --readmit             give it the next key of its set, which a copy of the device
                        that lacks the Temporary Key cannot take
  --reassign            get a new set for it from the CPNS Server, as provision does
  --user USER           the CPNS User who owns the device, with --reassign
  --password-file FILE  as with provision
  --wait TIME           as with provision
  --json                as with provision
  --yes                 do not ask

exit codes: as those of provision; --readmit only 0, 1 and 2.

example: pngw resolve urn:dev:lamp-1 --readmit
`,
	run: resolve,
}

// Whoever resolves an alarm reads this first. A copy that has the Temporary Key
// too is as good as the device, whichever way it is resolved.
const resolveWarning = `There may be two devices with this identity. Find out which is the right one, and
exchange or reset the other first: whichever answers next gets the key. If the
other has the Temporary Key too, only exchanging the device helps.
`

func resolve(ctx context.Context, c *call) error {
	readmit := c.flags.Bool("readmit", false, "")
	reassign := c.flags.Bool("reassign", false, "")
	user := c.flags.String("user", "", "")
	passwordFile := c.flags.String("password-file", "", "")
	wait := c.flags.Duration("wait", time.Minute, "")
	asJSON := c.flags.Bool("json", false, "")
	yes := c.flags.Bool("yes", false, "")
	args, err := c.parse(1, 1)
	if err != nil {
		return err
	}
	entity, err := cpns.ParseEntityID(args[0])
	if err != nil {
		return usageError("%v", err)
	}
	var req agent.ProvisionRequest
	switch {
	case *readmit == *reassign:
		return usageError("want either --readmit (the next key of its set) or --reassign (a new set); see pngw resolve --help")
	case *reassign:
		if req, err = c.provisionRequest(*user, *wait, args); err != nil {
			return err
		}
		req.Reassign = true
	case *user != "" || *passwordFile != "":
		return usageError("--user and --password-file are of --reassign: --readmit asks nothing of the server")
	}
	if err := c.canAsk(*yes); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	p, err := client.Show(ctx, entity)
	if err != nil {
		return c.explain(err)
	}
	if p.State != agent.StateAlarm {
		return fmt.Errorf("%s is not under alarm: there is nothing to resolve", entity)
	}
	if !*yes {
		fmt.Fprintf(c.stderr, "%s: %s\n%s", entity, plain(p.Note), resolveWarning)
		if !c.confirm("Take " + string(entity) + " in again?") {
			return errors.New("nothing was changed")
		}
	}
	if *reassign {
		return c.request(ctx, req, *passwordFile, *asJSON)
	}
	if err := client.Readmit(ctx, entity); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(c.stdout, "%s: readmitted, gets its next key at its next hello\n", entity)
	return nil
}
