package command

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// Execute runs the command line and returns the exit code: 0, [Usage] for a
// command line that makes no sense, [Failed] or what an [Exit] says for all
// else that fails. Help is printed here.
func (p *Program) Execute(ctx context.Context, c *Console, args []string) int {
	c.Program = p
	l := line{rest: args}
	alone := p.find("")
	if alone == nil || len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		var err error
		if l, err = p.read(args); err != nil {
			return c.report(err)
		}
	} else if len(args) == 1 && (args[0] == "--version" || args[0] == "-version") {
		l = line{cmd: p.find("version")}
	}
	switch {
	case l.help:
		return p.helpOn(c, l.words)
	case len(l.words) > 0 && l.words[0] == "help":
		return p.helpOn(c, l.rest)
	case l.cmd != nil:
	case len(args) == 0 || alone == nil && len(l.words) == 0:
		p.help(c.Stderr)
		return Usage
	case alone != nil:
		l = line{cmd: alone, rest: args}
	default:
		if p.group(l.words[0]) != nil {
			c.Command = &Command{Name: l.words[0]} // whose help says what there is
		}
		return c.report(p.unknown(l.words))
	}
	c.Command = l.cmd
	f := newFlags()
	p.common(f)
	run := l.cmd.Setup(f)
	c.flags = f
	positional, err := parse(f, slices.Concat(l.options, l.rest))
	if errors.Is(err, flag.ErrHelp) {
		p.helpCommand(c.Stdout, l.cmd)
		return 0
	}
	if err == nil {
		err = p.checkApart(l.cmd, f)
	}
	if err == nil {
		err = checkArgs(l.cmd.Args, positional)
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

// declared are the options of a command, as they are shown.
func (p *Program) declared(cmd *Command) *flag.FlagSet {
	f := newFlags()
	if cmd.Apart == "" {
		p.common(f)
	}
	cmd.Setup(f)
	return f
}

// checkApart refuses the options that all commands have but this one.
func (p *Program) checkApart(cmd *Command, f *flag.FlagSet) (err error) {
	if cmd.Apart == "" {
		return nil
	}
	common := newFlags()
	p.common(common)
	f.Visit(func(given *flag.Flag) {
		if common.Lookup(given.Name) != nil {
			err = Misused("%s", cmd.Apart)
		}
	})
	return err
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

// group are the commands whose names begin with a word and go on.
func (p *Program) group(word string) (all []Command) {
	for _, cmd := range p.all() {
		if strings.HasPrefix(cmd.Name, word+" ") {
			all = append(all, cmd)
		}
	}
	return all
}

// unknown says what there is instead of a command that there is not.
func (p *Program) unknown(words []string) error {
	var names []string
	for _, cmd := range p.group(words[0]) {
		names = append(names, cmd.Name)
	}
	switch there := strings.Join(names, ", "); {
	case names != nil && len(words) == 1:
		return Misused("%s what? There are: %s", words[0], there)
	case names != nil:
		return Misused("unknown command %q; there are: %s", strings.Join(words, " "), there)
	}
	return Misused("unknown command %q", words[0])
}

// StandardConsole is where a program reads and writes.
func StandardConsole() *Console {
	return &Console{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
}
