package main

import (
	"fmt"
	"io"
)

const usageHead = `pngw assigns EUKeys to headless devices behind this gateway.

usage: pngw [--config FILE] COMMAND ...

`

const usageTail = `
--config FILE is the configuration, /etc/config/pngw unless given; it may stand
before the command or behind it. "pngw COMMAND --help" shows options and an
example.

exit codes: 0 done, 1 failed, 2 usage or configuration; of provision also
3 assigned but not yet delivered, 4 refused by the server, 5 no server.
`

func printUsage(w io.Writer) {
	io.WriteString(w, usageHead)
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  %-14s%s\n", cmd.name, cmd.summary)
	}
	io.WriteString(w, usageTail)
}

// help is "pngw help [COMMAND]" and "pngw --help".
func (c *call) help(args []string) int {
	if len(args) < 2 {
		printUsage(c.stdout)
		return 0
	}
	for _, cmd := range commands() {
		if cmd.name == args[1] {
			c.command = cmd
			c.printHelp(c.stdout)
			return 0
		}
	}
	return c.report(usageError("unknown command %q; see pngw help", args[1]))
}

func (c *call) printHelp(w io.Writer) {
	line := "usage: pngw " + c.name
	if c.usage != "" {
		line += " " + c.usage
	}
	fmt.Fprintf(w, "%s\n\n%s", line, c.command.help)
}
