// Package uci reads OpenWrt's configuration text (Unified Configuration Interface), as in /etc/config/pngw,
// on every Linux, so that a router and a desk have the same file.
//
//	config gateway 'main'
//		option id 'gw-0001'
//		list tag 'kitchen'
//
// Command pngw calls it: Parse gives the sections, a Decoder takes one section's options by name and reports
// what is missing, wrong or left over, each by its line. There is no writer: configuration is written by
// people and by uci(1).
//
// What libuci reads with one clear meaning is read with the same meaning here: three kinds of quoting, pieces
// of different quoting glued to one word, a backslash before any character outside single quotes, comments.
//
//	option owner 'the cat'\''s'     # the cat's
//
// What libuci accepts although it is nearly always a slip is refused by line: a word that goes on in the
// next line, a ; between commands, a # inside a word, one-letter commands, an option given twice, two
// sections of one name, a package line.
package uci

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of a file, in bytes. A configuration of a router with a hundred links stays far below them.
const (
	MaxFile = 64 << 10
	MaxLine = 4 << 10
)

// A Section is one config line and the options under it.
type Section struct {
	File    string // as given to Parse, for messages
	Type    string
	Name    string // empty where the section has none
	Line    int    // of the config line, from 1
	Options []Option
}

// An Option is one option line, or all list lines of one name.
type Option struct {
	Name   string
	Values []string // exactly one for an option line
	List   bool
	Line   int // of the first line that gives it, from 1
}

// A SyntaxError says where a file is wrong and why.
type SyntaxError struct {
	File string
	Line int // from 1; 0 where the fault is the whole file's
	Msg  string
}

// Error gives "file:line: message".
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Errorf makes a *SyntaxError that points at the section's config line.
func (s Section) Errorf(format string, args ...any) error {
	return &SyntaxError{File: s.File, Line: s.Line, Msg: fmt.Sprintf(format, args...)}
}

// Parse reads a whole file of at most MaxFile bytes. The name is for messages. What is wrong with the text
// is a *SyntaxError; an error of r comes wrapped.
func Parse(r io.Reader, name string) ([]Section, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > MaxFile {
		return nil, &SyntaxError{File: name, Msg: fmt.Sprintf("longer than %d bytes", MaxFile)}
	}
	p := parser{file: name}
	for line := range strings.SplitSeq(string(text), "\n") {
		p.line++
		if err := p.parseLine(strings.TrimSuffix(line, "\r")); err != nil {
			return nil, err
		}
	}
	return p.sections, nil
}

// A parser holds the sections read so far; the last one is open.
type parser struct {
	file     string
	line     int
	sections []Section
}

func (p *parser) errorf(format string, args ...any) error {
	return &SyntaxError{File: p.file, Line: p.line, Msg: fmt.Sprintf(format, args...)}
}

// parseLine takes one line without its line end.
func (p *parser) parseLine(line string) error {
	if len(line) > MaxLine {
		return p.errorf("line longer than %d bytes", MaxLine)
	}
	if !utf8.ValidString(line) {
		return p.errorf("not UTF-8 text")
	}
	if i := strings.IndexFunc(line, isControl); i >= 0 {
		return p.errorf("control character %q", line[i])
	}
	line = strings.TrimLeft(line, " \t")
	if line == "" || line[0] == '#' {
		return nil
	}
	// The first word is bare: libuci knows no quotes around it.
	command, rest := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		command, rest = line[:i], line[i:]
	}
	args, err := splitWords(rest)
	if err != nil {
		return p.errorf("%v", err)
	}
	switch command {
	case "config":
		return p.parseConfig(args)
	case "option", "list":
		return p.parseOption(command, args)
	case "package":
		return p.errorf("a package line belongs to uci import and export, not into a file: take it out")
	default:
		// Not quoted: a file given in place of this one may hold a key or a password.
		return p.errorf("the line begins with none of config, option and list")
	}
}

// config TYPE [NAME]
func (p *parser) parseConfig(args []string) error {
	if len(args) == 0 {
		return p.errorf("config without a section type")
	}
	if len(args) > 2 {
		return p.errorf("text after the section name: %q (quote a name, leave out the rest)", args[2])
	}
	s := Section{File: p.file, Type: args[0], Line: p.line}
	if !validType(s.Type) {
		return p.errorf("section type %q: want printable ASCII without spaces", s.Type)
	}
	// As with libuci, an empty name is no name.
	if len(args) == 2 && args[1] != "" {
		s.Name = args[1]
		if !validName(s.Name) {
			return p.errorf("section name %q: want letters, digits and _ only", s.Name)
		}
		for _, earlier := range p.sections {
			if earlier.Name == s.Name {
				return p.errorf("a second section named %q, the first is in line %d", s.Name, earlier.Line)
			}
		}
	}
	p.sections = append(p.sections, s)
	return nil
}

// option NAME VALUE, list NAME VALUE
func (p *parser) parseOption(command string, args []string) error {
	if len(p.sections) == 0 {
		return p.errorf("%s before the first config line", command)
	}
	if len(args) == 0 {
		return p.errorf("%s without a name", command)
	}
	name := args[0]
	if !validName(name) {
		return p.errorf("%s name %q: want letters, digits and _ only", command, name)
	}
	if len(args) == 1 {
		return p.errorf("%s %s without a value", command, name)
	}
	if len(args) > 2 {
		return p.errorf("text after the value of %s: %q (put quotes around a value with spaces)", name, args[2])
	}
	o := Option{Name: name, Values: args[1:], List: command == "list", Line: p.line}
	s := &p.sections[len(p.sections)-1]
	for i := range s.Options {
		earlier := &s.Options[i]
		switch {
		case earlier.Name != name:
		case o.List && earlier.List:
			earlier.Values = append(earlier.Values, o.Values...)
			return nil
		case o.List != earlier.List:
			return p.errorf("%s is given as option and as list, first in line %d", name, earlier.Line)
		default:
			return p.errorf("option %s is given twice, first in line %d", name, earlier.Line)
		}
	}
	s.Options = append(s.Options, o)
	return nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// validName holds for section and option names what libuci holds: they end up as shell variables.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_') {
			return false
		}
	}
	return s != ""
}

func validType(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
