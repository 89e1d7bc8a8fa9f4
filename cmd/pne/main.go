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
	"flag"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/transport"
)

// Set by the linker.
var (
	version   string
	buildTime string // of the commit, in seconds since 1970
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return commandLine().Execute(ctx, &command.Console{Stdin: os.Stdin, Stdout: stdout, Stderr: stderr}, args)
}

func commandLine() *command.Program {
	return &command.Program{
		Name:     "pne",
		Summary:  "is a headless device of CPNS, in a program",
		Date:     buildinfo.Date(buildTime),
		Commands: []command.Command{pneCommand, buildinfo.Command("pne", version, buildTime)},
	}
}

var pneCommand = command.Command{
	Options: "--entity-id ID --tk-file FILE --serial DEVICE|--mqtt URL|--usbip AT [options]",
	About:   `Is a headless device: it says hello to a PN GW on one link, a serial line, a broker or USB, takes the EUKey that it is given and proves that it holds it.`,
	Notes: `Standard output has one JSON object a line for each event: hello, stored, authenticated, stayed, refused. The log is on standard error.

exit codes: 0 on SIGTERM, 2 when called wrongly, 1 on anything else.`,
	Example: "pne --entity-id meter-0001 --tk-file meter-0001.tk --serial /dev/ttyUSB0",
	Setup: func(f *flag.FlagSet) command.Run {
		var o options
		finish := o.declare(f)
		return func(ctx context.Context, c *command.Console, _ []string) error {
			if err := finish(); err != nil {
				return command.Misused("%v", err)
			}
			level := slog.LevelInfo
			if o.verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(c.Stderr, &slog.HandlerOptions{Level: level}))
			link, err := o.link(log)
			if err != nil {
				return command.Refused(transport.AsFlag(err)) // what a link refuses to be made of came from a flag
			}
			ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return live(ctx, &o, link, c.Stdout, log)
		}
	},
}

// live is a device's life, until ctx ends.
func live(ctx context.Context, o *options, link transport.Link, stdout io.Writer, log *slog.Logger) error {
	if err := hardening.Memory(); err != nil {
		return err
	}
	tk, err := readTK(o.tkFile)
	if err != nil {
		return err
	}
	defer clear(tk)
	var storage pne.Storage = pne.Volatile{}
	var file *stateFile
	if o.state != "" {
		file = &stateFile{path: o.state, entity: o.entity, epochOnly: o.volatile}
		storage = file
	} else if !o.volatile {
		log.Info("no state file: the EUKey is kept in memory and forgotten when the program ends")
	}
	device, err := pne.New(pne.Config{Entity: o.entity, TK: tk, Storage: storage, Rand: rand.Reader, X25519: o.x25519})
	if err != nil {
		return err
	}
	if file != nil {
		if err := file.rehearse(); err != nil {
			return err
		}
	}
	return newDriver(o, device, link, stdout, log).run(ctx)
}

func newDriver(o *options, device *pne.Device, link transport.Link, stdout io.Writer, log *slog.Logger) *driver {
	d := &driver{
		device: device,
		hellos: pne.NewSchedule(device, o.helloInterval, mathrand.N[time.Duration]),
		link:   link,
		events: &eventWriter{w: stdout, entity: o.entity},
		log:    log,
	}
	if o.exec != "" {
		d.program = newApplication(o.exec, o.label, os.Stderr, log)
	}
	if o.serial.Device != "" {
		d.shared = newSharedLine(link.RetryInterval() / 2)
	}
	return d
}
