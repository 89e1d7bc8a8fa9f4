package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cmd/pngw/internal/api"
	"cpns.example.net/pngw/cmd/pngw/internal/config"
	"cpns.example.net/pngw/cmd/pngw/internal/hooks"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport/https"
)

var runCommand = command.Command{
	Name: "run", Options: "[--supervised]", Summary: "run the agent",
	About: `Runs the agent in the foreground until SIGTERM or SIGINT. It logs to standard error, "ready" once it serves. pngw init must have been run once before.

In the environment, GOMEMLIMIT and GOGC set the Go runtime's memory limit and garbage collection; the limit is 12MiB unless given.`,
	Example: "pngw run --config /etc/config/pngw",
	Setup: func(f *flag.FlagSet) command.Run {
		supervised := f.Bool("supervised", false, "what reads the log adds the time and tells the two outputs apart, as OpenWrt's procd does: information goes to standard output, warnings and errors to standard error; systemd's journal is known without, and gets no times")
		return func(ctx context.Context, c *command.Console, _ []string) error { return run(ctx, c, *supervised) }
	},
}

func run(ctx context.Context, c *command.Console, supervised bool) error {
	boundMemory(agentGC)
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if err := hardening.Memory(); err != nil {
		return err
	}
	// The socket is opened to the group once it is there; nothing else is for
	// others' eyes.
	syscall.Umask(0o077)
	// A log that has gone away is no reason to stop. Not by signal.Ignore, which
	// hooks would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	d, err := newDaemon(ctx, cfg, newLog(c, cfg.Gateway.LogLevel, supervised))
	if err != nil {
		return err
	}
	defer d.close()
	return d.run(ctx)
}

// daemon is the agent with all that it is made of.
type daemon struct {
	cfg      *config.Config
	log      *slog.Logger
	store    *keystore.Store
	agent    *agent.Agent
	hooks    *hooks.Runner
	hotplug  *board.Hotplug
	api      *api.Server
	listener net.Listener
}

// newDaemon checks and opens everything. What it opens before an error is
// closed again by the end of the process that must follow.
func newDaemon(ctx context.Context, cfg *config.Config, log *slog.Logger) (*daemon, error) {
	d := &daemon{cfg: cfg, log: log}
	g := &cfg.Gateway
	psk := &pskFile{path: g.PSKFile, identity: g.PSKIdentity}
	if err := checkFiles(ctx, cfg, psk); err != nil {
		return nil, &command.Exit{Code: command.Usage, Err: err}
	}
	built, _ := buildinfo.Moment(buildTime)
	clock := board.NewClock(built)
	server, err := https.New(https.Config{
		Server:      g.Server,
		CAFile:      g.CA,
		PinSPKI:     g.Pin,
		Path:        cpns.AssignmentPath,
		ContentType: cpns.ContentType,
		MaxResponse: cpns.MaxResponseBody,
		Log:         log,
	})
	if err != nil {
		return nil, &command.Exit{Code: command.Usage, Err: g.Fault("ca", err)} // config has checked the rest
	}
	d.hotplug = board.NewHotplug(log)
	links, types, err := openLinks(cfg, d.hotplug, log)
	if err != nil {
		return nil, &command.Exit{Code: command.Usage, Err: err}
	}
	if len(links) == 0 {
		log.Warn("no link is configured and enabled: keys can be requested, not delivered", "config", cfg.File)
	}

	if d.store, err = openStore(g); err != nil {
		return nil, err
	}
	events := new(api.Events)
	d.hooks = hooks.New(hooks.Config{Dir: g.HookDir, Gateway: g.ID, SessionKey: g.HookSessionKey, Timeout: g.HookTimeout, Log: log})
	d.agent, err = agent.New(agent.Config{
		Gateway: g.ID,
		PSK:     psk,
		Server:  assigner{server},
		Store:   d.store,
		Clock:   clock,
		Links:   links,
		Log:     log,
		Reauth:  g.Reauth,
		Observe: func(e agent.Event) {
			events.Count(e.Kind)
			d.hooks.Observe(e)
		},
	})
	if err != nil {
		return nil, err
	}
	if d.listener, err = api.Listen(g.Socket); err != nil {
		if errors.Is(err, api.ErrRunning) {
			err = fmt.Errorf("%w; stop it first, or give this one a socket of its own", err)
		}
		return nil, err
	}
	d.api = api.New(api.Config{
		Agent: d.agent, Version: build().Version, Server: g.Server, LinkTypes: types,
		Events: events, Hooks: d.hooks, Log: log,
	})
	return d, nil
}

// checkFiles reports what is missing from what a person has to bring.
func checkFiles(ctx context.Context, cfg *config.Config, psk *pskFile) error {
	err := cfg.CheckFiles()
	_, key, pskErr := psk.PSK1(ctx)
	clear(key)
	if pskErr != nil {
		pskErr = cfg.Gateway.Fault("psk_file", explainPSK1(pskErr, cfg.Gateway.ID, cfg.Gateway.PSKFile))
	}
	return errors.Join(pskErr, err)
}

// openStore opens the store with this board's device secret.
func openStore(g *config.Gateway) (*keystore.Store, error) {
	secret, err := deviceSecret(g)
	if err != nil {
		return nil, err
	}
	defer clear(secret[:])
	return keystore.Open(g.Store, secret)
}

func deviceSecret(g *config.Gateway) (*keystore.Secret, error) {
	secret, err := board.New("/").DeviceSecret(g.RootKey)
	if err != nil {
		return nil, err
	}
	return (*keystore.Secret)(&secret), nil
}

// run serves until ctx ends or a part fails, and waits for all parts. The API
// ends first, so that the agent is there for requests to the last.
func (d *daemon) run(ctx context.Context) error {
	agentCtx, stopAgent := context.WithCancel(context.WithoutCancel(ctx))
	apiCtx, stopAPI := context.WithCancel(ctx)
	defer stopAPI()
	var beside sync.WaitGroup // what the agent has for as long as it runs
	beside.Go(func() { d.hooks.Run(agentCtx) })
	var hotplugErr error
	beside.Go(func() { hotplugErr = d.hotplug.Run(agentCtx) })
	agentErr := make(chan error, 1)
	go func() {
		agentErr <- d.agent.Run(agentCtx)
		stopAPI()
	}()
	context.AfterFunc(apiCtx, func() { d.log.Info("stopping") })
	d.log.Info("ready", "gateway", d.cfg.Gateway.ID, "socket", d.cfg.Gateway.Socket, "version", build().Version)
	apiErr := d.api.Serve(apiCtx, d.listener)
	stopAgent()
	err := <-agentErr
	beside.Wait()
	return errors.Join(err, apiErr, hotplugErr)
}

func (d *daemon) close() {
	if err := d.store.Close(); err != nil {
		d.log.Error("closing the store failed", "reason", err)
	}
}

// assigner is an https.Client as the agent wants it.
type assigner struct{ client *https.Client }

func (a assigner) Assign(ctx context.Context, body []byte) ([]byte, time.Duration, error) {
	r, err := a.client.Post(ctx, body)
	return r.Body, r.RetryAfter, err
}
