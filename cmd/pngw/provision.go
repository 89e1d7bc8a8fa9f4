package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/internal/password"
)

var provisionCommand = command.Command{
	Name: "provision", Options: "--user USER [options]", Args: "[ENTITY_ID...]", Summary: "get keys for devices and hand each its first",
	About: `Asks the CPNS Server for a set of EUKeys for each device, stores them sealed, and hands each device its first key when it says hello. Shows each step as it happens. A device is given by its Entity ID, or by the text of its label (CPNS:1:...), in which mistypes show before anything is sent.

With --csv the devices are those of a file as a spreadsheet saves it: a header line entity_id, and if you like user, label and location, then a device a line. Every row gets a verdict, and a bad one holds up no other. Where the server cannot be asked, the batch asks again for five minutes. The same command given again goes on where it ended: devices that have their keys are not asked for.`,
	Notes:   `exit codes: 0 all delivered, or with --hold kept, 1 failed, 2 usage or configuration, 3 assigned but not yet delivered, 4 refused by the server, 5 no server. Of several devices the first of 1, 5, 4, 3 counts that fits one of them: what may go away by itself (5) before what does not (4), so that a script that repeats on 5 comes to an end.`,
	Example: "pngw provision --user alice urn:dev:lamp-1 urn:dev:lamp-2",
	Setup: func(f *flag.FlagSet) command.Run {
		var o provisionOptions
		o.declare(f, "the CPNS `USER` who owns the devices; with --csv of those rows that name none")
		var b batchOptions
		f.StringVar(&b.csv, "csv", "", "take the devices from `FILE`, up to 131072 of them")
		f.StringVar(&b.report, "report", "", "with --csv: write each row with its verdict to `FILE`, as CSV; it can be given as --csv again")
		f.BoolVar(&b.dryRun, "dry-run", false, "with --csv: check every row, and ask for nothing")
		b.pace = command.Duration(f, "pace", 50*time.Millisecond, "with --csv: the least `TIME` from one device's request to the next one's")
		remember := f.Bool("remember", false, "let the gateway renew the devices' sets by itself when 90 % of their keys are used. It keeps the Hash(Password) for that, sealed in its store: to whoever opens the store that is worth the password. Provisioning a device again without --remember deletes it, and so does forget")
		hold := f.Bool("hold", false, "keep each first key until somebody presses the router's button (option button): its device gets it within two minutes of that, and at no other time. Provisioning it again without --hold ends that")
		return func(ctx context.Context, c *command.Console, args []string) error {
			if err := b.check(args); err != nil {
				return err
			}
			fewerWakeups() // before anything is read
			if b.csv != "" {
				if err := o.check(false); err != nil {
					return err
				}
				if *remember {
					sayRemembered(c, "each user")
				}
				o.hold = *hold
				return provisionFile(ctx, c, &o, &b, *remember)
			}
			req, err := o.request(args)
			if err != nil {
				return err
			}
			req.Hold = *hold
			if req.Remember = *remember; req.Remember {
				sayRemembered(c, string(req.User))
			}
			return provision(ctx, c, req, &o)
		}
	},
}

func sayRemembered(c *command.Console, whose string) {
	fmt.Fprintf(c.Stderr, "pngw: the Hash(Password) of %s stays on this router, sealed in its store: it is worth the password to whoever opens the store\n", whose)
}

// sayHeld warns if devices are held back and the gateway has no working button.
func sayHeld(c *command.Console, s *api.Status) {
	switch {
	case s.Signs != nil && s.Signs.Button != nil && s.Signs.Button.Fault:
		fmt.Fprintln(c.Stderr, "pngw: the button is not heard at the moment (pngw doctor): until it is, these keys go to nobody; to give them without, provision again without --hold")
	case s.Signs == nil || s.Signs.Button == nil:
		fmt.Fprintln(c.Stderr, "pngw: no button is configured (option button): until there is one, these keys go to nobody; to give them without, provision again without --hold")
	}
}

// provisionOptions are the options of a request to the server.
type provisionOptions struct {
	user, passwordFile string
	wait               *time.Duration
	json, hold         bool
}

func (o *provisionOptions) declare(f *flag.FlagSet, userUsage string) {
	f.StringVar(&o.user, "user", "", userUsage)
	f.StringVar(&o.passwordFile, "password-file", "", password.Usage)
	o.wait = command.Duration(f, "wait", time.Minute, "how long to wait for the devices, a `TIME` such as 90s; what is not delivered by then stays pending and needs no further command")
	f.BoolVar(&o.json, "json", false, "print steps and outcomes as JSON, one object a line: steps have a field step, outcomes a field result")
}

// request checks what was typed.
func (o *provisionOptions) request(entities []string) (r agent.ProvisionRequest, err error) {
	if err := o.check(true); err != nil {
		return r, err
	}
	r.User, r.Wait = cpns.UserID(o.user), *o.wait
	r.Entities, err = parseEntities(entities)
	return r, err
}

// check judges the options themselves.
func (o *provisionOptions) check(needsUser bool) error {
	if o.user == "" && needsUser {
		return command.Misused("--user USER is missing")
	}
	if o.user != "" {
		if _, err := cpns.ParseUserID(o.user); err != nil {
			return command.Misused("--user: %v", err)
		}
	}
	if *o.wait < 0 || *o.wait > api.MaxWait {
		return command.Misused("--wait %v: want a time from 0s to %v", *o.wait, api.MaxWait)
	}
	return nil
}

// provision asks for the user's password, makes the agent carry out the request, and shows
// the progress and the results.
func provision(ctx context.Context, c *command.Console, req agent.ProvisionRequest, o *provisionOptions) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if err := hardening.Memory(); err != nil {
		return err
	}
	ctx, stop := command.Interruptible(ctx)
	defer stop()

	// Check this before asking for the password.
	client := api.NewClient(cfg.Gateway.Socket)
	status, err := client.Status(ctx)
	if err != nil {
		return explain(c, err)
	}
	if status.Gateway == "" {
		return errors.New(status.PSK1.Waiting)
	}
	if req.Hold {
		sayHeld(c, &status)
	}
	question := &password.Question{Whose: string(req.User), File: o.passwordFile, Program: c.Program.Name, Stdin: c.Stdin, Stderr: c.Stderr}
	text, err := question.Ask(ctx)
	if err != nil {
		return password.Explain(err, "nothing was asked of the server")
	}
	req.PasswordHash = hashPassword(req.User, text)
	clear(text)

	p := newProgress(c.Stdout, o.json, status.Server)
	err = client.Provision(ctx, req, p.step, p.outcome)
	clear(req.PasswordHash[:])
	if errors.As(err, new(*api.ConnectError)) || errors.As(err, new(*api.AnswerError)) {
		return explain(c, err) // it has not begun
	}
	p.total()
	if err != nil {
		return p.interrupted(len(req.Entities), err)
	}
	if code := p.code(); code != 0 {
		if links, err := client.Links(ctx); err == nil && code == exitPending && !o.json {
			p.absent(links)
		}
		return &command.Exit{Code: code}
	}
	return p.err
}

// parseEntities checks devices as they were typed.
func parseEntities(args []string) ([]cpns.EntityID, error) {
	ids := make([]string, len(args))
	for i, arg := range args {
		e, err := cpns.ParseDevice(arg)
		if err != nil {
			return nil, command.Misused("device %d of %d: %v", i+1, len(args), err)
		}
		ids[i] = string(e)
	}
	entities, err := api.ParseEntities(ids)
	if err != nil {
		return nil, command.Misused("%v", err)
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
	code := command.Failed
	if p.sealed == n {
		code = exitPending
	}
	switch {
	case p.sealed == 0:
		return &command.Exit{Code: code, Err: fmt.Errorf("%w: no keys were stored that this command heard of, see pngw list", err)}
	case p.sealed == n:
		return &command.Exit{Code: code, Err: fmt.Errorf("%w: the keys are stored and stay pending; each device gets its key when it says hello, see pngw list", err)}
	}
	return &command.Exit{Code: code, Err: fmt.Errorf("%w: the keys of %d of %d devices are stored and stay pending, see pngw list; give the command again for the others", err, p.sealed, n)}
}
