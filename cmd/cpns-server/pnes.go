package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

var pneImportCommand = command.Command{
	Name: "pne import", Options: "--data DIR [--partial] [--dry-run]", Args: "FILE|-",
	Summary: "import PNEs and their Temporary Keys from CSV",
	About:   "Imports PNEs and their Temporary Keys from CSV: a header line entity_id,tk, then a PNE a line, tk in hex. A column owner, which may stay empty, names the only user who gets the PNE. Commas, semicolons or tabs separate the fields. One bad row, and nothing is imported, unless --partial is given.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		partial := fs.Bool("partial", false, "import the good rows although others are bad")
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
			opts := server.ImportOptions{Partial: *partial, DryRun: *dryRun, Bad: func(e *server.RowError) {
				fmt.Fprintf(c.Stderr, "%s: %v\n", name, e)
			}}
			return withOperator(ctx, *data, func(op *server.Operator) error {
				result, err := op.ImportPNEs(ctx, in, opts)
				if err != nil {
					return fmt.Errorf("%s: %w: nothing was imported", name, err)
				}
				return reportImport(c, opts, result)
			})
		}
	},
}

// reportImport says what an import did. It fails where bad rows kept the good ones
// out.
func reportImport(c *command.Console, opts server.ImportOptions, r server.ImportResult) error {
	switch {
	case r.Bad > 0 && !opts.Partial:
		return fmt.Errorf("nothing was imported, for there are bad rows (good: %d, bad: %d); --partial imports the good ones", r.Good, r.Bad)
	case opts.DryRun:
		c.Printf("nothing was imported, only checked (good: %d, bad: %d)\n", r.Good, r.Bad)
	default:
		c.Printf("PNEs imported: %d, bad rows: %d\n", r.Imported, r.Bad)
	}
	return nil
}

var pneListCommand = command.Command{
	Name: "pne list", Options: "--data DIR [--owner USER] [--json]",
	Summary: "list the PNEs, their owners and newest epochs",
	About:   "Lists the PNEs, who owns them and the epoch of their newest assignment.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		owner := fs.String("owner", "", "only those of `USER`")
		return func(ctx context.Context, c *command.Console, args []string) error {
			type line struct {
				Entity  cpns.EntityID `json:"entity_id"`
				Owner   cpns.UserID   `json:"owner"`
				Epoch   cpns.Epoch    `json:"epoch"`
				Created time.Time     `json:"created"`
			}
			return withOperator(ctx, *data, func(op *server.Operator) error {
				t := newTable(c.Stdout, *asJSON, "ENTITY ID", "OWNER", "EPOCH", "CREATED")
				return t.end(op.PNEs(ctx, server.PNEFilter{Owner: cpns.UserID(*owner)}, func(p server.PNE) error {
					return t.row(line{p.Entity, p.Owner, p.Epoch, p.Created}, string(p.Entity), string(p.Owner), strconv.FormatUint(uint64(p.Epoch), 10), day(p.Created))
				}))
			})
		}
	},
}

var pneReleaseCommand = command.Command{
	Name: "pne release", Options: "--data DIR", Args: "ENTITY_ID...",
	Summary: "make PNEs nobody's",
	About:   "Makes PNEs nobody's: the next user to ask for their EUKeys becomes their owner.",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		return func(ctx context.Context, c *command.Console, args []string) error {
			return eachPNE(ctx, *data, args, func(op *server.Operator, e cpns.EntityID) error {
				if err := op.Release(ctx, e); err != nil {
					return err
				}
				c.Printf("PNE %s released\n", e)
				return nil
			})
		}
	},
}
