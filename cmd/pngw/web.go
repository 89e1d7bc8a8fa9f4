package main

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"syscall"

	"golang.org/x/crypto/argon2"

	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/hardening"
	"cpns.example.net/pngw/internal/password"
)

// Sizes of a technician's PIN, in characters.
const minPIN, maxPIN = 6, 64

var webPINCommand = command.Command{
	Name: "web set-pin", Options: "[--pin-file FILE]", Summary: "set the PIN of the technician's page",
	About: `Sets the PIN that technicians log in by at the page that option web switches on. It is asked for twice. What is kept of it, sealed in the store, is made by Argon2id. A new PIN logs everybody out and ends lock-outs.

A PIN has 6 to 64 characters that every keyboard has: letters of English, digits, signs. Six digits hold against whoever is on the router's network, because wrong PINs lock; longer ones hold better.`,
	Example: "pngw web set-pin",
	Setup: func(f *flag.FlagSet) command.Run {
		file := f.String("pin-file", "", "a `FILE` with the PIN on one line, or - for standard input; it is asked for at the terminal if not given")
		return func(ctx context.Context, c *command.Console, _ []string) error { return setPIN(ctx, c, *file) }
	},
}

var webCACommand = command.Command{
	Name: "web ca", Summary: "print the certificate of the page's CA",
	About:   `Prints, in PEM, the certificate of the CA that vouches for the technician's page: a phone that has it opens the page without a warning. The CA is this gateway's own, and can vouch for addresses of private networks only. The page itself has it too, at /ca.crt; pngw status shows its fingerprint to compare.`,
	Example: "pngw web ca > pngw-ca.crt",
	Setup: report("print the page's address, fingerprint and CA as an object", askPage, func(_ context.Context, c *command.Console, _ *api.Client, p api.Page) error {
		return pem.Encode(c.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: p.CA})
	}),
}

var errNoPage = errors.New("this gateway has no page: option web in section gateway says where it is to be, such as 192.168.1.1:8480; then reload the agent")

func askPage(client *api.Client, ctx context.Context) (p api.Page, err error) {
	s, err := client.Status(ctx)
	if err != nil {
		return p, err
	}
	if s.Page == nil {
		return p, errNoPage
	}
	return *s.Page, nil
}

func setPIN(ctx context.Context, c *command.Console, file string) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if !cfg.Gateway.Web.IsValid() {
		return &command.Exit{Code: command.Usage, Err: errNoPage}
	}
	if err := hardening.Memory(); err != nil {
		return err
	}
	ctx, stop := command.Interruptible(ctx)
	defer stop()
	question := &password.Question{What: "PIN", Option: "--pin-file", Whose: "the page's technicians", File: file, Twice: true, Program: c.Program.Name, Stdin: c.Stdin, Stderr: c.Stderr}
	text, err := question.Ask(ctx)
	if err != nil {
		return password.Explain(err, "the PIN is what it was")
	}
	defer clear(text)
	if err := checkPIN(text); err != nil {
		return &command.Exit{Code: command.Usage, Err: err}
	}
	pin := api.PIN{Salt: make([]byte, 16)}
	rand.Read(pin.Salt)
	pin.Stretched = stretchPIN(text, pin.Salt)
	defer clear(pin.Stretched)

	err = api.NewClient(cfg.Gateway.Socket).SetPIN(ctx, pin)
	if e := new(api.ConnectError); errors.As(err, &e) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)) {
		err = setPINHere(&cfg.Gateway, pin) // no agent runs
	}
	if e := new(api.AnswerError); errors.As(err, &e) && e.Status == http.StatusConflict {
		return errNoPage
	}
	if err != nil {
		return explain(c, err)
	}
	c.Printf("the PIN is set: https://%s\n", cfg.Gateway.Web)
	return nil
}

// checkPIN refuses what a phone's keyboard may not have, or write in another way.
func checkPIN(pin []byte) error {
	if len(pin) < minPIN || len(pin) > maxPIN {
		return fmt.Errorf("want a PIN of %d to %d characters", minPIN, maxPIN)
	}
	row := true // 111111, 123456, fedcba
	for i, b := range pin {
		if b < ' ' || b > '~' {
			return errors.New("want a PIN of letters of English, digits and signs: other characters come differently from different keyboards")
		}
		row = row && (i < 2 || b-pin[i-1] == pin[1]-pin[0] || b == '0' && pin[i-1] == '9')
	}
	if row && (pin[1]-pin[0]+1) <= 2 {
		return errors.New("a PIN of one character again and again, or of such as follow each other, is the first that is tried: want another")
	}
	return nil
}

// stretchPIN is what the page computes too, with the price of Hash(Password).
func stretchPIN(pin, salt []byte) []byte {
	return argon2.IDKey(pin, salt, 5, 7<<10, 1, 32)
}

// pagerOf is the page as the API knows it: no page is nil there, too.
func pagerOf(p servedPage) api.Pager {
	if p == nil {
		return nil
	}
	return p
}
