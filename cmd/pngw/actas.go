package main

import (
	"fmt"
	"path/filepath"

	"cpns.example.net/pngw/cmd/pngw/internal/handover"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

// actAs makes the command continue as another user, after giving that user the files in
// the folder own. Without a name it does nothing.
func actAs(c *command.Console, name, own string) error {
	switch {
	case name == "" && own == "":
		return nil
	case name == "" || own != "" && !filepath.IsAbs(own):
		return command.Misused("--own takes an absolute path, and --user beside it")
	}
	user, err := handover.Lookup(name)
	if err != nil {
		return err
	}
	if own != "" {
		left, err := handover.Give(filepath.Clean(own), user)
		for _, line := range left {
			fmt.Fprintf(c.Stderr, "pngw: %s\n", display.Plain(line))
		}
		if err != nil {
			return err
		}
	}
	return handover.Become(user)
}
