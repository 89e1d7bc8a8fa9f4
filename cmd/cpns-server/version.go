package main

import (
	"context"
	"flag"
	"runtime"
	"strconv"
	"time"
)

// Set by the linker.
var (
	version   = "devel"
	buildTime = "" // of the commit, in seconds since 1970
)

var versionCommand = command{
	name:  "version",
	about: "say which version this is",
	flags: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, c *console, args []string) error {
			if err := wantArgs(args); err != nil {
				return err
			}
			built := "at an unknown time"
			if s, err := strconv.ParseInt(buildTime, 10, 64); err == nil {
				built = time.Unix(s, 0).UTC().Format(time.RFC3339)
			}
			c.printf("cpns-server %s\nbuilt %s, %s %s/%s\n", version, built, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		}
	},
}
