package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

// listedPNEs bounds the lines of a list: it is in memory as a whole.
const listedPNEs = 1_200_000

// A wantedPNE is one that a command is about.
type wantedPNE struct {
	id    cpns.EntityID
	where string // in the list, "" on the command line
}

// named are those of the command line.
func named(args []string) []wantedPNE {
	all := make([]wantedPNE, len(args))
	for n, arg := range args {
		all[n].id = cpns.EntityID(arg)
	}
	return all
}

// wantedPNEs says which PNEs a command is about.
type wantedPNEs struct{ file string }

// wantedFlag declares --list.
func wantedFlag(fs *flag.FlagSet) *wantedPNEs {
	w := new(wantedPNEs)
	fs.StringVar(&w.file, "list", "", "also those in `FILE`, an Entity ID a line")
	return w
}

// all are those of the command line and those of the list, which is read as a whole, with
// the rights of who gives the command, before anything is changed.
func (w *wantedPNEs) all(args []string) ([]wantedPNE, error) {
	all := named(args)
	if w.file != "" {
		f, err := os.Open(w.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in := bufio.NewScanner(f)
		for n := 1; in.Scan(); n++ {
			line := strings.TrimSpace(strings.TrimPrefix(in.Text(), "\ufeff"))
			if line == "" {
				continue
			}
			where := fmt.Sprintf("%s: line %d", w.file, n)
			if n == 1 && strings.ContainsAny(line, ",;\t") && strings.HasPrefix(strings.ToLower(line), "entity_id") {
				return nil, fmt.Errorf("%s: a table, and a list has one Entity ID a line: nothing was changed", where)
			}
			if _, err := cpns.ParseEntityID(line); err != nil {
				return nil, fmt.Errorf("%s: %w: nothing was changed", where, err)
			}
			if len(all) == listedPNEs {
				return nil, fmt.Errorf("%s: more than %d PNEs: split the file: nothing was changed", where, listedPNEs)
			}
			all = append(all, wantedPNE{cpns.EntityID(line), where})
		}
		if err := in.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w: nothing was changed", w.file, err)
		}
	}
	if len(all) == 0 {
		return nil, command.Misused("ENTITY_ID or --list FILE is missing")
	}
	return all, nil
}

// eachPNE does something with each of some PNEs, also where the server does not know
// others: those are named, each with its line where it is of a list. Anything else that
// fails ends it; what was done stays, and given again the command goes on.
func eachPNE(ctx context.Context, c *command.Console, data place, all []wantedPNE, do func(operator, cpns.EntityID) error) error {
	return asOperator(ctx, c, data, func(op operator) error {
		unknown := 0
		for _, p := range all {
			err := do(op, p.id)
			if p.where != "" && err != nil {
				err = fmt.Errorf("%s: %w", p.where, noPNE(err, ""))
			} else {
				err = noPNE(err, p.id)
			}
			switch {
			case err == nil:
			case errors.Is(err, server.ErrNotFound):
				fmt.Fprintln(c.Stderr, err)
				unknown++
			case p.where != "":
				return fmt.Errorf("%w: what was done before stays, and the same command goes on", err)
			default:
				return err
			}
		}
		if unknown > 0 {
			return fmt.Errorf("PNEs that the server does not know: %d of %d", unknown, len(all))
		}
		return nil
	})
}
