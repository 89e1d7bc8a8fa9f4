package command

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"cpns.example.net/pngw/internal/display"
)

// maxBeside is how long an option's name and value may be to have their text
// beside them.
const maxBeside = 22

// help is the list of commands.
func (p *Program) help(w io.Writer) {
	if alone := p.find(""); alone != nil {
		p.helpCommand(w, alone)
		return
	}
	display.Fill(w, "", p.Name+" "+p.Summary+".", 0)
	const label = "usage: "
	fmt.Fprintln(w)
	display.Fill(w, label, p.Name+" "+p.commonOptions()+"COMMAND ...", len(label)+len(p.Name)+1)
	fmt.Fprintln(w)
	printCommands(w, p.listed())
	for _, text := range []string{p.About, p.Notes} {
		printParagraphs(w, text)
	}
	if f := newFlags(); p.Common != nil {
		p.Common(f)
		fmt.Fprintln(w)
		display.Fill(w, "", p.ofAll()+":", 0)
		printOptions(w, f)
	}
	fmt.Fprintln(w)
	display.Fill(w, "", p.Name+" COMMAND --help shows a command's options and an example.", 0)
}

// ofAll says whose the common options are.
func (p *Program) ofAll() string {
	var but []string
	for _, cmd := range p.listed() {
		if cmd.Apart != "" {
			but = append(but, cmd.Name)
		}
	}
	if but == nil {
		return "of all commands"
	}
	text := "of all commands but " + strings.Join(but, ", ")
	if at := strings.LastIndex(text, ", "); at >= 0 {
		text = text[:at] + " and" + text[at+1:]
	}
	return text
}

// listed are the commands that are not hidden.
func (p *Program) listed() []Command {
	var listed []Command
	for _, cmd := range p.all() {
		if !cmd.Hidden {
			listed = append(listed, cmd)
		}
	}
	return listed
}

// commonOptions is how common options stand in a usage line.
func (p *Program) commonOptions() string {
	text := ""
	f := newFlags()
	p.common(f)
	f.VisitAll(func(o *flag.Flag) {
		value, _ := flag.UnquoteUsage(o)
		text += "[" + strings.TrimSpace("--"+o.Name+" "+value) + "] "
	})
	return text
}

// helpOn is "help [COMMAND]". The first word of several commands has the list of these.
func (p *Program) helpOn(c *Console, words []string) int {
	if len(words) == 0 {
		p.help(c.Stdout)
		return 0
	}
	l, err := p.read(words)
	switch {
	case err != nil:
	case l.cmd != nil:
		p.helpCommand(c.Stdout, l.cmd)
		return 0
	case len(l.words) == 1 && p.group(l.words[0]) != nil:
		p.helpGroup(c.Stdout, l.words[0])
		return 0
	case len(l.words) > 0:
		err = p.unknown(l.words)
	}
	return c.report(err)
}

// helpGroup lists the commands whose names begin with a word.
func (p *Program) helpGroup(w io.Writer, word string) {
	display.Fill(w, "usage: ", p.Name+" "+word+" COMMAND ...", 0)
	fmt.Fprintln(w)
	printCommands(w, p.group(word))
	fmt.Fprintln(w)
	display.Fill(w, "", p.Name+" "+word+" COMMAND --help shows a command's options.", 0)
}

// printCommands is a list of commands.
func printCommands(w io.Writer, all []Command) {
	longest := 0
	for _, cmd := range all {
		longest = max(longest, len(cmd.Name))
	}
	for _, cmd := range all {
		display.Fill(w, fmt.Sprintf("  %-*s", longest+2, cmd.Name), cmd.Summary, longest+4)
	}
}

// usage is how a command is typed.
func (p *Program) usage(cmd *Command) string {
	return strings.Join(strings.Fields(p.Name+" "+cmd.Name+" "+cmd.Options+" "+cmd.Args), " ")
}

// helpCommand is what "COMMAND --help" prints.
func (p *Program) helpCommand(w io.Writer, cmd *Command) {
	const label = "usage: "
	display.Fill(w, label, p.usage(cmd), len(label)+len(p.Name)+1)
	about := cmd.About
	if about == "" {
		about = strings.ToUpper(cmd.Summary[:1]) + cmd.Summary[1:] + "."
	}
	printParagraphs(w, about)
	if f := p.declared(cmd); hasOptions(f) {
		fmt.Fprintln(w)
		printOptions(w, f)
	}
	printParagraphs(w, cmd.Notes)
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nexample:\n  %s\n", cmd.Example)
	}
}

func hasOptions(f *flag.FlagSet) bool {
	any := false
	f.VisitAll(func(*flag.Flag) { any = true })
	return any
}

// option is an option as help and manual show it.
type option struct {
	name string // with its value
	text string
}

func options(f *flag.FlagSet) []option {
	var all []option
	f.VisitAll(func(o *flag.Flag) {
		value, text := flag.UnquoteUsage(o)
		if o.DefValue != "" && o.DefValue != "false" && o.DefValue != "0" {
			text += " (" + o.DefValue + " if not given)"
		}
		all = append(all, option{strings.TrimSpace("--" + o.Name + " " + value), text})
	})
	return all
}

func printOptions(w io.Writer, f *flag.FlagSet) {
	column := 0
	all := options(f)
	for _, o := range all {
		if len(o.name) <= maxBeside {
			column = max(column, len(o.name))
		}
	}
	column += 4
	for _, o := range all {
		head := fmt.Sprintf("  %-*s", column-2, o.name)
		if len(o.name) > maxBeside {
			fmt.Fprintln(w, strings.TrimRight(head, " "))
			head = strings.Repeat(" ", column)
		}
		display.Fill(w, head, o.text, column)
	}
}

// printParagraphs prints paragraphs, with an empty line before each.
func printParagraphs(w io.Writer, text string) {
	for _, p := range paragraphs(text) {
		fmt.Fprintln(w)
		if p.asIs {
			fmt.Fprintln(w, p.text)
		} else {
			display.Fill(w, "", p.text, 0)
		}
	}
}

// A paragraph is text to be filled, or lines that stay as they are.
type paragraph struct {
	text string
	asIs bool
}

func paragraphs(text string) []paragraph {
	var all []paragraph
	for block := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		if strings.TrimSpace(block) != "" {
			all = append(all, paragraph{block, strings.HasPrefix(block, " ")})
		}
	}
	return all
}
