package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"cpns.example.net/pngw/cmd/pne/internal/usbip"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
)

// options are what the command line says.
type options struct {
	entity        cpns.EntityID
	tkFile        string
	state         string
	volatile      bool
	x25519        bool
	helloInterval time.Duration
	verbose       bool
	exec          string // the device's program, "" for none
	label         string // of its key

	// Of these one says where its other end is: Device, URL or At.
	serial serial.Config
	mqtt   mqtt.Config
	usbip  usbip.Config
}

// Flags that need another beside them.
var (
	serialFlags = []string{"baud"}
	mqttFlags   = []string{"prefix", "client-id", "username", "password-file", "ca", "cert", "key"}
)

// declare declares the flags, and returns what takes their values over.
func (o *options) declare(f *flag.FlagSet) (finish func() error) {
	o.serial = serial.Config{Name: "serial", Option: "--serial"}
	o.mqtt = mqtt.Config{Name: "mqtt", Role: mqtt.PNE}
	o.usbip = usbip.Config{Name: "usb"}
	entity := f.String("entity-id", "", "its Entity `ID`: 1 to 64 bytes of printable ASCII, no space")
	f.StringVar(&o.tkFile, "tk-file", "", "a `FILE` with its TK, 16 to 64 bytes in hex, as in the server's CSV; nobody else may read it")
	f.StringVar(&o.state, "state", "", "keep the EUKey in `FILE` through a power cut")
	f.BoolVar(&o.volatile, "volatile", false, "keep the EUKey in memory only, as is done without --state; with --state, FILE keeps the highest epoch that was ever taken")
	f.BoolVar(&o.x25519, "x25519", false, "have hellos carry an X25519 key, so that a TK which leaks later opens no notification that was recorded")
	interval := command.Duration(f, "hello-interval", pne.FirstPause, "the first pause between hellos until the gateway answers, a `TIME`; it doubles up to 10m")
	f.StringVar(&o.exec, "exec", "", "run the device's own program, `CMD` for a shell, with its application key: PSK_IDENTITY in the environment, and the key in hex, one line, on descriptor 3. It is run anew for each key, and ended when the key is; one that fails has the device authenticate again")
	f.StringVar(&o.label, "label", cpns.ApplicationTLS13, "the `LABEL` of that key, tls13-psk or tls12-psk, as the program speaks")
	f.BoolVar(&o.verbose, "verbose", false, "log what was heard and not answered, too")
	f.StringVar(&o.serial.Device, "serial", "", "a serial line, its `DEVICE` such as /dev/ttyUSB0")
	f.IntVar(&o.serial.Baud, "baud", serial.DefaultBaud, "the serial line's speed, `N` bits a second")
	f.StringVar(&o.mqtt.URL, "mqtt", "", "a broker, its `URL` mqtt://HOST[:1883] or mqtts://HOST[:8883]")
	f.StringVar(&o.mqtt.Prefix, "prefix", "cpns", "`P`, with which the topics begin")
	f.StringVar(&o.mqtt.ClientID, "client-id", "", "the MQTT client `ID`, for a broker that refuses the one made of the Entity ID")
	f.StringVar(&o.mqtt.Username, "username", "", "the `USER` that the broker knows")
	f.StringVar(&o.mqtt.PasswordFile, "password-file", "", "a `FILE` with that user's password on one line; nobody else may read it")
	f.StringVar(&o.mqtt.CAFile, "ca", "", "a `FILE` with the broker's CA, PEM; the system's otherwise")
	f.StringVar(&o.mqtt.CertFile, "cert", "", "a `FILE` with a client certificate, PEM")
	f.StringVar(&o.mqtt.KeyFile, "key", "", "a `FILE` with the key of --cert, PEM")
	f.StringVar(&o.usbip.At, "usbip", "", "a USB device, `AT` vhci: plugged into this machine's kernel, which needs root and modprobe vhci-hcd; at HOST:PORT: for usbip --tcp-port PORT attach -r HOST -b 1-1")
	return func() error {
		if *entity == "" {
			return errors.New("--entity-id ID is missing")
		}
		id, err := cpns.ParseEntityID(*entity)
		if err != nil {
			return fmt.Errorf("--entity-id: %w", err)
		}
		o.entity = id
		o.mqtt.Entity = string(id)
		o.usbip.Serial = string(id)
		o.helloInterval = *interval
		var given []string
		f.Visit(func(f *flag.Flag) { given = append(given, f.Name) })
		return o.check(given)
	}
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
		return errors.New("--tk-file FILE is missing")
	case o.links() != 1:
		return errors.New("give one link: --serial, --mqtt or --usbip")
	case o.helloInterval < time.Second || o.helloInterval > pne.MaxPause:
		return errors.New("--hello-interval must be 1s to 10m")
	}
	if o.exec == "" {
		if err := useless([]string{"label"}, "--exec"); err != nil {
			return err
		}
	}
	if o.label != cpns.ApplicationTLS13 && o.label != cpns.ApplicationTLS12 {
		return fmt.Errorf("--label %s: want %s or %s", o.label, cpns.ApplicationTLS13, cpns.ApplicationTLS12)
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
