package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cmd/pngw/internal/api"
	"cpns.example.net/pngw/cpns"
)

var provisionCommand = command{
	name: "provision", usage: "--user USER [options] ENTITY_ID...", summary: "get keys for devices and hand each its first",
	help: `Asks the CPNS Server for a set of EUKeys for each device, stores them sealed, and
hands each device its first key when it says hello. Shows each step as it happens.

  --user USER           the CPNS User who owns the devices
  --password-file FILE  the user's password, else it is asked for, or read from
                        standard input if something is piped in; one final newline
                        is not part of it
  --wait TIME           how long to wait for the devices, 60s unless given; what is
                        not delivered by then stays pending and needs no further
                        command
  --remember            let the gateway renew the devices' sets by itself when 90 %
                        of their keys are used. It keeps the Hash(Password) for
                        that, sealed in its store: to whoever opens the store that
                        is worth the password. Provisioning a device again without
                        --remember deletes it, and so does forget
  --json                print steps and outcomes as JSON, one object a line: steps
                        have a field step, outcomes a field result

exit codes: 0 all delivered, 1 failed, 2 usage or configuration, 3 assigned but
not yet delivered, 4 refused by the server, 5 no server. Of several devices the
first of 1, 5, 4, 3 counts that fits one of them: what may go away by itself
(5) before what does not (4), so that a script that repeats on 5 comes to an end.

example: pngw provision --user alice urn:dev:lamp-1 urn:dev:lamp-2
`,
	run: provision,
}

func provision(ctx context.Context, c *call) error {
	user := c.flags.String("user", "", "")
	passwordFile := c.flags.String("password-file", "", "")
	wait := c.flags.Duration("wait", time.Minute, "")
	remember := c.flags.Bool("remember", false, "")
	asJSON := c.flags.Bool("json", false, "")
	args, err := c.parse(1, -1)
	if err != nil {
		return err
	}
	req, err := c.provisionRequest(*user, *wait, args)
	if err != nil {
		return err
	}
	if req.Remember = *remember; req.Remember {
		fmt.Fprintf(c.stderr, "pngw: the Hash(Password) of %s stays on this router, sealed in its store: it is worth the password to whoever opens the store\n", req.User)
	}
	return c.request(ctx, req, *passwordFile, *asJSON)
}

// request has the agent carry a request out, with the user's password, and
// shows what comes of it.
func (c *call) request(ctx context.Context, req agent.ProvisionRequest, passwordFile string, asJSON bool) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := keepSecrets(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	// Before anybody types a password in vain.
	client := api.NewClient(cfg.Gateway.Socket)
	if _, err := client.Status(ctx); err != nil {
		return c.explain(err)
	}
	password, err := c.password(ctx, req.User, passwordFile)
	if err != nil {
		return err
	}
	req.PasswordHash = hashPassword(req.User, password)
	clear(password)

	p := newProgress(c.stdout, asJSON, cfg.Gateway.Server)
	err = client.Provision(ctx, req, p.step, p.outcome)
	clear(req.PasswordHash[:])
	if errors.As(err, new(*api.ConnectError)) || errors.As(err, new(*api.AnswerError)) {
		return c.explain(err) // it has not begun
	}
	p.total()
	if err != nil {
		return p.interrupted(len(req.Entities), err)
	}
	if code := p.code(); code != 0 {
		if links, err := client.Links(ctx); err == nil && code == exitPending && !asJSON {
			p.absent(links)
		}
		return &exit{code: code}
	}
	return p.err
}

// provisionRequest checks what was typed.
func (c *call) provisionRequest(user string, wait time.Duration, entities []string) (r agent.ProvisionRequest, err error) {
	if user == "" {
		return r, usageError("--user USER is missing; see pngw %s --help", c.name)
	}
	if r.User, err = cpns.ParseUserID(user); err != nil {
		return r, usageError("--user: %v", err)
	}
	if wait < 0 || wait > api.MaxWait {
		return r, usageError("--wait %v: want a time from 0s to %v", wait, api.MaxWait)
	}
	r.Wait = wait
	r.Entities, err = parseEntities(entities)
	return r, err
}

// parseEntities checks devices as they were typed.
func parseEntities(args []string) ([]cpns.EntityID, error) {
	entities, err := api.ParseEntities(args)
	if err != nil {
		return nil, &exit{exitUsage, err}
	}
	return entities, nil
}

// errInterrupted says that the command was stopped from outside, which is not
// a failure of what it had done by then.
var errInterrupted = errors.New("interrupted")

// interrupted says what holds where the stream of n devices ended early.
func (p *progress) interrupted(n int, err error) error {
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	code := exitOther
	if p.sealed == n {
		code = exitPending
	}
	switch {
	case p.sealed == 0:
		return &exit{code, fmt.Errorf("%w: no keys were stored that this command heard of, see pngw list", err)}
	case p.sealed == n:
		return &exit{code, fmt.Errorf("%w: the keys are stored and stay pending; each device gets its key when it says hello, see pngw list", err)}
	}
	return &exit{code, fmt.Errorf("%w: the keys of %d of %d devices are stored and stay pending, see pngw list; give the command again for the others", err, p.sealed, n)}
}
