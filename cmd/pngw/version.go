package main

import (
	"context"
	"flag"
	"strings"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/transport/usb"
)

var versionCommand = command.Command{
	Name: "version", Options: "[--json]", Summary: "show the version and what is in this build",
	About:   `Shows the version, how the program was built and what it can do.`,
	Example: "pngw version",
	Setup: func(f *flag.FlagSet) command.Run {
		asJSON := f.Bool("json", false, "print it as an object with program, version, built, go, target, links and psk_sources")
		return func(_ context.Context, c *command.Console, _ []string) error {
			v := struct {
				buildinfo.Info
				Links   []string `json:"links"`       // types
				Sources []string `json:"psk_sources"` // values of option psk_source
			}{build(), linkTypes(), pskSources()}
			if *asJSON {
				return display.JSON(c.Stdout, v)
			}
			c.Printf("%slinks: %s\nUSB: %s\nGBA: %s\n", v.Text(), strings.Join(v.Links, ", "), support(usb.Available()), support(hasGBA))
			return nil
		}
	},
}

// build is which build of pngw this is.
func build() buildinfo.Info { return buildinfo.New("pngw", version, buildTime) }

func linkTypes() []string {
	if usb.Available() {
		return []string{"serial", "usb", "mqtt"}
	}
	return []string{"serial", "mqtt"}
}

func pskSources() []string {
	if hasGBA {
		return []string{config.SourceFile, config.SourceTLS, config.SourceGBA}
	}
	return []string{config.SourceFile, config.SourceTLS}
}

// support says plainly whether something can work.
func support(there bool) string {
	if there {
		return "in this build"
	}
	return "not in this build"
}
