package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"cpns.example.net/pngw/transport/usb"
)

var versionCommand = command{
	name: "version", summary: "show the version and what is in this build",
	help: `Shows the version, how the program was built and what it can do.

example: pngw version
`,
	run: showVersion,
}

func showVersion(ctx context.Context, c *call) error {
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	built := "at an unknown time"
	if t, ok := buildMoment(); ok {
		built = t.UTC().Format(time.RFC3339)
	}
	links := "serial, mqtt"
	if usb.Available() {
		links = "serial, usb, mqtt"
	}
	_, err := fmt.Fprintf(c.stdout, "pngw %s\nbuilt %s, %s %s\nlinks: %s\nUSB: %s\n",
		programVersion(), built, runtime.Version(), target(), links, usbSupport())
	return err
}

// usbSupport says plainly whether a link of type usb can work.
func usbSupport() string {
	if usb.Available() {
		return "in this build"
	}
	return "not in this build"
}

// programVersion is what the linker was told, else what the go command knows.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}

// target is what the program was built for, as in "linux/mipsle softfloat".
func target() string {
	t := runtime.GOOS + "/" + runtime.GOARCH
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return t
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOMIPS", "GOMIPS64":
			t += " " + s.Value
		case "GOARM":
			t += " v" + s.Value
		}
	}
	return t
}

// sourceTime is a time that had passed when this was written: what a clock
// cannot be before, if nothing else is known about the build.
var sourceTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// buildMoment is when the program's source was committed, or was built.
func buildMoment() (t time.Time, known bool) {
	if s, err := strconv.ParseInt(buildTime, 10, 64); err == nil && s > 0 {
		return time.Unix(s, 0), true
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return t, true
			}
		}
	}
	return sourceTime, false
}
