// Pne is a headless device in a program: the PNE's half of CPNS-1 (package
// cpns/pne) on a serial line, USB or an MQTT broker. It stands in for a device in
// tests, demos and bring-up, and shows whoever writes a real one what it has
// to say (docs/integrating.md).
//
// This package puts the parts together and is the only one that reads flags,
// files and signals. Where to read on:
//
//   - driver.go is the life of a device: it says the hellos that are due, and
//     what the device answers; sharedline.go has it wait its turn on a serial line
//   - statefile.go keeps the EUKey through a power cut; tkfile.go reads the TK
//   - options.go has the flags and makes the link, event.go the lines on
//     standard output
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// version is set by the linker: -X main.version=v0.1.0.
var version = "devel"

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	o, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case err != nil:
		return misused(stderr, err)
	case o.version:
		fmt.Fprintln(stdout, "pne", version)
		return exitOK
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	link, err := o.link(log)
	if err != nil {
		return misused(stderr, err) // what a link refuses to be made of came from a flag
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := live(ctx, o, link, stdout, log); err != nil {
		fmt.Fprintf(stderr, "pne: %v\n", err)
		return exitError
	}
	return exitOK
}

// misused says what is wrong with the command line, and where to read on.
func misused(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "pne: %v\npne: run \"pne --help\" to see how it is called\n", err)
	return exitUsage
}

// live is a device's life, until ctx ends.
func live(ctx context.Context, o *options, link transport.Link, stdout io.Writer, log *slog.Logger) error {
	// A core file would hold TK and EUKey.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	tk, err := readTK(o.tkFile, log)
	if err != nil {
		return err
	}
	defer clear(tk)
	var storage pne.Storage = pne.Volatile{}
	if o.state != "" {
		storage = &stateFile{path: o.state, entity: o.entity, epochOnly: o.volatile, log: log}
	} else if !o.volatile {
		log.Info("no state file: the EUKey is kept in memory and forgotten when the program ends")
	}
	device, err := pne.New(pne.Config{Entity: o.entity, TK: tk, Storage: storage, Rand: rand.Reader, X25519: o.x25519})
	if err != nil {
		return err
	}
	d := &driver{
		device: device,
		hellos: pne.NewSchedule(device, o.helloInterval, mathrand.N[time.Duration]),
		link:   link,
		events: &eventWriter{w: stdout, entity: o.entity},
		log:    log,
	}
	if o.serial.Device != "" {
		d.shared = newSharedLine(link.RetryInterval() / 2)
	}
	return d.run(ctx)
}
