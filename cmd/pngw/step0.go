package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport/https"
)

// known is who this gateway is, and how it gets PSK1: what is configured, and where
// that is silent, what enrolment left.
type known struct {
	gateway   cpns.GatewayID // "" for not known yet
	serverURL string         // "" for not known yet
	pins      pinning        // what the server is known by; none: by CA and roots
	source    string         // of PSK1: config.SourceFile and so on
	enrolled  *step0.Enrolment
	waits     string // what a person has to do before there can be a PSK1; "" for nothing
}

// know puts the two together. Where they contradict each other that is a fault which
// names both; a gateway that is told to take PSK1 from elsewhere is what it is
// configured as.
func know(g *config.Gateway, enrolled *step0.Enrolment, all *findings) known {
	k := known{gateway: g.ID, serverURL: g.Server, source: g.PSKSource, enrolled: enrolled}
	if k.source == "" {
		k.source = config.SourceFile
		if enrolled != nil {
			k.source = config.SourceTLS
		}
	}
	if k.source == config.SourceGBA && enrolled == nil && (k.gateway == "" || k.serverURL == "") {
		err := errors.New("with gba the gateway has to be told its name and its server: option id, option server")
		all.add(err, g.Fault("psk_source", err))
		return k
	}
	if enrolled == nil {
		if k.source == config.SourceTLS || k.gateway == "" || k.serverURL == "" {
			k.waits = step0.NotEnrolled
		}
		return k
	}
	contradicts := func(option, configured, is string) {
		err := fmt.Errorf("it says %s, and this gateway is enrolled as %s at %s: remove the option, or enrol anew: pngw enrol --move CODE", configured, enrolled.Gateway, is)
		all.add(err, g.Fault(option, err))
	}
	own := k.source != config.SourceTLS
	switch {
	case k.gateway == "":
		k.gateway = enrolled.Gateway
	case k.gateway != enrolled.Gateway && !own:
		contradicts("id", string(k.gateway), enrolled.Server)
	}
	switch {
	case k.serverURL == "":
		k.serverURL = "https://" + enrolled.Server
	case !sameServer(k.serverURL, enrolled.Server) && !own:
		contradicts("server", k.serverURL, enrolled.Server)
	}
	// Another source and a CA of one's own are another way to know the server.
	if !own || g.Server == "" && g.CA == "" {
		k.pins = func() []cpns.Pin { return enrolled.Pins }
	}
	return k
}

// pinning gives the pins of the gateway's server as they are now; nil for none.
type pinning func() []cpns.Pin

func (p pinning) https() (pins []https.Pin) {
	if p == nil {
		return nil
	}
	for _, pin := range p() {
		pins = append(pins, https.Pin(pin))
	}
	return pins
}

// sameServer tells whether a URL is of the server that a code names.
func sameServer(configured, enrolled string) bool {
	u, err := url.Parse(configured)
	if err != nil {
		return true // https.New says what is wrong with it
	}
	host := u.Host
	if u.Port() == "" {
		host += ":443"
	}
	return strings.EqualFold(host, enrolled)
}

// lookup finds what enrolment left, nil for nothing.
type lookup func(context.Context, *config.Gateway) (*step0.Enrolment, error)

// lookInStore looks in the store, or asks the agent that has it open. A store that is
// not there or does not open has no enrolment; who needs it says what is wrong with it.
func lookInStore(ctx context.Context, g *config.Gateway) (*step0.Enrolment, error) {
	store, err := openStore(g)
	if errors.Is(err, keystore.ErrLocked) {
		e, err := api.NewClient(g.Socket).Enrolment(ctx)
		if err != nil || e.Enrolled == "" {
			return nil, nil
		}
		return &step0.Enrolment{Gateway: e.Gateway, Server: e.Enrolled, Pins: e.Pins}, nil
	}
	if err != nil {
		return nil, nil
	}
	defer store.Close()
	return step0.Look(store)
}

// lookup is lookInStore for a program that may have the store open itself.
func (r *reloader) lookup() lookup {
	d := r.serving
	return func(ctx context.Context, g *config.Gateway) (*step0.Enrolment, error) {
		if d != nil && d.cfg.Gateway.Store == g.Store {
			return step0.Look(d.store)
		}
		return lookInStore(ctx, g)
	}
}

// newEnroller makes what enrols the gateway of a configuration.
func newEnroller(g *config.Gateway, cfg step0.Config) (*step0.Enroller, error) {
	cfg.Gateway = g.ID
	cfg.Exchange = func(ctx context.Context, q step0.Question) (*step0.Answer, error) { return exchange(ctx, g.Proxy, q) }
	if id, err := board.New("/").Identity(); err == nil {
		cfg.Hints = step0.Hints{Model: id.Model, Serial: id.Serial, MACs: macs(id)}
	}
	return step0.New(cfg)
}

const maxMACs = 16

func macs(id board.Identity) (macs []string) {
	for _, text := range id.IDs {
		if mac, ok := strings.CutPrefix(text, "mac:"); ok && len(macs) < maxMACs {
			macs = append(macs, mac)
		}
	}
	return macs
}

// exchange is https.Exchange as step 0 wants it.
func exchange(ctx context.Context, proxy string, q step0.Question) (*step0.Answer, error) {
	cfg := https.ExchangeConfig{Server: "https://" + q.Server, Certificate: q.Certificate, Proxy: proxy, ProxyIgnored: proxyInEnvironment()}
	for _, pin := range q.Pins {
		cfg.Pins = append(cfg.Pins, https.Pin(pin))
	}
	var body func(https.Exporter) ([]byte, error)
	if q.Body != nil {
		body = func(export https.Exporter) ([]byte, error) { return q.Body(step0.Export(export)) }
	}
	a, err := https.Exchange(ctx, cfg, q.Path, body)
	if err != nil {
		return nil, err
	}
	return &step0.Answer{Status: a.Status, Type: a.Type, Body: a.Body, RetryAfter: a.RetryAfter, Export: step0.Export(a.Export)}, nil
}

// enrol makes the daemon's enroller, and takes up the code of the configuration.
func (d *daemon) enrol(p *parts) (err error) {
	d.enroller, err = newEnroller(&d.cfg.Gateway, step0.Config{
		Store: d.store, Log: d.log,
		Now: func() time.Time { now, _ := p.clock.Now(); return now }, // the agent's: it judges by that when a key is over
		Enrolled: func() {
			select {
			case d.again <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return err
	}
	if p.pins != nil { // as each PSK1 brings them
		p.pins = d.enroller.Pins
	}
	if d.cfg.Gateway.Enrol == nil {
		return nil
	}
	return d.enroller.Configured(d.cfg.Gateway.Enrol)
}

// source is where the agent gets PSK1.
func (d *daemon) source(p *parts) agent.PSKSource {
	switch p.source {
	case config.SourceTLS:
		return d.enroller
	case config.SourceGBA:
		return p.sim
	}
	return fileSource{p.psk}
}
