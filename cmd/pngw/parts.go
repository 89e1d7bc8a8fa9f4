package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/https"
)

// parts are what the agent is made of, except for the store and the socket, which only one
// program at a time can have.
type parts struct {
	clock   *board.Clock
	known                 // who this gateway is, and where it gets PSK1
	psk     *pskFile      // where that is a file
	sim     simSource     // where that is a SIM
	server  *https.Client // nil where no server is known yet
	hotplug *board.Hotplug
	links   []transport.Link
	types   map[string]string // of links, by name
	signs   *signals          // lights and button, nil for none
	running bool              // an agent has the socket
}

// newParts makes the parts from the configuration. Both pngw init and pngw run call it, so
// that init finds every mistake that would stop the agent. It opens every file, and
// therefore checks the permissions of the user who runs it.
//
// All mistakes are reported at once, each with its line. The exit code distinguishes
// mistakes from files that are merely missing and have to be provided by a person.
func newParts(ctx context.Context, cfg *config.Config, look lookup, log *slog.Logger) (*parts, error) {
	g := &cfg.Gateway
	p := &parts{hotplug: board.NewHotplug(log)}
	built, _ := buildinfo.Moment(buildTime)
	p.clock = board.NewClock(built)
	var all findings

	enrolled, err := look(ctx, g)
	all.add(err, g.Fault("store", err))
	p.known = know(g, enrolled, &all)
	p.psk = &pskFile{path: g.PSKFile, identity: cmp.Or(g.PSKIdentity, cpns.PSKIdentity(p.gateway))}
	if p.source == config.SourceFile {
		_, key, err := p.psk.PSK1(ctx)
		clear(key)
		if errors.Is(err, fs.ErrNotExist) {
			p.waits = fmt.Sprintf("%s (%s)", step0.NotEnrolled, howToGetPSK1(p.gateway, g.PSKFile))
		} else {
			all.add(err, g.Fault("psk_file", err))
		}
	}

	if p.source == config.SourceGBA {
		var option string
		p.sim, option, err = newSIM(&g.GBA, p.serverURL, p.clock, log)
		all.add(err, g.Fault(option, err))
	}

	if !all.files(g.Files(), g.Fault) && (p.serverURL != "" || p.waits == "") {
		p.server, err = https.New(https.Config{
			Server:       p.serverURL,
			Pins:         func() []https.Pin { return p.pins.https() },
			CAFile:       g.CA,
			PinSPKI:      g.Pin,
			Proxy:        g.Proxy,
			ProxyIgnored: proxyInEnvironment(),
			Path:         cpns.AssignmentPath,
			ContentType:  cpns.ContentType,
			MaxResponse:  cpns.MaxResponseBody,
			Log:          log,
		})
		all.add(err, g.Fault("server", err))
	}
	p.openLinks(cfg, cmp.Or(p.gateway, "not-enrolled"), log, &all)

	err = tryMemLimit(ctx, cfg.Service.GoMemLimit)
	all.add(err, cfg.Service.Fault("gomemlimit", err))

	checkApplications(cfg, &all)

	p.signs, err = newSignals(g, p.hotplug)
	all.add(err, g.Fault("button", err))

	err = checkPage(g)
	all.add(err, g.Fault("web", err))

	err = api.Check(g.Socket)
	p.running = errors.Is(err, api.ErrRunning)
	if !p.running {
		all.add(err, g.Fault("socket", err))
	}
	return p, all.err()
}

// proxyInEnvironment reports whether a proxy is set in the environment, which is ignored.
func proxyInEnvironment() bool {
	return os.Getenv("HTTPS_PROXY") != "" || os.Getenv("https_proxy") != ""
}

// findings are what is wrong with a configuration, or missing.
type findings struct {
	faults []error
	wrong  bool // at least one of them is not just a missing file
}

// add adds what err is the reason of, if it is one. That a file is not there is the
// one thing that a person can bring.
func (all *findings) add(err, fault error) {
	if err == nil {
		return
	}
	all.faults = append(all.faults, fault)
	all.wrong = all.wrong || !errors.Is(err, fs.ErrNotExist)
}

// files adds those files that cannot be opened, and tells whether there are any.
func (all *findings) files(files []config.File, fault func(option string, err error) error) (any bool) {
	for _, file := range files {
		f, err := os.Open(file.Path)
		if err == nil {
			f.Close()
			continue
		}
		any = true
		reason := err
		if e := (*fs.PathError)(nil); errors.As(err, &e) {
			reason = fmt.Errorf("%s: %w", file.Path, e.Err)
		}
		if file.Option == "ca" && errors.Is(err, fs.ErrNotExist) {
			reason = fmt.Errorf("%w; the CPNS Server's is DIR/ca.pem there, a broker's is its operator's to give", reason)
		}
		all.add(err, fault(file.Option, reason))
	}
	return any
}

func (all *findings) err() error {
	switch {
	case all.wrong:
		return &command.Exit{Code: command.Usage, Err: errors.Join(all.faults...)}
	case len(all.faults) > 0:
		return &command.Exit{Code: exitMissing, Err: errors.Join(all.faults...)}
	}
	return nil
}
