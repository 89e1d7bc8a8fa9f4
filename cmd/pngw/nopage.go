//go:build nopage

package main

import (
	"context"
	"errors"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
)

type servedPage interface {
	api.Pager
	Run(context.Context, *api.Server, *agent.Agent)
}

var errNotBuilt = errors.New("this pngw was built without the page: remove the option, or take one that was built with it")

func newPage(*daemon, *parts) servedPage { return nil }

func setPINHere(*config.Gateway, api.PIN) error { return errNotBuilt }

func checkPage(g *config.Gateway) error {
	if g.Web.IsValid() {
		return errNotBuilt
	}
	return nil
}
