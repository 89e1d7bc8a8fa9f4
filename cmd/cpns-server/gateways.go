package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/internal/secretfile"
)

var gatewayAddCommand = command.Command{
	Name: "gateway add", Options: "--data DIR --psk-out FILE|--psk-in FILE|--impi IMPI [--psk-identity ID]", Args: "GATEWAY",
	Summary: "add a gateway and the PSK1 that it shares with the server",
	About:   "Adds a gateway by the PSK1 that is brought to it in a file, or by the IMPI of its SIM: then it gets its PSK1s by 3GPP GBA (run --bsf-url). Others come in by gateway invite.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		out := fs.String("psk-out", "", "make a PSK1 and write it to a new `FILE` as hex, to be brought to the gateway")
		in := fs.String("psk-in", "", "take the PSK1 from `FILE`: 16 to 64 bytes as hex")
		impi := fs.String("impi", "", "its PSK1s come from 3GPP GBA, by the SIM with this `IMPI`")
		identity := fs.String("psk-identity", "", "the `ID` by which the gateway names its PSK1; the gateway's ID if not given")
		return func(ctx context.Context, c *command.Console, args []string) error {
			id, err := cpns.ParseGatewayID(args[0])
			if err != nil {
				return command.Misused("%v", err)
			}
			if *impi != "" {
				if *out != "" || *in != "" || *identity != "" {
					return command.Misused("--impi goes with no PSK1 of a file")
				}
				return addWithIMPI(ctx, c, *data, id, *impi)
			}
			pskID, err := cpns.ParsePSKIdentity(cmp.Or(*identity, string(id)))
			if err != nil {
				return command.Misused("%v", err)
			}
			if (*out == "") == (*in == "") {
				return command.Misused("one of --psk-out, --psk-in and --impi has to be given")
			}
			if *in != "" {
				return addWithPSK(ctx, c, *data, id, pskID, *in)
			}
			return addWithNewPSK(ctx, c, *data, id, pskID, *out)
		}
	},
}

func addWithIMPI(ctx context.Context, c *command.Console, data place, id cpns.GatewayID, impi string) error {
	if err := server.CheckIMPI(impi); err != nil {
		return command.Misused("--impi: %v", err)
	}
	err := asOperator(ctx, c, data, func(op operator) error { return op.AddGatewayIMPI(ctx, id, impi) })
	if errors.Is(err, server.ErrExists) {
		return fmt.Errorf("there is a gateway %s, or one with the IMPI %s, already: cpns-server gateway list --json shows them", id, impi)
	}
	if err != nil {
		return err
	}
	c.Printf("gateway %s added\n", id)
	return nil
}

func addWithPSK(ctx context.Context, c *command.Console, data place, id cpns.GatewayID, pskID cpns.PSKIdentity, path string) error {
	psk, err := readPSK(path)
	if err != nil {
		return err
	}
	defer clear(psk)
	if err := addGateway(ctx, c, data, id, pskID, psk); err != nil {
		return err
	}
	c.Printf("gateway %s added\n", id)
	return nil
}

// addWithNewPSK writes the file first: a gateway whose PSK1 was lost would have to
// be removed again.
func addWithNewPSK(ctx context.Context, c *command.Console, data place, id cpns.GatewayID, pskID cpns.PSKIdentity, path string) error {
	psk, err := makePSK(path)
	if err != nil {
		return err
	}
	defer clear(psk)
	if err := addGateway(ctx, c, data, id, pskID, psk); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	c.Printf("gateway %s added\n", id)
	display.Fill(c.Stdout, "", fmt.Sprintf("Its PSK1 is in %s: bring it to the gateway by a way that nobody else reads (option psk_file), then delete it here.", path), 0)
	return nil
}

func addGateway(ctx context.Context, c *command.Console, data place, id cpns.GatewayID, pskID cpns.PSKIdentity, psk cpns.PSK1) error {
	err := asOperator(ctx, c, data, func(op operator) error { return op.AddGateway(ctx, id, pskID, psk) })
	if errors.Is(err, server.ErrExists) {
		return fmt.Errorf("there is a gateway %s, or one with the PSK1 identity %s, already: cpns-server gateway list shows them", id, pskID)
	}
	if same, ok := errors.AsType[*server.SamePSK1Error](err); ok {
		return fmt.Errorf("gateway %s has this PSK1 already: each gateway needs one of its own, which --psk-out makes", same.Gateway)
	}
	return err
}

// makePSK makes a PSK1 and writes it to a new file.
func makePSK(path string) (cpns.PSK1, error) {
	psk := make(cpns.PSK1, 32)
	rand.Read(psk)
	if err := durable.WriteNew(path, []byte(hex.EncodeToString(psk)+"\n"), 0o600); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is there already: nothing was changed", path)
	} else if err != nil {
		err, _ = adviseDisk(fmt.Errorf("writing the PSK1: %w", err), filepath.Dir(path))
		return nil, err
	}
	return psk, nil
}

// readPSK reads a PSK1 in hex.
func readPSK(path string) (cpns.PSK1, error) {
	raw, err := secretfile.Key(path, cpns.MaxPSK1Size)
	if err != nil {
		return nil, fmt.Errorf("reading the PSK1: %w", err)
	}
	defer clear(raw)
	psk, err := cpns.ParsePSK1(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return psk, nil
}

var gatewayListCommand = command.Command{
	Name: "gateway list", Options: "--data DIR [--json]",
	Summary: "list the gateways",
	About:   "Lists the gateways: by what PSK1 they ask, where that comes from (file, tls or gba), the fingerprint of their key, and when they were last there.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			return asOperator(ctx, c, *data, func(op operator) error {
				t := newTable(c.Stdout, *asJSON, "GATEWAY", "PSK IDENTITY", "SOURCE", "FINGERPRINT", "LAST SEEN", "CREATED")
				return t.end(op.Gateways(ctx, func(g server.Gateway, keys []server.PSK1) error {
					l := gatewayLineOf(g, keys)
					source := string(l.Source)
					if l.NextSince != nil {
						source += ", another waits"
					}
					return t.row(l, string(l.Gateway), string(l.Identity), source, l.Fingerprint, minute(g.Seen), day(g.Created))
				}))
			})
		}
	},
}

// A gatewayLine is a gateway in a listing.
type gatewayLine struct {
	Gateway     cpns.GatewayID   `json:"gateway"`
	Identity    cpns.PSKIdentity `json:"psk_identity"`
	Source      server.Source    `json:"source"`
	GoodUntil   *time.Time       `json:"good_until"`
	Fingerprint string           `json:"fingerprint"`
	IMPI        string           `json:"impi"`
	Model       string           `json:"model"`
	Serial      string           `json:"serial"`
	Seen        *time.Time       `json:"last_seen"`
	Created     time.Time        `json:"created"`
	NextSince   *time.Time       `json:"next_psk_since"` // when it was given another PSK1 that it has not used
}

// gatewayLineOf shows the PSK1 that the gateway used last, or else the newest; keys
// are the newest first.
func gatewayLineOf(g server.Gateway, keys []server.PSK1) gatewayLine {
	l := gatewayLine{Gateway: g.ID, IMPI: g.IMPI, Model: g.Model, Serial: g.Serial, Created: g.Created, Seen: orNil(g.Seen)}
	if g.IMPI != "" {
		l.Source = server.SourceGBA
	}
	if g.Key != (cpns.SPKIHash{}) {
		l.Fingerprint, l.Source = g.Key.Fingerprint(), server.SourceTLS
	}
	if len(keys) == 0 {
		return l
	}
	shown := slices.MaxFunc(keys, func(a, b server.PSK1) int { return a.Used.Compare(b.Used) })
	l.Identity, l.Source, l.GoodUntil = shown.Named(), shown.Source, orNil(shown.Ends)
	for _, k := range keys {
		if k.IsBeside() && k.Used.IsZero() {
			l.NextSince = &k.Created
		}
	}
	return l
}

var gatewayRekeyCommand = command.Command{
	Name: "gateway rekey", Options: "--data DIR [--psk-out FILE|--psk-in FILE] [--overlap TIME]", Args: "GATEWAY",
	Summary: "give a gateway another PSK1, and let it use either for a while",
	About: `Gives a gateway that is known by a PSK1 from a file another one, under the same identity: bring the file to the gateway, in place of the one there, at any time within the overlap. Until then the gateway goes on with the one before, which ends 10 minutes after the new one was first used, or when the overlap is over. Given again, a new one that was not used yet is replaced, which is said: its file opens nothing any more.

A gateway that agrees on its PSK1s by itself, by TLS or its SIM, gets no file: what it has ends when the overlap is over, and it agrees on the next one with its next request.`,
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		out := fs.String("psk-out", "", "make a PSK1 and write it to a new `FILE` as hex, to be brought to the gateway")
		in := fs.String("psk-in", "", "take the PSK1 from `FILE`: 16 to 64 bytes as hex")
		overlap := server.DefaultOverlap
		fs.Func("overlap", "what the gateway has goes on for `TIME`, such as 30d, 12h or 0s (7d)", func(value string) (err error) {
			if overlap, err = parseDays(value); err != nil {
				return err
			}
			return server.CheckOverlap(overlap)
		})
		return func(ctx context.Context, c *command.Console, args []string) error {
			id, err := cpns.ParseGatewayID(args[0])
			if err != nil {
				return command.Misused("%v", err)
			}
			if *out != "" && *in != "" {
				return command.Misused("--psk-out and --psk-in exclude each other")
			}
			return rekeyGateway(ctx, c, *data, id, *in, *out, overlap)
		}
	},
}

func rekeyGateway(ctx context.Context, c *command.Console, data place, id cpns.GatewayID, in, out string, overlap time.Duration) (err error) {
	var psk cpns.PSK1
	switch {
	case in != "":
		if psk, err = readPSK(in); err != nil {
			return err
		}
	case out != "":
		if psk, err = makePSK(out); err != nil {
			return err
		}
	}
	defer clear(psk)
	voided := false
	err = asOperator(ctx, c, data, func(op operator) (err error) {
		voided, err = op.RekeyGateway(ctx, id, psk, overlap)
		return err
	})
	if err != nil && out != "" {
		err = errors.Join(err, os.Remove(out))
	}
	same, isSame := errors.AsType[*server.SamePSK1Error](err)
	switch {
	case errors.Is(err, server.ErrNotFound):
		return fmt.Errorf("there is no gateway %s", id)
	case isSame:
		return fmt.Errorf("gateway %s has this PSK1 already: each gateway needs one of its own, which --psk-out makes", same.Gateway)
	case err != nil:
		return err
	}
	until := minute(time.Now().Add(overlap))
	switch {
	case psk == nil:
		c.Printf("gateway %s agrees on another PSK1 after %s, if not before\n", id, until)
	case out != "":
		c.Printf("gateway %s has another PSK1, and may use the one before until %s\n", id, until)
		display.Fill(c.Stdout, "", fmt.Sprintf("It is in %s: bring it to the gateway by a way that nobody else reads, in place of the file there (option psk_file; then service pngw reload), and delete it here.", out), 0)
	default:
		c.Printf("gateway %s has another PSK1, and may use the one before until %s\n", id, until)
	}
	if voided {
		display.Fill(c.Stderr, "", fmt.Sprintf("The PSK1 that gateway rekey gave before was not used yet, and is void from now on: delete its file. If that is at the gateway %s already, its requests are refused until this one is there.", id), 0)
	}
	return nil
}

var gatewaySetIMPICommand = command.Command{
	Name: "gateway set-impi", Options: "--data DIR --impi IMPI", Args: "GATEWAY",
	Summary: "know a gateway by another SIM",
	About:   "Makes the SIM with an IMPI a gateway's, such as after an exchange of SIMs: the PSK1s of the one before end, and the gateway bootstraps anew with its next request. A PSK1 from a file stays good.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		impi := fs.String("impi", "", "the `IMPI` of the SIM")
		return func(ctx context.Context, c *command.Console, args []string) error {
			id, err := cpns.ParseGatewayID(args[0])
			if err != nil {
				return command.Misused("%v", err)
			}
			if err := server.CheckIMPI(*impi); err != nil {
				return command.Misused("--impi: %v", err)
			}
			err = asOperator(ctx, c, *data, func(op operator) error { return op.SetIMPI(ctx, id, *impi) })
			switch {
			case errors.Is(err, server.ErrNotFound):
				return fmt.Errorf("there is no gateway %s", id)
			case errors.Is(err, server.ErrExists):
				return fmt.Errorf("a gateway has the IMPI %s already: cpns-server gateway list --json shows which", *impi)
			case err != nil:
				return err
			}
			c.Printf("gateway %s is known by the SIM with the IMPI %s\n", id, *impi)
			return nil
		}
	},
}

var gatewayRemoveCommand = command.Command{
	Name: "gateway remove", Options: "--data DIR", Args: "GATEWAY",
	Summary: "remove a gateway: its next request is refused",
	Setup:   forOne(cpns.ParseGatewayID, removeGateway),
}

func removeGateway(ctx context.Context, c *command.Console, op operator, id cpns.GatewayID) error {
	if err := op.RemoveGateway(ctx, id); errors.Is(err, server.ErrNotFound) {
		return fmt.Errorf("there is no gateway %s", id)
	} else if err != nil {
		return err
	}
	c.Printf("gateway %s removed\n", id)
	return nil
}
