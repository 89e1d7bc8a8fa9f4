package buildinfo

import (
	"context"
	"flag"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

// Command is the command "version" of a program; see New for the rest.
func Command(program, version, linked string) command.Command {
	return command.Command{
		Name: "version", Options: "[--json]",
		Summary: "say which version this is",
		Setup: func(f *flag.FlagSet) command.Run {
			asJSON := f.Bool("json", false, "print it as an object with program, version, built, go and target")
			return func(_ context.Context, c *command.Console, _ []string) error {
				info := New(program, version, linked)
				if *asJSON {
					return display.JSON(c.Stdout, info)
				}
				c.Printf("%s", info.Text())
				return nil
			}
		},
	}
}
