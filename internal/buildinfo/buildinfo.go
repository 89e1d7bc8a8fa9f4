// Package buildinfo says which build of a program this is.
package buildinfo

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// Info is what is known about a build.
type Info struct {
	Program string `json:"program"`
	Version string `json:"version"`
	Built   string `json:"built,omitempty"` // RFC 3339; when the source was committed, or built
	Go      string `json:"go"`
	Target  string `json:"target"` // such as "linux/mipsle softfloat"
}

// New gathers what the linker was told, else what the go command knows. linked is
// when the source was committed, in seconds since 1970.
func New(program, version, linked string) Info {
	info := Info{Program: program, Version: version, Go: runtime.Version(), Target: target()}
	if info.Version == "" {
		info.Version = "devel"
		if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
			info.Version = build.Main.Version
		}
	}
	if t, known := Moment(linked); known {
		info.Built = t.UTC().Format(time.RFC3339)
	}
	return info
}

// Text is the beginning of what "version" prints.
func (i Info) Text() string {
	built := i.Built
	if built == "" {
		built = "at an unknown time"
	}
	return i.Program + " " + i.Version + "\nbuilt " + built + ", " + i.Go + " " + i.Target + "\n"
}

// target is what the program was built for.
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

// Moment is when the program's source was committed, or was built; linked is
// what the linker was told of it.
func Moment(linked string) (t time.Time, known bool) {
	if s, err := strconv.ParseInt(linked, 10, 64); err == nil && s > 0 {
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

// Date is the day of Moment.
func Date(linked string) string {
	t, _ := Moment(linked)
	return t.UTC().Format(time.DateOnly)
}
