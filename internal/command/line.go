package command

import (
	"flag"
	"strings"
)

// A line is a command line, taken apart as far as the command's name goes. Options
// may stand in front of it, and between its words.
type line struct {
	options []string
	words   []string // the name, or what is no name
	cmd     *Command // nil where none is named
	rest    []string // behind the name
	help    bool     // is asked for within the name
}

// read finds the command that is named.
func (p *Program) read(args []string) (l line, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if !strings.HasPrefix(word, "-") || word == "-" {
			l.words = append(l.words, word)
			if p.ends(&l, args) {
				return l, nil
			}
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		o := p.option(name)
		switch {
		case name == "": // the "--" that ends options
			continue
		case name == "help" || name == "h":
			l.help = true
			return l, nil
		case o == nil && name == "version" && len(l.words) == 0:
			return line{words: []string{name}, cmd: p.find(name)}, nil
		case o == nil:
			return l, Misused("unknown option --%s", name)
		}
		l.options = append(l.options, word)
		if !hasValue && !isBool(o) {
			if len(args) == 0 {
				return l, Misused("nothing follows option --%s", name)
			}
			l.options, args = append(l.options, args[0]), args[1:]
		}
	}
	return l, nil
}

// ends reports whether the words are all that is to be read of a name, and whose it is.
func (p *Program) ends(l *line, rest []string) bool {
	l.cmd, l.rest = p.find(strings.Join(l.words, " ")), rest
	return l.cmd != nil || len(l.words) > 1 || p.group(l.words[0]) == nil
}

// option is that of a name, the program's own or of whatever command has it; nil where
// none has, or where it takes a value in one command and none in another: then it has to
// stand behind the command's name.
func (p *Program) option(name string) *flag.Flag {
	f := newFlags()
	p.common(f)
	found := f.Lookup(name)
	for _, cmd := range p.all() {
		f := newFlags()
		cmd.Setup(f)
		o := f.Lookup(name)
		if o != nil && found != nil && isBool(o) != isBool(found) {
			return nil
		}
		if o != nil {
			found = o
		}
	}
	return found
}
