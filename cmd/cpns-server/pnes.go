package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

var pneImportCommand = command{
	name: "pne import",
	args: "--data DIR [--partial] [--dry-run] FILE|-",
	about: "import PNEs and their Temporary Keys from CSV: a header line entity_id,tk, then\n" +
		"a PNE a line, tk in hex. A column owner, which may stay empty, names the only\n" +
		"user who gets the PNE. Commas, semicolons or tabs separate the fields.\n" +
		"One bad row, and nothing is imported, unless --partial is given.",
	flags: func(fs *flag.FlagSet) runFunc {
		data := dataFlag(fs)
		partial := fs.Bool("partial", false, "import the good rows although others are bad")
		dryRun := fs.Bool("dry-run", false, "check everything, import nothing")
		return func(ctx context.Context, c *console, args []string) error {
			if err := wantArgs(args, "FILE"); err != nil {
				return err
			}
			in, name := io.Reader(c.stdin), "standard input"
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in, name = f, args[0]
			}
			opts := server.ImportOptions{Partial: *partial, DryRun: *dryRun, Bad: func(e *server.RowError) {
				fmt.Fprintf(c.stderr, "%s: %v\n", name, e)
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
func reportImport(c *console, opts server.ImportOptions, r server.ImportResult) error {
	switch {
	case r.Bad > 0 && !opts.Partial:
		return fmt.Errorf("nothing was imported, for there are bad rows (good: %d, bad: %d); --partial imports the good ones", r.Good, r.Bad)
	case opts.DryRun:
		c.printf("nothing was imported, only checked (good: %d, bad: %d)\n", r.Good, r.Bad)
	default:
		c.printf("PNEs imported: %d, bad rows: %d\n", r.Imported, r.Bad)
	}
	return nil
}

var pneListCommand = command{
	name:  "pne list",
	args:  "--data DIR [--owner USER] [--json]",
	about: "list the PNEs, who owns them and the epoch of their newest assignment",
	flags: func(fs *flag.FlagSet) runFunc {
		data, asJSON := dataFlag(fs), jsonFlag(fs)
		owner := fs.String("owner", "", "only those of `USER`")
		return func(ctx context.Context, c *console, args []string) error {
			if err := wantArgs(args); err != nil {
				return err
			}
			type line struct {
				Entity  cpns.EntityID `json:"entity_id"`
				Owner   cpns.UserID   `json:"owner"`
				Epoch   cpns.Epoch    `json:"epoch"`
				Created time.Time     `json:"created"`
			}
			return withOperator(ctx, *data, func(op *server.Operator) error {
				t := newTable(c.stdout, *asJSON, "ENTITY ID\tOWNER\tEPOCH\tCREATED")
				return t.end(op.PNEs(ctx, func(p server.PNE) error {
					if *owner != "" && string(p.Owner) != *owner {
						return nil
					}
					return t.row(line{p.Entity, p.Owner, p.Epoch, p.Created}, "%s\t%s\t%d\t%s", p.Entity, orDash(p.Owner), p.Epoch, day(p.Created))
				}))
			})
		}
	},
}

var pneReleaseCommand = command{
	name:  "pne release",
	args:  "--data DIR ENTITY_ID...",
	about: "make PNEs nobody's: the next user to ask for their EUKeys becomes their owner",
	flags: func(fs *flag.FlagSet) runFunc {
		data := dataFlag(fs)
		return func(ctx context.Context, c *console, args []string) error {
			if len(args) == 0 {
				return &usageError{"ENTITY_ID is missing"}
			}
			return withOperator(ctx, *data, func(op *server.Operator) error {
				var errs []error
				for _, arg := range args {
					e := cpns.EntityID(arg)
					if err := op.Release(ctx, e); errors.Is(err, server.ErrNotFound) {
						errs = append(errs, fmt.Errorf("there is no PNE %q", arg))
					} else if err != nil {
						errs = append(errs, err)
					} else {
						c.printf("PNE %s released\n", e)
					}
				}
				return errors.Join(errs...)
			})
		}
	},
}
