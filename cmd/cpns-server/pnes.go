package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

var pneImportCommand = command.Command{
	Name: "pne import", Options: "--data DIR [--partial] [--resume] [--dry-run]", Args: "FILE|-",
	Summary: "import PNEs and their Temporary Keys from CSV",
	About:   "Imports PNEs and their Temporary Keys from CSV: a header line entity_id,tk, then a PNE a line, tk in hex. A column owner, which may stay empty, names the only user who gets the PNE. Commas, semicolons or tabs separate the fields. One bad row, and nothing is imported, unless --partial is given.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		partial := fs.Bool("partial", false, "import the good rows although others are bad")
		resume := fs.Bool("resume", false, "pass over PNEs that are there already with the same Temporary Key: go on with an import that broke off")
		dryRun := fs.Bool("dry-run", false, "check everything, import nothing")
		return func(ctx context.Context, c *command.Console, args []string) error {
			in, name := io.Reader(c.Stdin), "standard input"
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in, name = f, args[0]
			}
			opts := server.ImportOptions{Partial: *partial, DryRun: *dryRun, Resume: *resume, Bad: func(e *server.RowError) {
				fmt.Fprintf(c.Stderr, "%s: %v\n", name, e)
			}}
			return asOperator(ctx, c, *data, func(op operator) error {
				opts.Progress, opts.Checked = progressOn(c, "PNEs"), progressOn(c, "PNEs checked")
				opts.Read = readingOn(c)
				defer debug.SetGCPercent(debug.SetGCPercent(25)) // the digests of a large file are in memory
				result, err := op.ImportPNEs(ctx, in, opts)
				if err != nil && result.Imported > 0 {
					return fmt.Errorf("%s: %w: PNEs imported before: %d; the same command with --resume imports the others", name, err, result.Imported)
				}
				if err != nil {
					return fmt.Errorf("%s: %w: nothing was imported", name, err)
				}
				return reportImport(c, opts, result)
			})
		}
	},
}

// progressOn says on standard error how far an import is, every few seconds where it
// takes that long.
func progressOn(c *command.Console, what string) func(written, of int) {
	var begin, said time.Time
	first := 0
	return func(written, of int) {
		switch now := time.Now(); {
		case begin.IsZero():
			begin, said, first = now, now, written
		case now.Sub(said) >= progressEvery && written < of && written > first:
			said = now
			left := time.Duration(float64(now.Sub(begin)) / float64(written-first) * float64(of-written))
			fmt.Fprintf(c.Stderr, "%d of %d %s, about %v left\n", written, of, what, left.Round(time.Second))
		}
	}
}

const progressEvery = 2 * time.Second

// readingOn says how much of a file has been read.
func readingOn(c *command.Console) func(rows int) {
	said := time.Now()
	return func(rows int) {
		if time.Since(said) >= progressEvery {
			said = time.Now()
			fmt.Fprintf(c.Stderr, "%d rows read\n", rows)
		}
	}
}

// reportImport says what an import did. It fails where bad rows kept the good ones
// out.
func reportImport(c *command.Console, opts server.ImportOptions, r server.ImportResult) error {
	switch {
	case r.Bad > 0 && !opts.Partial:
		return fmt.Errorf("nothing was imported, for there are bad rows (good: %d, bad: %d); --partial imports the good ones", r.Good, r.Bad)
	case opts.DryRun:
		c.Printf("nothing was imported, only checked (good: %d, bad: %d)\n", r.Good, r.Bad)
	case opts.Resume:
		c.Printf("PNEs imported: %d, there already: %d, bad rows: %d\n", r.Imported, r.There, r.Bad)
	default:
		c.Printf("PNEs imported: %d, bad rows: %d\n", r.Imported, r.Bad)
	}
	return nil
}

var pneListCommand = command.Command{
	Name: "pne list", Options: "--data DIR [--owner USER] [--gateway GATEWAY] [--state STATE] [--prefix TEXT] [--json]",
	Summary: "list the PNEs, their owners and newest epochs",
	About:   "Lists the PNEs, who owns them, the epoch of their newest assignment, and the gateway that it went to.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		owner := fs.String("owner", "", "only those of `USER`")
		gateway := fs.String("gateway", "", "only those whose newest assignment went to `GATEWAY`")
		state := fs.String("state", "", "only those whose `STATE` is free (nobody's), owned (never assigned) or assigned")
		prefix := fs.String("prefix", "", "only those whose Entity ID begins with `TEXT`")
		return func(ctx context.Context, c *command.Console, args []string) error {
			switch server.PNEState(*state) {
			case "", server.PNEFree, server.PNEOwned, server.PNEAssigned:
			default:
				return command.Misused("--state %s: there are %s, %s and %s", *state, server.PNEFree, server.PNEOwned, server.PNEAssigned)
			}
			wanted := server.PNEFilter{Owner: cpns.UserID(*owner), Gateway: cpns.GatewayID(*gateway), State: server.PNEState(*state), Prefix: *prefix}
			return asOperator(ctx, c, *data, func(op operator) error {
				t := newTable(c.Stdout, *asJSON, "ENTITY ID", "OWNER", "EPOCH", "CREATED", "GATEWAY")
				return t.end(op.PNEs(ctx, wanted, func(p server.PNE) error {
					return t.row(pneLineOf(p),
						string(p.Entity), string(p.Owner), strconv.FormatUint(uint64(p.Epoch), 10), day(p.Created), string(p.Gateway))
				}))
			})
		}
	},
}

// A pneLine is a PNE in a listing.
type pneLine struct {
	Entity   cpns.EntityID   `json:"entity_id"`
	Owner    cpns.UserID     `json:"owner"`
	Epoch    cpns.Epoch      `json:"epoch"`
	Created  time.Time       `json:"created"`
	State    server.PNEState `json:"state"`
	Gateway  cpns.GatewayID  `json:"gateway"`
	Assigned *time.Time      `json:"assigned"`
}

func pneLineOf(p server.PNE) pneLine {
	return pneLine{p.Entity, p.Owner, p.Epoch, p.Created, p.State(), p.Gateway, orNil(p.Assigned)}
}

var pneReleaseCommand = command.Command{
	Name: "pne release", Options: "--data DIR [--list FILE]", Args: "[ENTITY_ID...]",
	Summary: "make PNEs nobody's",
	About:   "Makes PNEs nobody's: the next user to ask for their EUKeys becomes their owner. With --list, those of a file too, an Entity ID a line.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		wanted := wantedFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			all, err := wanted.all(args)
			if err != nil {
				return err
			}
			return eachPNE(ctx, c, *data, all, func(op operator, e cpns.EntityID) error {
				changed, err := op.Release(ctx, e)
				if err != nil {
					return err
				}
				if changed {
					c.Printf("PNE %s released\n", e)
				} else {
					c.Printf("PNE %s was nobody's already\n", e)
				}
				return nil
			})
		}
	},
}
