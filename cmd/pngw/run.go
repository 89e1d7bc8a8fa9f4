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
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/application"
	"cpns.example.net/pngw/agent/audit"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/agent/hooks"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/https"
)

var runCommand = command.Command{
	Name: "run", Options: "[--supervised]", Summary: "run the agent",
	About: `Runs the agent in the foreground until SIGTERM or SIGINT. It logs to standard error, "ready" once it serves. pngw init must have been run once before.

SIGHUP has it read the configuration again: it stops in good order and starts with the new one, unless there is a mistake in that, which is logged; then it goes on as it is. GOMEMLIMIT and GOGC stay what they were. Where SIGHUP says that the terminal is gone that the agent was started at, it ends.

In the environment, GOMEMLIMIT and GOGC set the Go runtime's memory limit and garbage collection; the limit is 12MiB unless given. HTTPS_PROXY is not used: option proxy names a proxy on the way to the server.`,
	Notes:   `exit codes: as those of init; 0 after SIGTERM or SIGINT.`,
	Example: "pngw run --config /etc/config/pngw",
	Setup: func(f *flag.FlagSet) command.Run {
		supervised := f.Bool("supervised", false, "what reads the log adds the time and tells the two outputs apart, as OpenWrt's procd does: information goes to standard output, warnings and errors to standard error; systemd's journal is known without, and gets no times")
		return func(ctx context.Context, c *command.Console, _ []string) error {
			fewerWakeups()
			return asTyped(c, run(ctx, c, *supervised))
		}
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
	r := newReloader(c, supervised)
	defer r.stop()

	next, err := r.take(ctx, cfg)
	var before *taken // that the agent has served with, nil for none
	for err == nil && next != nil {
		now := next
		next, err = r.serve(ctx, now)
		if e := (*unopenedError)(nil); errors.As(err, &e) && before != nil {
			next, err = r.goBack(ctx, before, err)
			before = nil
			continue
		}
		before = now
	}
	return err
}

// daemon is the agent with all that it is made of.
type daemon struct {
	cfg      *config.Config
	log      *slog.Logger
	store    *keystore.Store
	agent    *agent.Agent // nil for a gateway that has no name yet
	enroller *step0.Enroller
	sim      simSource     // nil where PSK1 is from elsewhere
	again    chan struct{} // has an element once the gateway has been enrolled
	gateway  cpns.GatewayID
	hooks    *hooks.Runner
	hotplug  *board.Hotplug
	api      *api.Server
	apps     []*application.Keeper
	audit    *audit.Log   // nil where it cannot be kept
	metrics  net.Listener // nil for none
	page     servedPage   // nil for none
	signs    *signals     // nil for none
	listener net.Listener
}

// newDaemon opens what only one program at a time can have, and makes the agent.
func newDaemon(cfg *config.Config, p *parts, log *slog.Logger) (_ *daemon, err error) {
	d := &daemon{cfg: cfg, log: log, gateway: p.gateway, hotplug: p.hotplug, sim: p.sim, again: make(chan struct{}, 1)}
	defer func() {
		if err == nil {
			return
		}
		if d.metrics != nil {
			d.metrics.Close()
		}
		if d.store != nil {
			d.close()
		}
	}()
	g := &cfg.Gateway
	if len(p.links) == 0 {
		log.Warn("no link is configured and enabled: keys can be requested, not delivered", "config", cfg.File)
	}

	if d.store, err = openStore(g); err != nil {
		return nil, err
	}
	switch found := d.store.Found(); {
	case found.Lost > 0 || found.Old > 0:
		log.Error("the key store is damaged: entries are missing, or older ones are in their place, and nothing says whose: what is known of a device may not be the latest; it is served all the same",
			"store", g.Store, "lost", found.Lost, "older", found.Old)
	case found.Torn > 0:
		log.Info("a power cut came while the key store was being written: what was not finished does not count", "bytes", found.Torn)
	}
	if err := d.enrol(p); err != nil {
		return nil, err
	}
	d.openAudit(p)
	counted := &countedStore{Store: d.store}
	if g.Metrics.IsValid() {
		if d.metrics, err = net.Listen("tcp", g.Metrics.String()); err != nil {
			return nil, g.Fault("metrics", err)
		}
	}
	events := new(api.Events)
	d.hooks = hooks.New(hooks.Config{Dir: g.HookDir, Gateway: p.gateway, SessionKey: g.HookSessionKey, Timeout: g.HookTimeout, Applications: hookApplications(cfg), Log: log})
	if p.gateway == "" {
		d.log.Warn("this gateway has no name yet, and serves no device", "reason", p.waits)
	} else if d.agent, err = agent.New(agent.Config{
		Gateway: p.gateway,
		PSK:     d.source(p),
		Server:  assigner{p.server},
		Store:   counted,
		Clock:   p.clock,
		Links:   p.links,
		Log:     log,
		Reauth:  g.Reauth,
		Active:  p.signs.active(),
		Observe: func(e agent.Event) {
			now, _ := p.clock.Now()
			events.Observe(e, now)
			if e.Kind == agent.EventAlarm {
				d.audit.Note(audit.Entry{Who: "the device", What: "alarm", Entity: string(e.Entity), User: string(e.User), Result: "no key until pngw resolve"})
			}
			for _, k := range d.apps {
				k.Observe(e)
			}
			d.hooks.Observe(e) // the last: it wipes the key
		},
	}); err != nil {
		return nil, err
	}
	if err := d.openApplications(); err != nil {
		return nil, err
	}
	if p.gateway != "" && p.waits != "" {
		d.log.Warn("no PSK1", "reason", p.waits)
	}
	if d.listener, err = api.Listen(g.Socket); err != nil {
		if errors.Is(err, api.ErrRunning) {
			err = fmt.Errorf("%w; stop it first, or give this one a socket of its own", err)
		}
		return nil, err
	}
	d.page = newPage(d, p)
	d.signs = p.signs
	d.api = api.New(api.Config{
		Page:  pagerOf(d.page),
		Signs: p.signs.view(),
		Agent: d.agent, Version: build().Version, Server: p.serverURL, Read: readOf(cfg), LinkTypes: p.types,
		Events: events, Hooks: d.hooks, Log: log,
		Audit: d.audit, Written: counted.written.Load, DeviceMetrics: g.MetricsDevices, Applications: d.applicationCounts(),
		Enroller: d.enroller, Enrolled: p.enrolled, Waits: p.waits, Clock: p.clock, Source: p.source,
	})
	debug.FreeOSMemory() // what it took to begin is not needed again
	return d, nil
}

// readOf is a configuration as status tells of it.
func readOf(cfg *config.Config) api.Read {
	file, err := filepath.Abs(cfg.File)
	if err != nil { // the folder is gone that the program was started in
		file = cfg.File
	}
	return api.Read{File: file, Digest: cfg.Digest}
}

// openAudit opens the audit log. Where that fails devices get their keys all the same.
func (d *daemon) openAudit(p *parts) {
	dir := d.cfg.Gateway.AuditDir
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		d.audit, err = audit.Open(filepath.Join(dir, "log"), func() time.Time { now, _ := p.clock.Now(); return now }, d.log)
	}
	if err != nil {
		d.audit = nil
		d.log.Error("there is no audit log", "reason", err)
	}
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
	beside.Go(func() { d.enroller.Run(agentCtx) })
	beside.Go(func() { d.audit.Run(agentCtx) })
	for _, k := range d.apps {
		beside.Go(func() { k.Run(agentCtx) })
	}
	if d.metrics != nil {
		beside.Go(func() {
			if err := d.api.Export(agentCtx, d.metrics); err != nil {
				d.log.Error("metrics are not served any more", "reason", err)
			}
		})
	}
	if d.sim != nil {
		beside.Go(func() { d.sim.Run(agentCtx) })
	}
	d.signs.run(agentCtx, &beside, d.agent)
	if d.page != nil {
		beside.Go(func() { d.page.Run(apiCtx, d.api, d.agent) })
	}
	agentErr := make(chan error, 1)
	go func() {
		if d.agent == nil {
			<-agentCtx.Done()
			agentErr <- nil
			return
		}
		agentErr <- d.agent.Run(agentCtx)
		stopAPI()
	}()
	context.AfterFunc(apiCtx, func() { d.log.Info("stopping") })
	d.log.Info("ready", "gateway", d.gateway, "socket", d.cfg.Gateway.Socket, "version", build().Version)
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

// assigner is an https.Client as the agent wants it, or nil.
type assigner struct{ client *https.Client }

func (a assigner) Assign(ctx context.Context, body []byte) ([]byte, time.Duration, error) {
	if a.client == nil {
		return nil, 0, &transport.UnreachableError{Reason: "no server is known", Advice: "pngw enrol CODE, or option server"}
	}
	r, err := a.client.Post(ctx, body)
	return r.Body, r.RetryAfter, err
}
