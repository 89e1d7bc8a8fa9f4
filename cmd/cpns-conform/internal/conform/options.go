package conform

import (
	"flag"
	"fmt"
	"path"
	"strings"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

// Options are those that every suite's command has.
type Options struct {
	only, skip  string
	list, bytes bool
	json, junit string
}

// Usage is how they stand in a usage line.
const Usage = "[--only NAMES] [--skip NAMES] [--bytes] [--json FILE] [--junit FILE]"

// Declare declares them.
func (o *Options) Declare(f *flag.FlagSet) {
	f.StringVar(&o.only, "only", "", "try only these cases: `NAMES` with commas between; * stands for any characters, as in update-*")
	f.StringVar(&o.skip, "skip", "", "leave these cases out, `NAMES` as with --only")
	f.BoolVar(&o.list, "list", false, "print the cases, each with its clause, and try none")
	f.BoolVar(&o.bytes, "bytes", false, "report all that was sent and heard in each case, byte for byte")
	f.StringVar(&o.json, "json", "", "write the report as JSON into `FILE`, - for standard output in place of the text")
	f.StringVar(&o.junit, "junit", "", "write the report as JUnit XML into `FILE`, - for standard output in place of the text")
}

// Lists reports whether the cases are only to be listed: then a command asks for none of
// its other options.
func (o *Options) Lists() bool { return o.list }

// chosen are the cases that --only and --skip leave.
func (s *Suite[P]) chosen(o *Options) (cases []Case[P], err error) {
	only, err := s.patterns("only", o.only)
	if err != nil {
		return nil, err
	}
	skip, err := s.patterns("skip", o.skip)
	if err != nil {
		return nil, err
	}
	for _, c := range s.Cases {
		if (only == nil || matchesAny(only, c.Name)) && !matchesAny(skip, c.Name) {
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 {
		return nil, command.Misused("--only and --skip leave no case")
	}
	return cases, nil
}

// patterns reads a list of names, each of which some case must have.
func (s *Suite[P]) patterns(option, list string) (patterns []string, err error) {
	if list == "" {
		return nil, nil
	}
	for pattern := range strings.SplitSeq(list, ",") {
		pattern = strings.TrimSpace(pattern)
		found := false
		for _, c := range s.Cases {
			found = found || matchesAny([]string{pattern}, c.Name)
		}
		if !found {
			return nil, command.Misused("--%s: no case is named %q; --list prints them", option, pattern)
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}

func matchesAny(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// print is --list.
func (s *Suite[P]) print(c *command.Console, cases []Case[P]) error {
	rows := [][]string{{"CASE", "CLAUSE", "WHAT MUST HOLD"}}
	for _, k := range cases {
		rows = append(rows, []string{k.Name, k.Clause, k.Says})
	}
	if err := display.Table(c.Stdout, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Stdout, "%d cases\n", len(cases))
	return err
}
