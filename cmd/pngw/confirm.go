package main

import (
	"bufio"
	"fmt"
	"strings"

	"golang.org/x/term"
)

// canAsk refuses a command that would have to ask and finds nobody there.
func (c *call) canAsk(yes bool) error {
	if !yes && !term.IsTerminal(int(c.stdin.Fd())) {
		return usageError("nobody to ask on standard input: say --yes")
	}
	return nil
}

// confirm asks whoever sits at the terminal; only yes means yes.
func (c *call) confirm(question string) bool {
	fmt.Fprintf(c.stderr, "%s [y/N] ", plain(question))
	answer, _ := bufio.NewReader(c.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
