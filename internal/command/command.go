// Package command is the command line of the programs: commands with options,
// what is checked of them before they run, their help, their exit codes, and
// from the same source their manual page and what a shell completes.
//
// A main describes its [Program] and calls [Program.Execute]. How a password is
// asked for, and how lists look, are packages password and display. The standard
// library's flag reads options; a larger library would cost a router more than
// all of pngw's commands (docs/decisions).
//
// Where to read on: line.go finds the command that is named, execute.go runs it,
// arguments.go says which arguments it takes; help.go and man.go print what is declared;
// completion.go and words.go serve the shells.
package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
)

// Program is a program with commands.
type Program struct {
	Name    string
	Summary string // one sentence, without a full stop: "assigns keys"
	About   string // more, in paragraphs; see [Command.About]
	Notes   string // what stands below the list of commands, like About
	Date    string // of the manual page, as in 2026-03-01

	// Common declares the options that all commands have, but those that are
	// [Command.Apart].
	Common func(*flag.FlagSet)

	// Commands are in the order in which they are listed. One without a name is
	// what the program does if none is named.
	Commands []Command

	// Lists are what a shell may complete arguments with, beside file names.
	// ListOptions declares the options that they need and that are not common to
	// all commands.
	Lists       []List
	ListOptions func(*flag.FlagSet)
}

// Command is one thing that a program does.
type Command struct {
	Name string // one word or two: "list", "user add"

	// Options is how the options stand in the usage line, such as
	// "--data DIR [--json]".
	Options string

	// Args are the arguments behind them, each a word in capitals: "USER",
	// "[USER]" where it may be left out, "USER..." for one or more,
	// "[USER...]" for any number.
	Args string

	Summary string // one line for the list of commands, without a full stop

	// About says what the command does, in paragraphs with an empty line
	// between; it is filled to the width of the terminal. A line that begins
	// with a space stays as it is.
	About string

	Notes   string // what stands below the options: exit codes, say; like About
	Example string // one line to type

	// Hidden commands are not in the list.
	Hidden bool

	// Apart says why the options that all other commands have are none of this
	// one's: they are not in its help, and whoever gives one is told this.
	Apart string

	// Setup declares the command's options and returns what runs it. The name
	// of an option's value stands in backquotes in its usage text, see package
	// flag.
	Setup func(*flag.FlagSet) Run
}

// Run runs a command, with the arguments that are no options.
type Run func(ctx context.Context, c *Console, args []string) error

// List is what a kind of argument can be.
type List struct {
	Name string // for "completion lists NAME"
	Word string // the word in capitals of those arguments and options' values
	// All tells each of them. Its error goes nowhere: a shell that completes has
	// no place for it.
	All func(ctx context.Context, c *Console, tell func(string)) error
}

// Console is where a command reads and writes.
type Console struct {
	Program *Program
	Command *Command

	Stdin          *os.File
	Stdout, Stderr io.Writer

	flags *flag.FlagSet
}

// Printf writes to standard output.
func (c *Console) Printf(format string, args ...any) {
	fmt.Fprintf(c.Stdout, format, args...)
}

// Flags are the command's options, with the values that were given.
func (c *Console) Flags() *flag.FlagSet { return c.flags }

// Value is the value of an option, "" where there is no such option.
func (c *Console) Value(option string) string {
	if f := c.flags.Lookup(option); f != nil {
		return f.Value.String()
	}
	return ""
}

// full is the command as it is typed.
func (c *Console) full() string {
	if c.Command == nil || c.Command.Name == "" {
		return c.Program.Name
	}
	return c.Program.Name + " " + c.Command.Name
}
