package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/device"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/internal/secretfile"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
	"cpns.example.net/pngw/transport/usb"
)

// reachLimit is how long the link may take to come up.
const reachLimit = 15 * time.Second

var pneCommand = command.Command{
	Name:    "pne",
	Options: "--entity-id ID --tk-file FILE --serial DEVICE|--mqtt URL|--usb ID [--power-cycle CMD] " + conform.Usage,
	Summary: "try a device: the kit plays its gateway",
	About: `Plays a gateway, good and hostile, on the device's own link. Nobody else may speak with the device meanwhile: stop pngw, or take the link out of its configuration.

The device is given EUKeys of the kit's, under epochs that are a day old: the next assignment of a server replaces them.`,
	Notes:   conform.ExitCodes,
	Example: "cpns-conform pne --entity-id meter-1 --tk-file meter-1.tk --serial /dev/ttyS0",
	Setup: func(f *flag.FlagSet) command.Run {
		var report conform.Options
		report.Declare(f)
		var o pneOptions
		finish := o.declare(f)
		return func(ctx context.Context, c *command.Console, _ []string) error {
			var carrier device.Carrier
			if !report.Lists() {
				if err := finish(); err != nil {
					return command.Misused("%v", err)
				}
				var err error
				if carrier, err = o.carrier(); err != nil {
					return command.Refused(transport.AsFlag(err))
				}
			}
			warn := func() {}
			err := device.Suite.Run(ctx, &report, c, conform.Party[*device.Bench]{
				Name: string(o.entity),
				Reach: func(ctx context.Context) (*device.Bench, func(), error) {
					b, leave, err := o.reach(ctx, carrier)
					if err != nil {
						return nil, nil, err
					}
					warning, err := b.Look(ctx)
					if err != nil {
						leave()
						return nil, nil, err
					}
					if warning != "" {
						warn = func() { fmt.Fprintln(c.Stderr, "cpns-conform: "+warning) }
					}
					warn()
					return b, leave, nil
				},
			})
			warn() // again, below the many cases that failed for that
			return err
		}
	},
}

// pneOptions are what the command line says of the device.
type pneOptions struct {
	entity     cpns.EntityID
	gateway    cpns.GatewayID
	tkFile     string
	powerCycle string

	serial serial.Config
	mqtt   mqtt.Config
	usb    usb.Config
}

func (o *pneOptions) declare(f *flag.FlagSet) (finish func() error) {
	o.serial = serial.Config{Name: "serial", Option: "--serial"}
	o.mqtt = mqtt.Config{Name: "mqtt", Role: mqtt.Gateway, NoStatus: true}
	o.usb = usb.Config{Name: "usb", Poll: usbPoll}
	entity := f.String("entity-id", "", "the device's Entity `ID`")
	gateway := f.String("gateway-id", "cpns-conform", "the `ID` that the kit has as a gateway")
	f.StringVar(&o.tkFile, "tk-file", "", "a `FILE` with the device's TK, 16 to 64 bytes in hex; nobody else may read it")
	f.StringVar(&o.powerCycle, "power-cycle", "", "`CMD` for a shell, which takes the device's power away and gives it back before it ends: some cases need that")
	f.StringVar(&o.serial.Device, "serial", "", "a serial line, its `DEVICE` such as /dev/ttyUSB0")
	f.IntVar(&o.serial.Baud, "baud", serial.DefaultBaud, "the serial line's speed, `N` bits a second")
	f.StringVar(&o.mqtt.URL, "mqtt", "", "a broker, its `URL` mqtt://HOST[:1883] or mqtts://HOST[:8883]")
	f.StringVar(&o.mqtt.Prefix, "prefix", mqtt.DefaultPrefix, "`P`, with which the topics begin")
	f.StringVar(&o.mqtt.Username, "username", "", "the `USER` that the broker knows as a gateway")
	f.StringVar(&o.mqtt.PasswordFile, "password-file", "", "a `FILE` with that user's password on one line; nobody else may read it")
	f.StringVar(&o.mqtt.CAFile, "ca", "", "a `FILE` with the broker's CA, PEM; the system's otherwise")
	f.StringVar(&o.mqtt.CertFile, "cert", "", "a `FILE` with a client certificate, PEM")
	f.StringVar(&o.mqtt.KeyFile, "key", "", "a `FILE` with the key of --cert, PEM")
	f.StringVar(&o.usb.ID, "usb", "", "a USB device, its `ID` VVVV:PPPP, or any for one of the protocol's class (builds with USB only)")
	f.StringVar(&o.usb.Serial, "usb-serial", "", "the USB device's serial `NUMBER`, to tell several apart")
	return func() error {
		id, err := cpns.ParseEntityID(*entity)
		if *entity == "" {
			return errors.New("--entity-id ID is missing")
		} else if err != nil {
			return fmt.Errorf("--entity-id: %w", err)
		}
		g, err := cpns.ParseGatewayID(*gateway)
		if err != nil {
			return fmt.Errorf("--gateway-id: %w", err)
		}
		o.entity, o.gateway, o.mqtt.Entity = id, g, string(g)
		if o.tkFile == "" {
			return errors.New("--tk-file FILE is missing")
		}
		links := 0
		for _, end := range []string{o.serial.Device, o.mqtt.URL, o.usb.ID} {
			if end != "" {
				links++
			}
		}
		if links != 1 {
			return errors.New("give one link: --serial, --mqtt or --usb")
		}
		if o.usb.ID == "any" {
			o.usb.ID = ""
		}
		return nil
	}
}

// usbPoll is how often a device is looked for that was unplugged with its power: soon, as its
// first hellos wait until somebody reads, and some cases are about when they come.
const usbPoll = 100 * time.Millisecond

// carrier makes the way to the device.
func (o *pneOptions) carrier() (device.Carrier, error) {
	switch {
	case o.serial.Device != "":
		if _, err := serial.New(o.serial); err != nil { // looks at the options
			return nil, err
		}
		return device.OverPort(func() (device.Port, error) {
			return serial.Open(o.serial.Device, o.serial.Baud, "--serial")
		}, transport.RetryLine(o.serial.Baud)), nil
	case o.mqtt.URL != "":
		l, err := mqtt.New(o.mqtt)
		if err != nil {
			return nil, err
		}
		return device.OverLink(l, string(o.entity)), nil
	}
	if !usb.Available() {
		return nil, errors.New("--usb: this build has no USB support: build cpns-conform with -tags usb (a C compiler and the headers of libusb-1.0 are needed), or take another link")
	}
	l, err := usb.New(o.usb)
	if err != nil {
		return nil, err
	}
	return device.OverLink(l, string(o.entity)), nil
}

// ask is what to look at where no hello comes.
func (o *pneOptions) ask() string {
	switch {
	case o.serial.Device != "":
		return "is it on, is --baud right, are A and B (or RX and TX) the right way round, is that its Entity ID?"
	case o.mqtt.URL != "":
		return "is it on and at that broker, is --prefix right, is that its Entity ID?"
	}
	return "is it on, is that its Entity ID?"
}

// reach begins to listen to the device.
func (o *pneOptions) reach(ctx context.Context, carrier device.Carrier) (*device.Bench, func(), error) {
	if err := hardening.Memory(); err != nil {
		return nil, nil, err
	}
	raw, err := secretfile.Key(o.tkFile, cpns.MaxTKSize)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the TK: %w", err)
	}
	tk, err := cpns.ParseTK(raw)
	clear(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.tkFile, err)
	}
	config := device.Config{Entity: string(o.entity), Gateway: string(o.gateway), TK: tk, Carrier: carrier, Ask: o.ask()}
	if o.powerCycle != "" {
		config.PowerCycle = o.cycle
	}
	b := device.New(ctx, config)
	if err := b.WaitUp(ctx, reachLimit); err != nil {
		b.Close()
		return nil, nil, err
	}
	return b, func() { b.Close(); clear(tk) }, nil
}

// cycle runs the command that cycles the power. It is ended with ctx, and all that it
// has started.
func (o *pneOptions) cycle(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", o.powerCycle)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("--power-cycle: %w", err)
	}
	return nil
}
