package main

import (
	"bufio"
	"fmt"
	"strings"

	"golang.org/x/term"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

// canAsk refuses a command that would have to ask and finds nobody there.
func canAsk(c *command.Console, yes bool) error {
	if !yes && !term.IsTerminal(int(c.Stdin.Fd())) {
		return command.Misused("nobody to ask on standard input: say --yes")
	}
	return nil
}

// confirm asks whoever sits at the terminal; only yes means yes.
func confirm(c *command.Console, question string) bool {
	fmt.Fprintf(c.Stderr, "%s [y/N] ", display.Plain(question))
	answer, _ := bufio.NewReader(c.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
