package main

import (
	"context"
	"flag"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/internal/qrcode"
)

var labelCommand = command.Command{
	Name: "label", Options: "[--svg FILE] [--png FILE] [--text]", Args: "ENTITY_ID", Summary: "make a device's label",
	About:   `Shows what stands on a device's label: its Entity ID with two characters of check, as text and as a QR code of that text. There is nothing secret on it. Whatever takes an Entity ID takes the text of a label as well, and then a mistype shows before anything is sent.`,
	Example: "pngw label --svg meter-0001.svg meter-0001",
	Setup: func(f *flag.FlagSet) command.Run {
		svg := f.String("svg", "", "write the QR code, with the text below it, to `FILE` as SVG")
		png := f.String("png", "", "write the QR code alone to `FILE` as PNG, 10 pixels a module")
		text := f.Bool("text", false, "print the text only")
		return func(_ context.Context, c *command.Console, args []string) error {
			e, err := oneEntity(args)
			if err != nil {
				return err
			}
			return makeLabel(c, e, *svg, *png, *text)
		}
	},
}

// pixels of a module: a code of 25 modules is 2 cm wide at 400 dpi.
const pixels = 10

func makeLabel(c *command.Console, e cpns.EntityID, svg, png string, textOnly bool) error {
	label := cpns.Label(e)
	if svg != "" {
		picture, err := qrcode.SVG(label, label)
		if err == nil {
			err = durable.Replace(svg, picture, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if png != "" {
		picture, err := qrcode.PNG(label, pixels)
		if err == nil {
			err = durable.Replace(png, picture, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if svg == "" && png == "" && !textOnly {
		if err := qrcode.Draw(c.Stdout, label); err != nil {
			return err
		}
	}
	c.Printf("%s\n", label)
	return nil
}
