package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"cpns.example.net/pngw/cmd/pngw/internal/config"
)

// Exit codes, which scripts rely on.
const (
	exitOther       = 1 // what the others are not
	exitUsage       = 2 // the command line or the configuration is wrong
	exitPending     = 3 // provision: assigned, not yet delivered
	exitRefused     = 4 // provision: the server refused
	exitUnreachable = 5 // provision: there was no server to ask
)

// exit is an error with an exit code of its own. A nil err has been said
// already.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exit{exitUsage, fmt.Errorf(format, args...)}
}

// command is one of pngw's commands.
type command struct {
	name    string
	usage   string // what stands behind the name
	summary string // one line, for the list of commands
	help    string // what the options are, and an example
	gc      int    // the collector's percentage, commandGC unless given
	run     func(context.Context, *call) error
}

func commands() []command {
	return []command{
		initCommand, runCommand,
		provisionCommand, listCommand, showCommand, forgetCommand, discoveredCommand,
		authenticateCommand, resolveCommand,
		linksCommand, statusCommand, versionCommand,
	}
}

// call is one run of a command.
type call struct {
	command
	args           []string      // behind the name
	flags          *flag.FlagSet // the command adds its own before parse
	configFile     string
	stdin          *os.File
	stdout, stderr io.Writer
}

// dispatch finds the command and runs it. Options that are common to all
// commands may stand before its name or after.
func dispatch(ctx context.Context, args []string) (code int) {
	c := &call{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	c.newFlags("pngw")
	c.configFile = config.DefaultFile
	help := c.flags.Bool("help", false, "")
	ver := c.flags.Bool("version", false, "")
	c.flags.BoolVar(help, "h", false, "")
	if err := c.flags.Parse(args); err != nil {
		return c.report(usageError("%v; see pngw help", flagError(err)))
	}
	args = c.flags.Args()
	switch {
	case *ver:
		args = []string{"version"}
	case *help, len(args) > 0 && args[0] == "help":
		return c.help(args)
	case len(args) == 0:
		printUsage(c.stderr)
		return exitUsage
	}

	for _, cmd := range commands() {
		if cmd.name == args[0] {
			c.command, c.args = cmd, args[1:]
			c.newFlags(cmd.name)
			boundMemory(cmp.Or(cmd.gc, commandGC))
			return c.report(cmd.run(ctx, c))
		}
	}
	return c.report(usageError("unknown command %q; see pngw help", args[0]))
}

func (c *call) newFlags(name string) {
	c.flags = flag.NewFlagSet(name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	c.flags.Usage = func() {}
	c.flags.Func("config", "", func(v string) error {
		if v == "" {
			return errors.New("no file given")
		}
		c.configFile = v
		return nil
	})
}

// parse reads the command's options, which may stand before, between and
// after what is not an option, and returns the latter: min to max of them. A
// negative max is no limit. Behind "--" nothing is an option.
func (c *call) parse(min, max int) ([]string, error) {
	var positional []string
	rest := c.args
	for {
		if err := c.flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				c.printHelp(c.stdout)
				return nil, &exit{code: 0}
			}
			return nil, usageError("%v; see pngw %s --help", flagError(err), c.name)
		}
		left := c.flags.Args()
		taken := len(rest) - len(left)
		if len(left) == 0 || taken > 0 && rest[taken-1] == "--" {
			positional = append(positional, left...)
			break
		}
		positional = append(positional, left[0])
		rest = left[1:]
	}
	switch {
	case len(positional) < min:
		return nil, usageError("something is missing: pngw %s %s; see pngw %s --help", c.name, c.usage, c.name)
	case max >= 0 && len(positional) > max:
		return nil, usageError("%q is too much: pngw %s %s; see pngw %s --help", positional[max], c.name, c.usage, c.name)
	}
	return positional, nil
}

// flagError puts a message of package flag the way that the help writes
// options: with two dashes.
func flagError(err error) error {
	text := err.Error()
	text = strings.Replace(text, "flag provided but not defined: -", "unknown option --", 1)
	text = strings.Replace(text, "flag needs an argument: -", "nothing follows option --", 1)
	text = strings.Replace(text, " for flag -", " for option --", 1)
	return errors.New(text)
}

// report prints err, if there is anything to say, and gives the exit code.
func (c *call) report(err error) int {
	if err == nil {
		return 0
	}
	code := exitOther
	var e *exit
	if errors.As(err, &e) {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(c.stderr, "pngw: %s\n", plain(line))
	}
	return code
}

// load reads the configuration. Mistakes in it are usage errors, whatever the
// command.
func (c *call) load() (*config.Config, error) {
	cfg, err := config.Load(c.configFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: bring it back, or say where it is by --config", err)
	}
	if err != nil {
		return nil, &exit{exitUsage, err}
	}
	return cfg, nil
}
