package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/internal/labelsheet"
	"cpns.example.net/pngw/internal/qrcode"
)

var pneLabelsCommand = command.Command{
	Name: "pne labels", Options: "--data DIR [--owner USER] [--pdf FILE] [--svg DIR] [--png DIR]", Args: "[ENTITY_ID...]",
	Summary: "make the PNEs' labels",
	About:   "Makes what is printed on devices: the Entity ID with two characters of check, as text and as a QR code of that text. Of those PNEs that are named, or of all. There is no secret on a label: the Temporary Key is none of it. Prints the texts, a line each, and writes sheets into a new file, or a picture of each, in place of one that is there.",
	Example: "cpns-server pne labels --data /var/lib/cpns --pdf labels.pdf --size 50x25",
	Setup: func(fs *flag.FlagSet) command.Run {
		data := dataFlag(fs)
		var l labels
		owner := fs.String("owner", "", "only those of `USER`")
		fs.StringVar(&l.pdf, "pdf", "", "write sheets of labels to a new `FILE`")
		fs.StringVar(&l.svg, "svg", "", "write each to a file of its own in the folder `DIR`, as SVG")
		fs.StringVar(&l.png, "png", "", "the same as PNG, 10 pixels a module, without the text")
		page := fs.String("page", "a4", "a sheet's size, `PAGE` a4 or letter")
		size := fs.String("size", "70x37", "a label's, `WxH` in millimetres")
		borders := fs.Bool("borders", false, "draw a thin line around each label of a sheet")
		return func(ctx context.Context, c *command.Console, args []string) error {
			layout, err := labelsheet.NewLayout(*page, *size, *borders)
			if err != nil {
				return command.Misused("--%v", err)
			}
			l.layout, l.owner, l.out = layout, cpns.UserID(*owner), c.Stdout
			for _, arg := range args {
				e, err := cpns.ParseDevice(arg)
				if err != nil {
					return command.Misused("%v", err)
				}
				l.named = append(l.named, e)
			}
			if l.pdf != "" {
				if _, err := os.Lstat(l.pdf); !errors.Is(err, os.ErrNotExist) {
					return fmt.Errorf("%s is there already: nothing was written", l.pdf)
				}
			}
			if err := asOperator(ctx, c, *data, func(op operator) error { return l.make(ctx, op) }); err != nil {
				return err
			}
			for _, to := range []string{l.pdf, l.svg, l.png} {
				if to != "" {
					fmt.Fprintf(c.Stderr, "labels in %s: %d\n", to, l.made)
				}
			}
			return nil
		}
	},
}

// labels is what to make, and of whom.
type labels struct {
	owner         cpns.UserID
	named         []cpns.EntityID // none are all
	pdf, svg, png string
	layout        labelsheet.Layout
	out           io.Writer

	made int
}

// pixels of a module in a PNG.
const pixels = 10

func (l *labels) make(ctx context.Context, op operator) error {
	for _, dir := range []string{l.svg, l.png} {
		if dir != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
	}
	if l.pdf == "" {
		return l.each(ctx, op, func(string) error { return nil })
	}
	return durable.ReplaceBy(l.pdf, 0o644, func(w io.Writer) error {
		sheet := labelsheet.New(w, l.layout)
		if err := l.each(ctx, op, sheet.Add); err != nil {
			return err
		}
		return sheet.Close()
	})
}

// each makes everything of each label but the sheet.
func (l *labels) each(ctx context.Context, op operator, sheet func(label string) error) error {
	wanted := map[cpns.EntityID]bool{}
	for _, e := range l.named {
		wanted[e] = true
	}
	err := op.PNEs(ctx, server.PNEFilter{Owner: l.owner}, func(p server.PNE) error {
		if len(l.named) > 0 && !wanted[p.Entity] {
			return nil
		}
		delete(wanted, p.Entity)
		l.made++
		label := cpns.Label(p.Entity)
		if _, err := fmt.Fprintln(l.out, label); err != nil {
			return err
		}
		return errors.Join(sheet(label), l.pictures(p.Entity, label))
	})
	if err != nil {
		return err
	}
	for _, e := range l.named {
		switch {
		case wanted[e] && l.owner != "":
			return fmt.Errorf("user %s has no PNE %s", l.owner, e)
		case wanted[e]:
			return fmt.Errorf("there is no PNE %s: cpns-server pne list shows those that are", e)
		}
	}
	if l.made == 0 && l.owner != "" {
		return fmt.Errorf("user %s has no PNEs: there is no label to make", l.owner)
	}
	if l.made == 0 {
		return errors.New("there are no PNEs yet: cpns-server pne import makes the server know them")
	}
	return nil
}

func (l *labels) pictures(e cpns.EntityID, label string) error {
	name, _ := cpns.ApplicationIdentity(e) // which has no "/" nor "."; its length is no matter here
	if l.svg != "" {
		picture, err := qrcode.SVG(label, label)
		if err == nil {
			err = os.WriteFile(filepath.Join(l.svg, name+".svg"), picture, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if l.png == "" {
		return nil
	}
	picture, err := qrcode.PNG(label, pixels)
	if err == nil {
		err = os.WriteFile(filepath.Join(l.png, name+".png"), picture, 0o644)
	}
	return err
}
