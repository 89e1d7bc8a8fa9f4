package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

// manual is the command that prints the manual page, for whoever builds a
// package.
func (p *Program) manual() Command {
	return Command{
		Name: "man", Summary: "print the manual page, in roff", Hidden: true,
		Setup: func(*flag.FlagSet) Run {
			return func(_ context.Context, c *Console, _ []string) error {
				page := new(strings.Builder)
				p.man(page)
				_, err := io.WriteString(c.Stdout, page.String())
				return err
			}
		},
	}
}

// man writes the program's manual page in the macros of man(7).
func (p *Program) man(w io.Writer) {
	fmt.Fprintf(w, ".TH %s 1 %s\n", roff(strings.ToUpper(p.Name)), p.Date)
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(p.Name), roff(p.Summary))
	fmt.Fprintln(w, ".SH SYNOPSIS")
	alone := p.find("")
	if alone != nil {
		manUsage(w, p.usage(alone))
	} else {
		manUsage(w, p.Name+" "+p.commonOptions()+"COMMAND ...")
	}
	if about := paragraphs(p.About); len(about) > 0 || alone != nil {
		fmt.Fprintln(w, ".SH DESCRIPTION")
		manParagraphs(w, p.About, true)
	}
	if alone != nil {
		manParagraphs(w, alone.About, p.About == "")
		fmt.Fprintln(w, ".SH OPTIONS")
		p.manOptions(w, alone)
		if alone.Notes != "" {
			fmt.Fprintln(w, ".SH NOTES")
			manParagraphs(w, alone.Notes, true)
		}
		p.manExample(w, ".SH EXAMPLES", alone)
	} else if p.Common != nil {
		f := newFlags()
		p.Common(f)
		fmt.Fprintf(w, ".SH OPTIONS\n%s:\n", roff(p.ofAll()))
		manList(w, options(f))
	}
	fmt.Fprintln(w, ".SH COMMANDS")
	for _, cmd := range p.listed() {
		if cmd.Name == "" {
			continue
		}
		fmt.Fprintf(w, ".SS %s\n", roff(strings.TrimSpace(p.Name+" "+cmd.Name)))
		manUsage(w, p.usage(&cmd))
		about := cmd.About
		if about == "" {
			about = strings.ToUpper(cmd.Summary[:1]) + cmd.Summary[1:] + "."
		}
		manParagraphs(w, about, false)
		p.manOptions(w, &cmd)
		manParagraphs(w, cmd.Notes, false)
		p.manExample(w, ".PP\nExample:", &cmd)
	}
	if p.Notes != "" {
		fmt.Fprintln(w, ".SH NOTES")
		manParagraphs(w, p.Notes, true)
	}
}

// manOptions lists the options that the command does not share with all others.
func (p *Program) manOptions(w io.Writer, cmd *Command) {
	f := newFlags()
	cmd.Setup(f)
	manList(w, options(f))
}

func manList(w io.Writer, all []option) {
	for _, o := range all {
		fmt.Fprintf(w, ".TP\n\\fB%s\\fR\n%s\n", roff(o.name), roff(o.text))
	}
}

func manUsage(w io.Writer, usage string) {
	fmt.Fprintf(w, "\\fB%s\\fR\n", roff(usage))
}

func (p *Program) manExample(w io.Writer, heading string, cmd *Command) {
	if cmd.Example != "" {
		fmt.Fprintf(w, "%s\n.RS\n.nf\n%s\n.fi\n.RE\n", heading, roff(cmd.Example))
	}
}

// manParagraphs writes paragraphs. The first behind a heading needs no macro.
func manParagraphs(w io.Writer, text string, behindHeading bool) {
	for i, p := range paragraphs(text) {
		switch {
		case p.asIs:
			fmt.Fprintf(w, ".PP\n.nf\n%s\n.fi\n", roff(p.text))
		case i == 0 && behindHeading:
			fmt.Fprintln(w, roff(p.text))
		default:
			fmt.Fprintf(w, ".PP\n%s\n", roff(p.text))
		}
	}
}

// roff makes text literal: nothing in it is a request, an escape, or a dash that
// is printed as another.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if strings.HasPrefix(line, ".") {
			b.WriteString(`\&`)
		}
		b.WriteString(line)
	}
	return b.String()
}
