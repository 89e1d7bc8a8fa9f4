// Luci makes what LuCI takes of the translations of build/openwrt/luci-app-pngw, as
// LuCI's own build does, so that the packages that are installed by hand have them:
//
//	go run ./scripts/luci lmo IN.po OUT.lmo   a catalogue, as LuCI reads it
//	go run ./scripts/luci pot FOLDER          FOLDER/po/templates/pngw.pot, of what the sources say
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "luci:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "lmo":
		text, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		messages, err := parsePO(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", args[1], err)
		}
		return os.WriteFile(args[2], encodeLMO(messages), 0o644)
	case len(args) == 2 && args[0] == "pot":
		found, err := scan(args[1])
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(args[1], "po/templates/pngw.pot"), []byte(template(found)), 0o644)
	}
	return fmt.Errorf("usage: luci lmo IN.po OUT.lmo, or luci pot FOLDER")
}
