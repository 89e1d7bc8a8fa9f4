package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/application"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/agent/hooks"
)

// hookApplications are the applications that get their keys by hooks.
func hookApplications(cfg *config.Config) (apps []hooks.Application) {
	for _, a := range cfg.Apps {
		if a.Enabled && a.Type == config.AppHook {
			apps = append(apps, hooks.Application{Name: a.Name, Label: a.Label})
		}
	}
	return apps
}

// openApplications makes the keepers of the applications that read a file. It must be
// called before the agent runs, because a keeper has to hear all of the agent's events.
func (d *daemon) openApplications() error {
	var known []agent.PNE
	if d.agent != nil {
		known = d.agent.Known()
	}
	for i := range d.cfg.Apps {
		a := &d.cfg.Apps[i]
		if !a.Enabled || a.Type != config.AppFile {
			continue
		}
		k, err := application.New(application.Config{Name: a.Name, Label: a.Label, Path: a.Path, PID: a.PID, Notify: a.Notify, Log: d.log}, known)
		if err != nil {
			return a.Fault("path", err)
		}
		d.apps = append(d.apps, k)
	}
	return nil
}

// checkApplications looks at where the files are to be. OpenWrt's init script makes those
// folders that are not configured, before it has the agent look.
func checkApplications(cfg *config.Config, all *findings) {
	for i := range cfg.Apps {
		a := &cfg.Apps[i]
		if !a.Enabled || a.Type != config.AppFile {
			continue
		}
		err := application.Check(a.Path)
		if _, here := os.Stat(initScript); here == nil && errors.Is(err, fs.ErrNotExist) && filepath.Dir(a.Path) == config.ApplicationFolder+"/"+a.Name {
			continue
		}
		all.add(err, a.Fault("path", err))
	}
}

// applicationCounts are how many devices have keys for each.
func (d *daemon) applicationCounts() map[string]func() int {
	counts := map[string]func() int{}
	for _, k := range d.apps {
		counts[k.Name()] = k.Count
	}
	return counts
}
