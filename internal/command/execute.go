package command

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Execute runs the command line and returns the exit code: 0, [Usage] for a
// command line that makes no sense, [Failed] or what an [Exit] says for all
// else that fails. Help is printed here.
func (p *Program) Execute(ctx context.Context, c *Console, args []string) int {
	c.Program = p
	first := newFlags()
	p.common(first)
	version := first.Bool("version", false, "")
	alone := p.find("")
	if alone == nil || len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		// Options in front of the command's name.
		switch err := first.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			p.help(c.Stdout)
			return 0
		case err != nil:
			return c.report(&usageError{optionError(err)})
		}
		args = first.Args()
	}
	if *version || len(args) == 1 && (args[0] == "--version" || args[0] == "-version") {
		args = []string{"version"}
	}
	if len(args) > 0 && args[0] == "help" {
		return p.helpOn(c, args[1:])
	}
	cmd, rest := p.named(args)
	switch {
	case cmd != nil:
	case len(args) == 0:
		p.help(c.Stderr)
		return Usage
	case alone != nil:
		cmd, rest = alone, args
	default:
		return c.report(p.unknown(args))
	}
	c.Command = cmd
	f := newFlags()
	p.common(f)
	run := cmd.Setup(f)
	first.Visit(func(given *flag.Flag) { // it has been accepted once
		if given.Name != "version" {
			f.Set(given.Name, given.Value.String())
		}
	})
	c.flags = f
	positional, err := parse(f, rest)
	if errors.Is(err, flag.ErrHelp) {
		p.helpCommand(c.Stdout, cmd)
		return 0
	}
	if err == nil {
		err = checkArgs(cmd.Args, positional)
	}
	if err == nil {
		err = run(ctx, c, positional)
	}
	return c.report(err)
}

// Interruptible is a context that ends with a signal that asks the program to
// end. A second signal ends the program at once.
func Interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func newFlags() *flag.FlagSet {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

func (p *Program) common(f *flag.FlagSet) {
	if p.Common != nil {
		p.Common(f)
	}
}

// all are the program's commands, with those that this package adds.
func (p *Program) all() []Command {
	return append(p.Commands[:len(p.Commands):len(p.Commands)], p.completion(), p.manual())
}

func (p *Program) find(name string) *Command {
	for _, cmd := range p.all() {
		if cmd.Name == name {
			return &cmd
		}
	}
	return nil
}

// named is the command that the first words name, and what is behind its name.
func (p *Program) named(args []string) (*Command, []string) {
	for n := min(2, len(args)); n > 0; n-- {
		if name := strings.Join(args[:n], " "); name != "" {
			if cmd := p.find(name); cmd != nil {
				return cmd, args[n:]
			}
		}
	}
	return nil, nil
}

// unknown says what there is instead of a command that there is not.
func (p *Program) unknown(args []string) error {
	var group []string
	for _, cmd := range p.all() {
		if strings.HasPrefix(cmd.Name, args[0]+" ") {
			group = append(group, cmd.Name)
		}
	}
	switch {
	case group != nil && len(args) == 1:
		return Misused("%s what? There are: %s", args[0], strings.Join(group, ", "))
	case group != nil:
		return Misused("unknown command %q; there are: %s", strings.Join(args[:2], " "), strings.Join(group, ", "))
	}
	return Misused("unknown command %q", args[0])
}

// StandardConsole is where a program reads and writes.
func StandardConsole() *Console {
	return &Console{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
}
