package main

import (
	"context"
	"flag"

	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

// Set by the linker.
var (
	version   string
	buildTime string // of the commit, in seconds since 1970
)

var versionCommand = command.Command{
	Name: "version", Options: "[--json]",
	Summary: "say which version this is",
	Setup: func(fs *flag.FlagSet) command.Run {
		asJSON := fs.Bool("json", false, "print it as an object with program, version, built, go and target")
		return func(_ context.Context, c *command.Console, args []string) error {
			build := buildinfo.New("cpns-server", version, buildTime)
			if *asJSON {
				return display.JSON(c.Stdout, build)
			}
			c.Printf("%s", build.Text())
			return nil
		}
	},
}
