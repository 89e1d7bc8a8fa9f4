package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/internal/command"
)

// reloader runs one daemon after the other, each with the configuration as it was
// when SIGHUP came.
type reloader struct {
	console    *command.Console
	supervised bool
	hangup     chan os.Signal
	terminal   bool    // the program was started at a terminal
	serving    *daemon // nil before the first
}

// newReloader listens for SIGHUP from now on, unless the program was started with SIGHUP
// ignored, as nohup does.
func newReloader(c *command.Console, supervised bool) *reloader {
	r := &reloader{console: c, supervised: supervised, hangup: make(chan os.Signal, 1), terminal: hasTerminal()}
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(r.hangup, syscall.SIGHUP)
	}
	return r
}

func (r *reloader) stop() { signal.Stop(r.hangup) }

// A taken configuration has been checked, and its parts have been made.
type taken struct {
	cfg   *config.Config
	parts *parts
	log   *slog.Logger
}

func (r *reloader) take(ctx context.Context, cfg *config.Config) (*taken, error) {
	log := newLog(r.console, cfg.Gateway.LogLevel, r.supervised)
	p, err := newParts(ctx, cfg, r.lookup(), log)
	if err != nil {
		return nil, err
	}
	return &taken{cfg, p, log}, nil
}

// serve runs a daemon until ctx ends or a hangup has brought another configuration,
// and returns that.
func (r *reloader) serve(ctx context.Context, t *taken) (next *taken, err error) {
	d, err := newDaemon(t.cfg, t.parts, t.log)
	if err != nil {
		return nil, &unopenedError{err}
	}
	defer d.close()
	r.serving = d
	ctx, end := context.WithCancel(ctx)
	watched := make(chan *taken, 1)
	go func() {
		defer end()
		watched <- r.watch(ctx, t)
	}()
	err = d.run(ctx)
	end()
	return <-watched, err
}

// unopenedError is why a daemon could not begin, with a configuration that had been taken:
// an address is in use, say.
type unopenedError struct{ error }

func (e *unopenedError) Unwrap() error { return e.error }

// goBack is for a reload whose daemon could not begin: the agent goes on as it was, with
// the configuration before. Its error is why it cannot.
func (r *reloader) goBack(ctx context.Context, before *taken, why error) (*taken, error) {
	for line := range strings.SplitSeq(why.Error(), "\n") {
		before.log.Error("not reloaded, the agent goes on as it was", "reason", line)
	}
	r.serving = nil // its store is closed
	return r.take(ctx, before.cfg)
}

// watch waits for a hangup with which the configuration can be taken, and returns
// it: nil where ctx ends first, or the terminal has.
func (r *reloader) watch(ctx context.Context, t *taken) *taken {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.hangup:
		case <-r.serving.again:
			t.log.Info("enrolled: the agent begins anew")
		}
		if r.terminal && !hasTerminal() {
			t.log.Info("the terminal is gone")
			return nil
		}
		next, err := r.load(ctx)
		if err == nil {
			t.log.Info("reloading", "config", next.cfg.File)
			return next
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			t.log.Error("not reloaded, the agent goes on as it is", "reason", line)
		}
	}
}

func (r *reloader) load(ctx context.Context) (*taken, error) {
	cfg, err := loadConfig(r.console)
	if err != nil {
		return nil, err
	}
	return r.take(ctx, cfg)
}

// hasTerminal tells whether the program can reach a terminal that it is controlled
// by. Once that has hung up, it cannot.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
