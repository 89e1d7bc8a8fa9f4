// Command cpns-server is the CPNS Server: it answers gateways (run) and manages
// what it knows about users, gateways and PNEs (everything else). Package
// cpns/server has what it does; here it is put together on a data folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

func main() {
	// What SQLite makes beside the database is nobody else's either.
	syscall.Umask(0o077)
	c := &console{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	if err := protectProcess(); err != nil {
		fmt.Fprintln(c.stderr, "cpns-server:", err)
		os.Exit(1)
	}
	os.Exit(execute(context.Background(), c, os.Args[1:]))
}

// console is where a command reads and writes.
type console struct {
	stdin          *os.File
	stdout, stderr io.Writer
}

func (c *console) printf(format string, args ...any) { fmt.Fprintf(c.stdout, format, args...) }

// A command is one thing that the program does.
type command struct {
	name  string // one or two words
	args  string // of the usage line
	about string
	// flags declares the command's flags; what it returns runs the command
	// with the arguments that are none.
	flags func(fs *flag.FlagSet) runFunc
}

type runFunc func(ctx context.Context, c *console, args []string) error

func commands() []command {
	return []command{
		initCommand, runCommand,
		userAddCommand, userPasswdCommand, userListCommand, userRemoveCommand,
		gatewayAddCommand, gatewayListCommand, gatewayRemoveCommand,
		pneImportCommand, pneListCommand, pneReleaseCommand,
		auditCommand, versionCommand,
	}
}

// A usageError is a command line that makes no sense.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

// execute runs the command line and returns the exit code: 0, 2 for a command
// line that makes no sense, 1 for everything else that fails.
func execute(ctx context.Context, c *console, args []string) int {
	cmd, rest, err := find(args)
	if errors.Is(err, flag.ErrHelp) {
		overview(c.stdout)
		return 0
	}
	if err != nil {
		fmt.Fprintf(c.stderr, "cpns-server: %v\nTry: cpns-server help\n", err)
		return 2
	}
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	run := cmd.flags(fs)
	positional, err := parseArgs(fs, rest)
	if errors.Is(err, flag.ErrHelp) {
		cmd.help(c.stdout, fs)
		return 0
	}
	if err == nil {
		err = run(ctx, c, positional)
	}
	if usage, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintf(c.stderr, "cpns-server %s: %s\n\n", cmd.name, usage.reason)
		cmd.help(c.stderr, fs)
		return 2
	}
	if err != nil {
		fmt.Fprintf(c.stderr, "cpns-server %s: %v\n", cmd.name, err)
		return 1
	}
	return 0
}

// find finds the command that the first words name. It fails with flag.ErrHelp
// where help is asked for.
func find(args []string) (command, []string, error) {
	if len(args) == 0 {
		return command{}, nil, errors.New("which command?")
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return command{}, nil, flag.ErrHelp
	}
	for _, cmd := range commands() {
		words := strings.Fields(cmd.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == cmd.name {
			return cmd, args[len(words):], nil
		}
	}
	return command{}, nil, fmt.Errorf("no command %q", strings.Join(args[:min(2, len(args))], " "))
}

// parseArgs parses flags wherever they stand and returns the other arguments.
// After "--" there are no flags.
func parseArgs(fs *flag.FlagSet, args []string) ([]string, error) {
	var positional []string
	for {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, &usageError{err.Error()}
		}
		rest := fs.Args()
		ended := len(args) > len(rest) && args[len(args)-len(rest)-1] == "--"
		if ended || len(rest) == 0 {
			return append(positional, rest...), nil
		}
		positional = append(positional, rest[0])
		args = rest[1:]
	}
}

// wantArgs checks that there is an argument for each of the names.
func wantArgs(args []string, names ...string) error {
	if len(args) < len(names) {
		return &usageError{names[len(args)] + " is missing"}
	}
	if len(args) > len(names) {
		return &usageError{fmt.Sprintf("%q is one argument too many", args[len(names)])}
	}
	return nil
}

func overview(w io.Writer) {
	fmt.Fprint(w, "cpns-server is a CPNS Server: it gives gateways the EUKeys of their users' PNEs.\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  cpns-server %-16s%s\n", cmd.name, cmd.about)
	}
	fmt.Fprint(w, "\ncpns-server COMMAND --help says more. First: init, user add, gateway add, pne import; then run.\n")
}

// help prints how the command is called.
func (cmd *command) help(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprintf(w, "usage: cpns-server %s\n%s\n", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.about)
	fs.VisitAll(func(f *flag.Flag) {
		name, about := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  --%s\n        %s", strings.TrimSpace(f.Name+" "+name), about)
		if f.DefValue != "" && f.DefValue != "false" {
			fmt.Fprintf(w, " (%s)", f.DefValue)
		}
		fmt.Fprintln(w)
	})
}
