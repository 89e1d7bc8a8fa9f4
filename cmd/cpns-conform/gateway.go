package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/againstgateway"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/device"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/internal/secretfile"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
)

var gatewayCommand = command.Command{
	Name:    "gateway",
	Options: "--dir DIR --gateway-id ID --serial DEVICE|--mqtt URL [--do CMD] [options] " + conform.Usage,
	Summary: "try a gateway: the kit plays its server and its devices",
	About: `Plays the CPNS Server that the gateway asks, and devices on its link, good ones and hostile ones. Give the gateway, for this, the server, the CA and the PSK1 that --prepare names; nothing else may speak on the link meanwhile.

The cases ask the gateway to take devices in, about a hundred of them, whose names begin with conform-. --do CMD does it; without, the kit asks you to. A command is run by a shell, with CPNS_ENTITY_ID, CPNS_USER and CPNS_PASSWORD_FILE in its environment, and may return when the gateway has been asked or when it is done; its exit code does not matter. Where a command is not given, the cases that need it are not applicable.`,
	Notes:   conform.ExitCodes,
	Example: "cpns-conform gateway --dir conform --gateway-id gw-0001 --prepare",
	Setup: func(f *flag.FlagSet) command.Run {
		var report conform.Options
		report.Declare(f)
		var o gatewayOptions
		o.declare(f)
		return func(ctx context.Context, c *command.Console, _ []string) error {
			if !report.Lists() {
				if err := o.check(); err != nil {
					return command.Misused("%v", err)
				}
				if err := o.checkLink(); err != nil {
					return command.Refused(err)
				}
			}
			if o.prepare {
				return o.prepared(c)
			}
			return againstgateway.Suite.Run(ctx, &report, c, conform.Party[*againstgateway.Bench]{
				Name:  o.gateway,
				Reach: func(ctx context.Context) (*againstgateway.Bench, func(), error) { return o.reach(ctx, c) },
			})
		}
	},
}

// gatewayOptions are what the command line says of the gateway.
type gatewayOptions struct {
	dir, gateway, user, listen, hosts string
	prepare                           bool
	do, authenticate, state, restart  string
	quiet, patience                   *time.Duration

	serial serial.Config
	mqtt   mqtt.Config
}

func (o *gatewayOptions) declare(f *flag.FlagSet) {
	f.StringVar(&o.dir, "dir", "", "a `DIR` for what the kit has as a server: a CA, a PSK1 and a password; it is made where there is none")
	f.BoolVar(&o.prepare, "prepare", false, "make what --dir needs, say how the gateway is to be configured, and try nothing")
	f.StringVar(&o.gateway, "gateway-id", "", "the gateway's `ID`, which is the identity of its PSK1 too")
	f.StringVar(&o.user, "user", "alice", "the CPNS User who asks, an `ID`")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8444", "the server's `ADDRESS`")
	f.StringVar(&o.hosts, "host", "", "the `NAMES` that the gateway may call the server by, with commas between; the host of --listen otherwise")
	f.StringVar(&o.do, "do", "", "`CMD` has the gateway take in the device $CPNS_ENTITY_ID for the user $CPNS_USER")
	f.StringVar(&o.authenticate, "authenticate", "", "`CMD` has the gateway authenticate the device and move it on to its next key")
	f.StringVar(&o.state, "state", "", "`CMD` prints what the gateway says of the device; \"alarm\" in it, where there is one")
	f.StringVar(&o.restart, "restart", "", "`CMD` ends the gateway without warning and starts it again, and returns when it serves")
	o.quiet = command.Duration(f, "quiet", 3*time.Second, "nothing that has not come within this `TIME` comes any more")
	o.patience = command.Duration(f, "patience", 0, "the gateway does what it has to within this `TIME`; 15s otherwise, and 2m where there is no --do")
	f.StringVar(&o.serial.Device, "serial", "", "the other end of the gateway's serial line, a `DEVICE`")
	f.IntVar(&o.serial.Baud, "baud", serial.DefaultBaud, "the line's speed, `N` bits a second")
	f.StringVar(&o.mqtt.URL, "mqtt", "", "the gateway's broker, its `URL` mqtt://HOST[:1883] or mqtts://HOST[:8883]")
	f.StringVar(&o.mqtt.Prefix, "prefix", mqtt.DefaultPrefix, "`P`, with which the topics begin")
	f.StringVar(&o.mqtt.Username, "mqtt-user", "", "the `USER` that the broker knows as devices")
	f.StringVar(&o.mqtt.PasswordFile, "mqtt-password-file", "", "a `FILE` with that user's password on one line")
	f.StringVar(&o.mqtt.CAFile, "mqtt-ca", "", "a `FILE` with the broker's CA, PEM; the system's otherwise")
}

func (o *gatewayOptions) check() error {
	if o.dir == "" {
		return errors.New("--dir DIR is missing")
	}
	if _, err := cpns.ParseGatewayID(o.gateway); o.gateway == "" {
		return errors.New("--gateway-id ID is missing")
	} else if err != nil {
		return fmt.Errorf("--gateway-id: %w", err)
	}
	if _, err := cpns.ParseUserID(o.user); err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	host, port, err := net.SplitHostPort(o.listen)
	if err != nil || port == "" {
		return errors.New("--listen ADDRESS is HOST:PORT")
	}
	if o.hosts == "" {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			return errors.New("--host NAMES is missing: by what name does the gateway call the server?")
		}
		o.hosts = host
	}
	if !o.prepare && (o.serial.Device == "") == (o.mqtt.URL == "") {
		return errors.New("give one link: --serial or --mqtt")
	}
	if *o.quiet <= 0 || *o.patience < 0 {
		return errors.New("--quiet and --patience are times")
	}
	if *o.patience == 0 {
		*o.patience = 15 * time.Second
		if o.do == "" {
			*o.patience = 2 * time.Minute
		}
	}
	return nil
}

// Files of --dir.
const (
	certificatesFile = "server.pem" // with its keys: the kit's alone
	caFile           = "ca.pem"
	pskFile          = "psk1"
	passwordFile     = "password"
)

// belongings are what the kit has as a server.
type belongings struct {
	certs    *againstgateway.Certificates
	psk      []byte
	password []byte
}

// belongings reads what is in --dir, and makes what is not.
func (o *gatewayOptions) belongings() (*belongings, error) {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	path := func(name string) string { return filepath.Join(o.dir, name) }
	for name, size := range map[string]int{pskFile: 32, passwordFile: 12} {
		secret := againstgateway.Random(size)
		err := durable.WriteNew(path(name), fmt.Appendf(nil, "%x\n", secret), 0o600)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	b := new(belongings)
	var err error
	if b.psk, err = secretfile.Key(path(pskFile), cpns.MaxPSK1Size); err != nil {
		return nil, err
	}
	if b.password, err = secretfile.Read(path(passwordFile), 1024); err != nil {
		return nil, secretfile.About(path(passwordFile), err)
	}
	hosts := strings.Split(o.hosts, ",")
	text, err := os.ReadFile(path(certificatesFile))
	if errors.Is(err, fs.ErrNotExist) {
		if b.certs, err = againstgateway.NewCertificates(hosts...); err != nil {
			return nil, err
		}
		if text, err = b.certs.Marshal(); err != nil {
			return nil, err
		}
		if err := durable.WriteNew(path(certificatesFile), text, 0o600); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	} else if b.certs, err = againstgateway.ParseCertificates(text, hosts...); err != nil {
		return nil, fmt.Errorf("%s: %w: remove it, and give the gateway the %s that is made then", path(certificatesFile), err, caFile)
	}
	return b, durable.Replace(path(caFile), b.certs.CA, 0o644)
}

// prepared says how the gateway is to be configured.
func (o *gatewayOptions) prepared(c *command.Console) error {
	if _, err := o.belongings(); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(o.listen)
	host, _, _ := strings.Cut(o.hosts, ",")
	c.Printf("configure the gateway like this, and start it:\n"+
		"  its ID             %s\n"+
		"  CPNS Server        https://%s\n"+
		"  CA to trust        %s\n"+
		"  PSK1, in hex       %s\n"+
		"  PSK1's identity    %s\n"+
		"then have devices taken in for user %s, whose password is in %s\n",
		o.gateway, net.JoinHostPort(host, port), filepath.Join(o.dir, caFile), filepath.Join(o.dir, pskFile), o.gateway, o.user, filepath.Join(o.dir, passwordFile))
	return nil
}

// reach begins to serve, and goes where the devices are.
func (o *gatewayOptions) reach(ctx context.Context, c *command.Console) (*againstgateway.Bench, func(), error) {
	if err := hardening.Memory(); err != nil {
		return nil, nil, err
	}
	has, err := o.belongings()
	if err != nil {
		return nil, nil, err
	}
	medium, leave, err := o.medium(ctx)
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		leave()
		return nil, nil, err
	}
	config := againstgateway.Config{
		GatewayID: o.gateway, PSK1: has.psk, User: o.user, Password: has.password,
		Listener: listener, TLS: has.certs, Medium: medium,
		Tell:  func(text string) { fmt.Fprintln(c.Stderr, "cpns-conform: "+text) },
		Quiet: *o.quiet, Patience: *o.patience,
	}
	if o.do != "" {
		config.Do = o.hook("--do", o.do)
	}
	if o.authenticate != "" {
		config.Authenticate = o.hook("--authenticate", o.authenticate)
	}
	if o.state != "" {
		config.State = func(ctx context.Context, entity string) (string, error) {
			return o.run(ctx, "--state", o.state, entity)
		}
	}
	if o.restart != "" {
		restart := o.hook("--restart", o.restart)
		config.Restart = func(ctx context.Context) error { return restart(ctx, "") }
	}
	b, err := againstgateway.New(config)
	if err != nil {
		listener.Close()
		leave()
		return nil, nil, err
	}
	if err := b.Check(ctx); err != nil {
		b.Close()
		leave()
		return nil, nil, err
	}
	return b, func() { b.Close(); leave() }, nil
}

// checkLink looks at the link's options: what they make no sense of was typed wrongly.
func (o *gatewayOptions) checkLink() error {
	var err error
	switch {
	case o.mqtt.URL != "":
		look := o.mqtt
		look.Name, look.Role, look.Entity = "broker", mqtt.PNE, "conform"
		_, err = mqtt.New(look)
	case o.serial.Device != "":
		o.serial.Name = "serial"
		_, err = serial.New(o.serial)
	}
	if e, ok := errors.AsType[*transport.OptionError](err); ok {
		if flag, ok := mqttFlags[e.Option]; ok {
			return &transport.OptionError{Option: flag, Err: e.Err}
		}
	}
	return transport.AsFlag(err)
}

// mqttFlags are the flags for options of a broker that have a name of their own here.
var mqttFlags = map[string]string{"username": "--mqtt-user", "password_file": "--mqtt-password-file", "ca": "--mqtt-ca"}

func (o *gatewayOptions) medium(ctx context.Context) (againstgateway.Medium, func(), error) {
	if o.mqtt.URL != "" {
		return againstgateway.OverBroker(o.mqtt), func() {}, nil
	}
	return againstgateway.OverLine(ctx, device.OverPort(func() (device.Port, error) {
		return serial.Open(o.serial.Device, o.serial.Baud, "--serial")
	}, transport.RetryLine(o.serial.Baud)))
}

// maxPrinted is how much of what a command prints is kept.
const maxPrinted = 64 << 10

// hook is a command of the user's.
func (o *gatewayOptions) hook(option, line string) func(context.Context, string) error {
	return func(ctx context.Context, entity string) error {
		_, err := o.run(ctx, option, line, entity)
		return err
	}
}

// run runs a command, which is ended with ctx, and all that it has started and that has
// stayed with it: a gateway that it starts has to leave its process group, as setsid does.
func (o *gatewayOptions) run(ctx context.Context, option, line, entity string) (printed string, err error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return "", err
	}
	cmd.Env = append(os.Environ(), "CPNS_ENTITY_ID="+entity, "CPNS_USER="+o.user, "CPNS_PASSWORD_FILE="+filepath.Join(dir, passwordFile))
	var out limited
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return out.String(), fmt.Errorf("%s: %w: %.300s", option, err, out.String())
	}
	return out.String(), nil
}

// limited keeps the beginning of what is written to it.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxPrinted - l.Len(); room > 0 {
		l.Builder.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
