package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/cmd/pngw/internal/handover"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/hardening"
)

var enrolCommand = command.Command{
	Name: "enrol", Options: "[--wait TIME] [--move]", Args: "CODE|-...", Summary: "make this gateway known to a CPNS Server",
	About: `Makes this gateway known to the CPNS Server that CODE names, which its operator gives: cpns-server gateway invite. The code is checked before anything is sent; - has it read from standard input. Shows the server's pin and this gateway's fingerprint, which the operator compares, and waits while the gateway is not approved yet.

The agent that runs does it, and goes on with it when the command has ended and after a restart. Where none runs, the command does it itself, with the store that pngw init made.`,
	Notes:   `exit codes: 0 enrolled, 1 failed, 2 a code that cannot be right or is not for this gateway, 3 not approved yet when --wait was over, 4 refused by the server, 5 no server.`,
	Example: "pngw enrol CPNS1-QNZW6-5DIMV-...",
	Setup: func(f *flag.FlagSet) command.Run {
		wait := command.Duration(f, "wait", api.MaxWait, "how long to wait for the operator, a `TIME` such as 90s")
		move := f.Bool("move", false, "leave the server that this gateway is enrolled at for that of the code")
		return func(ctx context.Context, c *command.Console, args []string) error {
			typed := strings.Join(args, " ") // its spaces are ignored
			if typed == "-" {
				text, err := io.ReadAll(io.LimitReader(c.Stdin, maxTyped))
				if err != nil {
					return fmt.Errorf("reading the code: %w", err)
				}
				typed = string(text)
			}
			return asTyped(c, enrol(ctx, c, typed, *wait, *move))
		}
	},
}

// maxTyped is more than the longest code has, in bytes, with any spacing.
const maxTyped = 4096

// enrolTick is how often the command asks for the progress of the enrolment.
const enrolTick = 200 * time.Millisecond

// enrolGrace is how long the agent may be unreachable while it restarts, and how long it
// may take until it works under its new name.
const enrolGrace = 20 * time.Second

func enrol(ctx context.Context, c *command.Console, typed string, wait time.Duration, move bool) error {
	if wait < 0 || wait > api.MaxWait {
		return command.Misused("--wait %v: want a time from 0s to %v", wait, api.MaxWait)
	}
	code, err := cpns.ParseEnrolmentCode(typed)
	if err != nil {
		return &command.Exit{Code: command.Usage, Err: err}
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	ctx, stop := command.Interruptible(ctx)
	defer stop()
	client := api.NewClient(cfg.Gateway.Socket)
	now, err := client.Enrol(ctx, typed, move)
	look, goesOn := client.Enrolment, "the agent goes on with it; pngw status shows how it stands"
	if e := new(api.ConnectError); errors.As(err, &e) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)) {
		var end func()
		if look, end, err = enrolHere(ctx, c, &cfg.Gateway, code, move); err != nil {
			return err
		}
		defer end()
		fmt.Fprintln(c.Stderr, "no agent is running: this command asks the server itself, and pngw run can start when it has ended")
		now, err = look(ctx)
		goesOn = "pngw run goes on with it"
	}
	if err != nil {
		if e := new(api.AnswerError); errors.As(err, &e) && e.Status == http.StatusConflict {
			return &command.Exit{Code: command.Usage, Err: err}
		}
		return explain(c, err)
	}
	c.Printf("server       %s, pin %s\n", display.Plain(now.Server), now.Pin)
	c.Printf("fingerprint  %s\n", now.Fingerprint)
	return awaitEnrolment(ctx, c, look, now, time.Now().Add(wait), goesOn)
}

// awaitEnrolment waits until the server has decided.
func awaitEnrolment(ctx context.Context, c *command.Console, look func(context.Context) (api.Enrolment, error), now api.Enrolment, until time.Time, goesOn string) error {
	told := ""
	tick := time.NewTicker(enrolTick)
	defer tick.Stop()
	for seen := time.Now(); ; {
		switch {
		case now.State == step0.StateEnrolled:
			return enrolledAs(ctx, c, look, now)
		case now.State == step0.StateRefused:
			return &command.Exit{Code: exitRefused, Err: fmt.Errorf("refused: %s", display.Plain(now.Detail))}
		case now.Tries > 0 && now.Unreachable:
			return &command.Exit{Code: exitUnreachable, Err: fmt.Errorf("%s; %s", display.Plain(now.Detail), goesOn)}
		case now.Detail != "" && now.Detail != told:
			told = now.Detail
			c.Printf("%s\n", display.Plain(told))
		}
		if now.Tries > 0 && !time.Now().Before(until) {
			return &command.Exit{Code: exitPending, Err: errors.New("not approved yet: " + goesOn)}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errInterrupted
		}
		next, err := look(ctx)
		switch {
		case err == nil:
			now, seen = next, time.Now()
		case ctx.Err() != nil:
			return errInterrupted
		case time.Since(seen) > enrolGrace: // the agent restarts when it has been enrolled
			return explain(c, err)
		}
	}
}

// enrolledAs waits until the agent works under the gateway's new name.
func enrolledAs(ctx context.Context, c *command.Console, look func(context.Context) (api.Enrolment, error), now api.Enrolment) error {
	c.Printf("enrolled: this gateway is called %s\n", now.Gateway)
	for end := time.Now().Add(enrolGrace); !now.Serving; time.Sleep(enrolTick) {
		if next, err := look(ctx); err == nil {
			now = next
		}
		if ctx.Err() != nil {
			return errInterrupted
		}
		if time.Now().After(end) {
			return errors.New("enrolled, and the agent has not taken it up: its log says why")
		}
	}
	return nil
}

// enrolHere enrols without an agent: it opens the store itself, as the store's owner.
func enrolHere(ctx context.Context, c *command.Console, g *config.Gateway, code *cpns.EnrolmentCode, move bool) (look func(context.Context) (api.Enrolment, error), end func(), err error) {
	if err := hardening.Memory(); err != nil {
		return nil, nil, err
	}
	if err := actAsOwner(g.Store); err != nil {
		return nil, nil, err
	}
	store, err := openStore(g)
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.DiscardHandler) // the command prints the same
	e, err := newEnroller(g, step0.Config{Store: store, Log: log})
	if err == nil {
		err = e.Begin(code, move)
	}
	if err != nil {
		store.Close()
		if errors.As(err, new(*step0.ContradictionError)) {
			err = &command.Exit{Code: command.Usage, Err: err}
		}
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Run(ctx)
	}()
	return func(context.Context) (api.Enrolment, error) {
			return api.Enrolment{Status: e.Status(), Serving: true}, nil
		},
		func() {
			cancel()
			<-ended
			store.Close()
		}, nil
}

// actAsOwner makes root continue as the user who owns the store: the agent could not read
// files that root writes there.
func actAsOwner(store string) error {
	info, err := os.Stat(store)
	if err != nil || os.Geteuid() != 0 {
		return nil // opening it says why
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return handover.Become(handover.User{Name: fmt.Sprintf("user %d", st.Uid), UID: st.Uid, GID: st.Gid, Groups: []int{int(st.Gid)}})
}
