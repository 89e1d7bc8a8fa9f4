package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/term"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/internal/qrcode"
)

const defaultValid = 14 * 24 * time.Hour

var gatewayInviteCommand = command.Command{
	Name: "gateway invite", Options: "--data DIR [--id ID] [--valid TIME] [--uses N] [--introduce] [--server HOST:PORT] [--svg FILE] [--json]",
	Summary: "make an enrolment code for gateways",
	About: `Makes a code that a technician types on a router: pngw enrol CODE. It says which server, how to know it, and holds a secret that takes the router in at once; nothing else has to be brought there. Whoever has the code can use it: it is for one gateway, or N, and for 14 days.

With --introduce the code has no secret in it: it may lie in an image for many routers, and each waits until gateway approve takes it in.`,
	Notes: "Where standard output is no terminal, it is the code alone.",
	Setup: func(fs *flag.FlagSet) command.Run {
		var o inviteOptions
		data := dataFlag(fs)
		fs.StringVar(&o.id, "id", "", "the gateway will be called `ID`")
		o.valid = defaultValid
		fs.Func("valid", "the code can be used for `TIME`, such as 14d or 12h (14d)", func(value string) (err error) {
			o.valid, err = parseDays(value)
			return err
		})
		fs.IntVar(&o.uses, "uses", 1, "the code takes in `N` gateways")
		fs.BoolVar(&o.introduce, "introduce", false, "no secret: a person approves each gateway")
		fs.StringVar(&o.server, "server", "", "gateways reach the server at `HOST:PORT`; if not given, the first --host of init and the port of run")
		fs.StringVar(&o.svg, "svg", "", "write the code as a picture (QR) to a new `FILE`")
		o.json = jsonFlag(fs)
		return func(ctx context.Context, c *command.Console, _ []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return invite(ctx, c, *data, &o)
		}
	},
}

type inviteOptions struct {
	id        string
	valid     time.Duration
	uses      int
	introduce bool
	server    string
	svg       string
	json      *bool
}

func (o *inviteOptions) check(c *command.Console) error {
	if o.id != "" {
		if _, err := cpns.ParseGatewayID(o.id); err != nil {
			return command.Misused("%v", err)
		}
	}
	switch {
	case o.introduce && (o.uses != 1 || o.valid != defaultValid):
		return command.Misused("a code of --introduce can be used at any time and for any number of gateways: --uses and --valid are for one with a secret")
	case o.uses < 1 || o.uses > server.MaxInvitationUses:
		return command.Misused("--uses %d: 1 to %d", o.uses, server.MaxInvitationUses)
	case o.id != "" && o.uses != 1:
		return command.Misused("--id names one gateway: --uses does not go with it")
	case o.valid < time.Minute || o.valid > server.MaxInvitationValid:
		return command.Misused("--valid: 1 minute to 365 days")
	}
	if o.server != "" {
		if _, _, err := net.SplitHostPort(o.server); err != nil {
			return command.Misused("--server %q is not HOST:PORT, such as cpns.example.net:8443", o.server)
		}
	}
	if o.svg != "" {
		if _, err := os.Lstat(o.svg); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already: nothing was changed", o.svg)
		}
	}
	return nil
}

// An invited is a code and what is known of it, for programs.
type invited struct {
	Code      string         `json:"code"`
	Server    string         `json:"server"`
	Pin       string         `json:"server_pin"`
	Gateway   cpns.GatewayID `json:"gateway"`
	Introduce bool           `json:"introduce"`
	Uses      int            `json:"uses"`        // 0 for any number
	Until     *time.Time     `json:"valid_until"` // nil for ever
}

func invite(ctx context.Context, c *command.Console, data place, o *inviteOptions) error {
	var made *server.Code
	err := asOperator(ctx, c, data, func(op operator) (err error) {
		made, err = op.MakeCode(ctx, server.CodeRequest{Gateway: cpns.GatewayID(o.id), Uses: o.uses, Valid: o.valid, Introduce: o.introduce, Server: o.server})
		return err
	})
	if errors.Is(err, server.ErrNoHost) {
		return command.Misused("%v", err)
	}
	if err != nil {
		return err
	}
	// A code that a picture could not be written of is shown all the same.
	if err := showCode(c, made, *o.json); err != nil {
		return err
	}
	for _, note := range made.Notes {
		display.Fill(c.Stderr, "", note, 0)
	}
	if o.svg == "" {
		return nil
	}
	picture, err := qrcode.SVG(made.Code, "")
	if err != nil {
		return err
	}
	if err := durable.WriteNew(o.svg, picture, 0o600); err != nil {
		return fmt.Errorf("writing the picture: %w", err)
	}
	return nil
}

// showCode shows a code: for programs, for a terminal with all that is to be known, or
// alone.
func showCode(c *command.Console, made *server.Code, asJSON bool) error {
	if asJSON {
		return newTable(c.Stdout, true).row(invited{made.Code, made.Server, made.Pin, made.Gateway, made.Introduce, made.Uses, orNil(made.Until)})
	}
	c.Printf("%s\n", made.Code)
	if !isTerminal(c.Stdout) {
		return nil
	}
	if err := qrcode.Draw(c.Stdout, made.Code); err != nil {
		return err
	}
	c.Printf("On the router:  pngw enrol CODE\n")
	fields := fmt.Sprintf("It leads to %s", made.Server)
	if made.Gateway != "" {
		fields += fmt.Sprintf(", names the gateway %s", made.Gateway)
	}
	if made.Introduce {
		fields += ", and has no secret in it: gateway approve takes each gateway in that comes with it."
	} else {
		fields += fmt.Sprintf(", and takes in whoever has it, %d in all, until %s.", made.Uses, minute(made.Until))
	}
	display.Fill(c.Stdout, "", fields, 0)
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
