package command

import (
	"bufio"
	"fmt"
	"strings"

	"golang.org/x/term"

	"cpns.example.net/pngw/internal/display"
)

// CanAsk refuses a command that would have to ask and finds nobody there, as in a
// script; option --yes is the answer beforehand.
func (c *Console) CanAsk(yes bool) error {
	if !yes && !term.IsTerminal(int(c.Stdin.Fd())) {
		return Misused("nobody to ask on standard input: say --yes")
	}
	return nil
}

// Confirm asks whoever sits at the terminal; only yes means yes.
func (c *Console) Confirm(question string) bool {
	fmt.Fprintf(c.Stderr, "%s [y/N] ", display.Plain(question))
	answer, _ := bufio.NewReader(c.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
