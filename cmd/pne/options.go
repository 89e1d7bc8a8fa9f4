package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"cpns.example.net/pngw/cmd/pne/internal/usbip"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
)

const usage = `Pne is a headless device: it says hello to a PN GW, takes the EUKey that it is
given and proves that it holds it.

  pne --entity-id ID --tk-file FILE --serial DEVICE [--baud N] [--state FILE]
  pne --entity-id ID --tk-file FILE --mqtt URL [--prefix P] [--state FILE]
  pne --entity-id ID --tk-file FILE --usbip vhci|HOST:PORT [--state FILE]

the device
  --entity-id ID        its Entity ID: 1 to 64 bytes of printable ASCII, no space
  --tk-file FILE        its TK, 16 to 64 bytes in hex, as in the server's CSV
  --state FILE          keep the EUKey in FILE through a power cut
  --volatile            keep it in memory only, as is done without --state; with
                        it, FILE keeps the highest epoch that was ever taken

its link, one of
  --serial DEVICE       a serial line, such as /dev/ttyUSB0
    --baud N            its speed; 115200
  --mqtt URL            a broker: mqtt://HOST[:1883] or mqtts://HOST[:8883]
    --prefix P          of the topics; cpns
    --username U        and, with one:
    --password-file F   one final newline is not part of the password
    --ca F              the broker's CA, PEM; the system's otherwise
    --cert F --key F    a client certificate, PEM
  --usbip vhci          a USB device, plugged into this machine's kernel, which
                        needs root and modprobe vhci-hcd
  --usbip HOST:PORT     the same, for: usbip --tcp-port PORT attach -r HOST -b 1-1

  --x25519              have hellos carry an X25519 key, so that a TK which leaks
                        later opens no notification that was recorded
  --hello-interval D    the first pause between hellos until the gateway answers,
                        doubling up to 10m; 5s
  --verbose             log what was heard and not answered, too
  --version, --help

Standard output has one JSON object a line for each event: hello, stored,
authenticated, stayed, refused. The log is on standard error. It ends with 0
on SIGTERM, 2 when called wrongly, 1 on anything else.
`

// options are what the command line says.
type options struct {
	entity        cpns.EntityID
	tkFile        string
	state         string
	volatile      bool
	x25519        bool
	helloInterval time.Duration
	verbose       bool
	version       bool

	// Of these one says where its other end is: Device, URL or At.
	serial serial.Config
	mqtt   mqtt.Config
	usbip  usbip.Config
}

// Flags that need another beside them.
var (
	serialFlags = []string{"baud"}
	mqttFlags   = []string{"prefix", "username", "password-file", "ca", "cert", "key"}
)

// parseOptions returns flag.ErrHelp where help is asked for; every other error
// is what the user has to change.
func parseOptions(args []string) (*options, error) {
	o := &options{
		serial: serial.Config{Name: "serial"},
		mqtt:   mqtt.Config{Name: "mqtt", Role: mqtt.PNE},
		usbip:  usbip.Config{Name: "usb"},
	}
	f := flag.NewFlagSet("pne", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	entity := f.String("entity-id", "", "")
	f.StringVar(&o.tkFile, "tk-file", "", "")
	f.StringVar(&o.state, "state", "", "")
	f.BoolVar(&o.volatile, "volatile", false, "")
	f.BoolVar(&o.x25519, "x25519", false, "")
	f.DurationVar(&o.helloInterval, "hello-interval", pne.FirstPause, "")
	f.BoolVar(&o.verbose, "verbose", false, "")
	f.BoolVar(&o.version, "version", false, "")
	f.StringVar(&o.serial.Device, "serial", "", "")
	f.IntVar(&o.serial.Baud, "baud", 0, "")
	f.StringVar(&o.mqtt.URL, "mqtt", "", "")
	f.StringVar(&o.mqtt.Prefix, "prefix", "", "")
	f.StringVar(&o.mqtt.Username, "username", "", "")
	f.StringVar(&o.mqtt.PasswordFile, "password-file", "", "")
	f.StringVar(&o.mqtt.CAFile, "ca", "", "")
	f.StringVar(&o.mqtt.CertFile, "cert", "", "")
	f.StringVar(&o.mqtt.KeyFile, "key", "", "")
	f.StringVar(&o.usbip.At, "usbip", "", "")
	if err := f.Parse(args); err != nil || o.version {
		return o, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	id, err := cpns.ParseEntityID(*entity)
	if err != nil {
		return nil, fmt.Errorf("--entity-id: %w", err)
	}
	o.entity = id
	o.mqtt.Entity = string(id)
	o.usbip.Serial = string(id)
	var given []string
	f.Visit(func(f *flag.Flag) { given = append(given, f.Name) })
	return o, o.check(given)
}

// check refuses flags that do not go together.
func (o *options) check(given []string) error {
	useless := func(names []string, without string) error {
		for _, name := range names {
			if slices.Contains(given, name) {
				return fmt.Errorf("--%s is of no use without %s", name, without)
			}
		}
		return nil
	}
	switch {
	case o.tkFile == "":
		return errors.New("--tk-file is missing")
	case o.links() != 1:
		return errors.New("give one link: --serial, --mqtt or --usbip")
	case o.helloInterval < time.Second || o.helloInterval > pne.MaxPause:
		return errors.New("--hello-interval must be 1s to 10m")
	}
	if o.mqtt.URL == "" {
		if err := useless(mqttFlags, "--mqtt"); err != nil {
			return err
		}
	}
	if o.serial.Device == "" {
		return useless(serialFlags, "--serial")
	}
	return nil
}

// links is how many links were given.
func (o *options) links() int {
	n := 0
	for _, end := range []string{o.serial.Device, o.mqtt.URL, o.usbip.At} {
		if end != "" {
			n++
		}
	}
	return n
}

// link makes the link, which waits for its device, broker or host by itself.
func (o *options) link(log *slog.Logger) (transport.Link, error) {
	switch {
	case o.serial.Device != "":
		o.serial.Log = log
		return serial.New(o.serial)
	case o.usbip.At != "":
		o.usbip.Log = log
		return usbip.New(o.usbip)
	}
	o.mqtt.Log = log
	return mqtt.New(o.mqtt)
}
