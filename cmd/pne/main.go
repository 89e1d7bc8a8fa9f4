// Pne is a headless device in a program: the PNE's half of CPNS-1 (package
// cpns/pne) on a serial line, USB or an MQTT broker. It stands in for a device in
// tests, demos and bring-up, and shows whoever writes a real one what it has
// to say (docs/integrating.md).
//
// This package puts the parts together and is the only one that reads flags,
// files and signals. Where to read on:
//
//   - driver.go is the life of a device: when it says hello, what it does with
//     a message
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
	"os"
	"os/signal"
	"syscall"

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
	o, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "pne: %v\npne: run \"pne --help\" to see how it is called\n", err)
		return exitUsage
	case o.version:
		fmt.Fprintln(stdout, "pne", version)
		return exitOK
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := live(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "pne: %v\n", err)
		return exitError
	}
	return exitOK
}

// live is a device's life, until ctx ends.
func live(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	// A core file would hold TK and EUKey.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))

	tk, err := readTK(o.tkFile, log)
	if err != nil {
		return err
	}
	defer clear(tk)
	var storage pne.Storage = pne.Volatile{}
	if o.state != "" {
		storage = &stateFile{path: o.state, entity: o.entity, log: log}
	} else if !o.volatile {
		log.Info("no state file: the EUKey is kept in memory and forgotten when the program ends")
	}
	device, err := pne.New(pne.Config{Entity: o.entity, TK: tk, Storage: storage, Rand: rand.Reader})
	if err != nil {
		return err
	}
	link, err := o.link(log)
	if err != nil {
		return err
	}
	d := &driver{
		device: device,
		link:   link,
		again:  transport.Backoff{Min: o.helloInterval, Max: max(o.helloInterval, maxHelloInterval)},
		events: &eventWriter{w: stdout, entity: o.entity},
		log:    log,
	}
	return d.run(ctx)
}
