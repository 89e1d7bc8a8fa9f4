package command

import (
	"context"
	"flag"
	"slices"
	"strings"
)

// A typed is a command line that somebody is typing, as far as it goes.
type typed struct {
	c          *Console
	cmd        *Command // nil until it is named
	positional []string // behind its name
	front      []string // options that the program has not itself, before the name
	pending    *flag.Flag
	ended      bool // by "--": nothing that follows is an option
}

// candidates are what the last of the words behind the program's name can be:
// complete words, or files.
func (c *Console) candidates(ctx context.Context, words []string) (all []string, files bool) {
	t := &typed{c: c}
	t.enter(c.Program.find(""))
	for _, word := range words[:len(words)-1] {
		t.take(word)
	}
	last := words[len(words)-1]
	option, value, hasValue := strings.Cut(last, "=")
	switch {
	case t.pending != nil:
		return t.values(ctx, valueWord(t.pending), last)
	case t.ended || !strings.HasPrefix(last, "-"):
		return t.argument(ctx, last)
	case !hasValue:
		return t.options(last), false
	}
	if f := t.lookup(option); f != nil {
		all, files = t.values(ctx, valueWord(f), value)
	}
	for i := range all {
		all[i] = option + "=" + all[i]
	}
	return all, files
}

// enter makes the options of cmd known. It may be nil.
func (t *typed) enter(cmd *Command) {
	f := newFlags()
	if cmd == nil {
		t.c.Program.common(f)
	} else {
		f = t.c.Program.declared(cmd)
	}
	if t.c.flags != nil { // what was given in front of the name
		t.c.flags.Visit(func(given *flag.Flag) {
			if f.Lookup(given.Name) != nil {
				f.Set(given.Name, given.Value.String())
			}
		})
	}
	for _, option := range t.front {
		f.Parse([]string{option}) // a mistake in it shows when the command runs
	}
	t.cmd, t.c.flags = cmd, f
}

// take goes past one complete word.
func (t *typed) take(word string) {
	option, value, hasValue := strings.Cut(word, "=")
	switch {
	case t.pending != nil:
		t.set(t.pending, word)
		t.pending = nil
	case t.ended:
		t.positional = append(t.positional, word)
	case word == "--":
		t.ended = true
	case strings.HasPrefix(word, "-") && word != "-":
		f := t.lookup(option)
		switch {
		case f == nil || isBool(f) && !hasValue:
		case hasValue:
			t.set(f, value)
		default:
			t.pending = f
		}
	default:
		t.positional = append(t.positional, word)
		if t.cmd != nil && t.cmd.Name != "" {
			return
		}
		if cmd := t.c.Program.find(strings.Join(t.positional, " ")); cmd != nil {
			t.enter(cmd)
			t.positional = nil
		}
	}
}

// set gives an option its value.
func (t *typed) set(f *flag.Flag, value string) {
	if t.c.flags.Set(f.Name, value) != nil && t.cmd == nil {
		t.front = append(t.front, "--"+f.Name+"="+value)
	}
}

// lookup is an option, before the command's name that of any command.
func (t *typed) lookup(option string) *flag.Flag {
	name := strings.TrimLeft(option, "-")
	if f := t.c.flags.Lookup(name); f != nil || t.cmd != nil {
		return f
	}
	return t.c.Program.option(name)
}

// options are the options that begin with prefix.
func (t *typed) options(prefix string) (all []string) {
	t.c.flags.VisitAll(func(f *flag.Flag) {
		if name := "--" + f.Name; strings.HasPrefix(name, prefix) {
			all = append(all, name)
		}
	})
	if strings.HasPrefix("--help", prefix) {
		all = append(all, "--help")
	}
	return all
}

// argument is what an argument can be that begins with prefix: a word of a
// command's name until there is a command.
func (t *typed) argument(ctx context.Context, prefix string) (all []string, files bool) {
	if t.cmd == nil || t.cmd.Name == "" {
		for _, cmd := range t.c.Program.listed() {
			words := strings.Fields(cmd.Name)
			n := len(t.positional)
			if n < len(words) && slices.Equal(words[:n], t.positional) &&
				strings.HasPrefix(words[n], prefix) && !slices.Contains(all, words[n]) {
				all = append(all, words[n])
			}
		}
	}
	if t.cmd == nil {
		return all, false
	}
	n := len(t.positional)
	for _, a := range arguments(t.cmd.Args) {
		if n == 0 || a.repeated {
			more, files := t.values(ctx, a.word, prefix)
			return append(all, more...), files
		}
		n--
	}
	return all, false
}

// values are what a word of a usage line stands for, as far as it begins with
// prefix. What is there already is not offered once more.
func (t *typed) values(ctx context.Context, word, prefix string) (all []string, files bool) {
	switch alternatives := strings.Split(word, "|"); {
	case alternatives[0] == "FILE", alternatives[0] == "DIR", alternatives[0] == "DEVICE":
		return nil, true
	case len(alternatives) > 1:
		for _, a := range alternatives {
			if a == strings.ToLower(a) && strings.HasPrefix(a, prefix) {
				all = append(all, a)
			}
		}
		return all, false
	}
	for _, l := range t.c.Program.Lists {
		if l.Word == word {
			l.All(ctx, t.c, func(s string) {
				if strings.HasPrefix(s, prefix) && !slices.Contains(t.positional, s) {
					all = append(all, s)
				}
			})
		}
	}
	return all, false
}

// valueWord is the word for an option's value in the help.
func valueWord(f *flag.Flag) string {
	word, _ := flag.UnquoteUsage(f)
	return word
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// splitLine takes a line apart into words as a shell does, without expanding
// anything. The last word is the one that is being typed: empty behind a blank.
// A quotation that is still open ends with the line.
func splitLine(line string) []string {
	var words []string
	var word strings.Builder
	var quote rune // the open one
	escaped := false
	for _, r := range line {
		switch {
		case escaped:
			escaped = false
			if quote == '"' && !strings.ContainsRune("$`\"\\", r) {
				word.WriteRune('\\')
			}
			word.WriteRune(r)
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote = r
		case r == ' ' || r == '\t':
			if word.Len() > 0 { // an empty word in quotes matters to nobody here
				words = append(words, word.String())
				word.Reset()
			}
		default:
			word.WriteRune(r)
		}
	}
	return append(words, word.String())
}
