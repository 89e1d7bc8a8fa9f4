package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/againstserver"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/internal/password"
	"cpns.example.net/pngw/internal/secretfile"
)

// maxCode is how long an enrolment code may be, in a file.
const maxCode = 1024

var serverCommand = command.Command{
	Name:    "server",
	Options: "--user USER --password-file FILE --entity-id ID (--gateway-id ID --psk-file FILE | --code-file FILE --key-file FILE) [options] " + conform.Usage,
	Args:    "[URL]",
	Summary: "try a CPNS Server: the kit plays a gateway",
	About: `Plays a gateway, good and hostile, against the server at URL, https://HOST[:PORT][/PREFIX]. It takes a user of that server, a device that the user owns, and either a PSK1 from a file or an enrolment code.

The device is assigned some forty sets of keys, none of which reaches it; the user fails to authenticate twice, and strangers a few times more; with a code, one key that nobody knows waits for approval, and may be refused. --lock-out locks the user at this gateway, and --flood has this machine's address be refused for some seconds; neither is done unless it is asked for.`,
	Notes:   conform.ExitCodes,
	Example: "cpns-conform server https://cpns.example.net --gateway-id gw-1 --psk-file psk1",
	Setup: func(f *flag.FlagSet) command.Run {
		var report conform.Options
		report.Declare(f)
		var o serverOptions
		o.declare(f)
		return func(ctx context.Context, c *command.Console, args []string) error {
			name := ""
			if !report.Lists() {
				if len(args) == 0 {
					return command.Misused("URL is missing")
				}
				name = args[0]
				err := o.check()
				if err == nil {
					_, err = againstserver.ParseURL(name)
				}
				if err != nil {
					return command.Misused("%v", err)
				}
			}
			return againstserver.Suite.Run(ctx, &report, c, conform.Party[*againstserver.Server]{
				Name: name,
				Reach: func(ctx context.Context) (*againstserver.Server, func(), error) {
					config, err := o.config(ctx, c, name)
					if err != nil {
						return nil, nil, err
					}
					s, err := againstserver.Reach(ctx, *config)
					return s, func() {}, err
				},
			})
		}
	},
}

// serverOptions are what the command line says of the server.
type serverOptions struct {
	ca                               string
	gateway, identity, psk           string
	secondID, secondIdentity, second string
	code, key                        string
	user, password                   string
	entity, tk, others               string
	lockOut, flood                   bool
	slow                             *time.Duration
}

func (o *serverOptions) declare(f *flag.FlagSet) {
	f.StringVar(&o.ca, "ca", "", "a `FILE` with the CA of the server's certificate, PEM; the system's otherwise, or what the code pins")
	f.StringVar(&o.gateway, "gateway-id", "", "the `ID` that the kit has as a gateway of the server's")
	f.StringVar(&o.identity, "psk-identity", "", "the `IDENTITY` of its PSK1, where that is not the gateway's ID")
	f.StringVar(&o.psk, "psk-file", "", "a `FILE` with its PSK1, in hex; nobody else may read it")
	f.StringVar(&o.secondID, "second-gateway-id", "", "the `ID` of another gateway of the server's, for what holds for all gateways together")
	f.StringVar(&o.secondIdentity, "second-psk-identity", "", "the `IDENTITY` of that one's PSK1, where it is not its ID")
	f.StringVar(&o.second, "second-psk-file", "", "a `FILE` with that one's PSK1")
	f.StringVar(&o.code, "code-file", "", "a `FILE` with an enrolment code on one line: the kit enrols by it, and step 0 by TLS is tried")
	f.StringVar(&o.key, "key-file", "", "a `FILE` for the key pair that enrols by the code: it is made where there is none, and is what another run is known by")
	f.StringVar(&o.user, "user", "", "a CPNS User, the `ID`")
	f.StringVar(&o.password, "password-file", "", password.Usage)
	f.StringVar(&o.entity, "entity-id", "", "the Entity `ID` of a device that the user owns, or may claim")
	f.StringVar(&o.tk, "tk-file", "", "a `FILE` with the device's TK, in hex; without it some cases cannot be tried")
	f.StringVar(&o.others, "others-entity-id", "", "the Entity `ID` of a device that another user owns")
	f.BoolVar(&o.lockOut, "lock-out", false, "fail to authenticate the user until the server locks that, for as long as it does")
	f.BoolVar(&o.flood, "flood", false, "send requests of strangers until the server answers no more of them")
	o.slow = command.Duration(f, "slow", 0, "try whether connections that send nothing are closed within this `TIME`, such as 1m")
}

func (o *serverOptions) check() error {
	switch {
	case o.user == "":
		return errors.New("--user USER is missing")
	case o.entity == "":
		return errors.New("--entity-id ID is missing")
	case o.psk == "" && o.code == "":
		return errors.New("give a PSK1 by --psk-file, or an enrolment code by --code-file")
	case o.psk != "" && o.gateway == "" && o.identity == "":
		return errors.New("--psk-file needs --gateway-id, or --psk-identity")
	case o.code != "" && o.key == "":
		return errors.New("--code-file needs --key-file: the server knows the kit by that key from then on")
	case o.second != "" && o.secondID == "" && o.secondIdentity == "":
		return errors.New("--second-psk-file needs --second-gateway-id, or --second-psk-identity")
	case *o.slow < 0:
		return errors.New("--slow is a time")
	}
	for option, entity := range map[string]string{"entity-id": o.entity, "others-entity-id": o.others} {
		if entity == "" {
			continue
		}
		if _, err := cpns.ParseEntityID(entity); err != nil {
			return fmt.Errorf("--%s: %w", option, err)
		}
	}
	if _, err := cpns.ParseUserID(o.user); err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	return nil
}

// config reads what the options name.
func (o *serverOptions) config(ctx context.Context, c *command.Console, url string) (*againstserver.Config, error) {
	if err := hardening.Memory(); err != nil {
		return nil, err
	}
	config := &againstserver.Config{
		URL: url, User: o.user, Entity: o.entity, Others: o.others,
		LockOut: o.lockOut, Flood: o.flood, Slow: *o.slow,
	}
	var err error
	if o.ca != "" {
		text, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, err
		}
		config.Roots = x509.NewCertPool()
		if !config.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: has no certificate in PEM", o.ca)
		}
	}
	if config.PSK1, err = readPSK1(o.psk, o.identity, o.gateway); err != nil {
		return nil, err
	}
	if config.Second, err = readPSK1(o.second, o.secondIdentity, o.secondID); err != nil {
		return nil, err
	}
	if o.tk != "" {
		if config.TK, err = secretfile.Key(o.tk, cpns.MaxTKSize); err != nil {
			return nil, fmt.Errorf("reading the TK: %w", err)
		}
	}
	if o.code != "" {
		if config.Code, err = readCode(o.code); err != nil {
			return nil, err
		}
		if config.Unit, err = readUnit(o.key); err != nil {
			return nil, err
		}
	}
	q := password.Question{Whose: o.user, File: o.password, Program: "cpns-conform", Stdin: c.Stdin, Stderr: c.Stderr}
	if config.Password, err = q.Ask(ctx); err != nil {
		return nil, password.Explain(err, "nothing was tried")
	}
	return config, nil
}

// readPSK1 reads a PSK1 from a file; nil where none is named.
func readPSK1(path, identity, gateway string) (*againstserver.PSK1, error) {
	if path == "" {
		return nil, nil
	}
	key, err := secretfile.Key(path, cpns.MaxPSK1Size)
	if err != nil {
		return nil, fmt.Errorf("reading the PSK1: %w", err)
	}
	if identity == "" {
		identity = gateway
	}
	return &againstserver.PSK1{Identity: identity, Key: key}, nil
}

func readCode(path string) (*againstserver.Code, error) {
	text, err := secretfile.Read(path, maxCode)
	if err != nil {
		return nil, fmt.Errorf("reading the enrolment code: %w", secretfile.About(path, err))
	}
	defer clear(text)
	code, err := cpns.ParseEnrolmentCode(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c := &againstserver.Code{Pin: code.Pin, ID: string(code.ID)}
	if code.Secret != nil {
		c.Secret = append([]byte(nil), code.Secret[:]...)
	}
	return c, nil
}

const unitBlock = "PRIVATE KEY"

// readUnit reads the key pair that the kit enrols by, or makes it.
func readUnit(path string) (*againstserver.Unit, error) {
	f, err := secretfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeUnit(path)
	}
	if err != nil {
		return nil, err
	}
	f.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	block, _ := pem.Decode(text)
	if block == nil || block.Type != unitBlock {
		return nil, fmt.Errorf("%s: has no key in PEM: name a file that does not exist, and one is made", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	pair, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: has a key of another kind than P-256", path)
	}
	return againstserver.UnitOf(pair)
}

func makeUnit(path string) (*againstserver.Unit, error) {
	key, err := againstserver.NewKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := durable.WriteNew(path, pem.EncodeToMemory(&pem.Block{Type: unitBlock, Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return againstserver.UnitOf(key)
}
