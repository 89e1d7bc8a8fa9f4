//go:build !nopage

package main

import (
	"context"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/api/page"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/internal/hardening"
)

// servedPage is the technician's page, or nil.
type servedPage interface {
	api.Pager
	Run(context.Context, *api.Server, *agent.Agent)
}

// newPage makes the page if one is configured. An error does not stop the agent, which
// works without the page.
func newPage(d *daemon, p *parts) servedPage {
	if !d.cfg.Gateway.Web.IsValid() {
		return nil
	}
	made, err := page.New(page.Config{Address: d.cfg.Gateway.Web, Store: d.store, Gateway: p.gateway, Clock: p.clock, Log: d.log})
	if err != nil {
		d.log.Error("the page is not served", "reason", err)
		return nil
	}
	return made
}

// setPINHere sets the PIN with the store, which no agent has.
func setPINHere(g *config.Gateway, pin api.PIN) error {
	if err := hardening.Memory(); err != nil {
		return err
	}
	if err := actAsOwner(g.Store); err != nil {
		return err
	}
	store, err := openStore(g)
	if err != nil {
		return err
	}
	defer store.Close()
	kept, err := page.NewPIN(pin.Salt, pin.Stretched)
	if err != nil {
		return err
	}
	return page.SetPIN(store, g.ID, kept)
}

// checkPage is for a configuration that has a page.
func checkPage(*config.Gateway) error { return nil }
