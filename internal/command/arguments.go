package command

import (
	"flag"
	"strings"
	"time"
)

// parse reads options wherever they stand and returns the other arguments.
// Behind "--" nothing is an option.
func parse(f *flag.FlagSet, args []string) ([]string, error) {
	var positional []string
	for {
		if err := f.Parse(args); err == flag.ErrHelp {
			return nil, err
		} else if err != nil {
			return nil, &usageError{optionError(err)}
		}
		rest := f.Args()
		taken := len(args) - len(rest)
		if len(rest) == 0 || taken > 0 && args[taken-1] == "--" {
			return append(positional, rest...), nil
		}
		positional = append(positional, rest[0])
		args = rest[1:]
	}
}

// optionError puts a message of package flag the way that the help writes
// options: with two dashes.
func optionError(err error) string {
	return strings.NewReplacer(
		"flag provided but not defined: -", "unknown option --",
		"flag needs an argument: -", "nothing follows option --",
		" for flag -", " for option --",
	).Replace(err.Error())
}

// An argument is one word of [Command.Args].
type argument struct {
	word     string
	optional bool
	repeated bool
}

func arguments(args string) []argument {
	var all []argument
	for _, word := range strings.Fields(args) {
		inner, open := strings.CutPrefix(word, "[")
		inner, repeated := strings.CutSuffix(strings.TrimSuffix(inner, "]"), "...")
		all = append(all, argument{inner, open, repeated})
	}
	return all
}

// checkArgs names the argument that is missing, or the one that is too much.
func checkArgs(want string, got []string) error {
	for _, a := range arguments(want) {
		switch {
		case len(got) == 0 && !a.optional:
			return Misused("%s is missing", strings.TrimSuffix(a.word, "|-"))
		case a.repeated || len(got) == 0:
			return nil
		}
		got = got[1:]
	}
	if len(got) > 0 {
		return Misused("%q is one argument too many", got[0])
	}
	return nil
}

// Duration declares an option that is a time, such as 90s or 10m, and returns
// where its value will be.
func Duration(f *flag.FlagSet, name string, value time.Duration, usage string) *time.Duration {
	d := duration(value)
	f.Var(&d, name, usage)
	return (*time.Duration)(&d)
}

type duration time.Duration

func (d *duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err == nil {
		*d = duration(v)
		return nil
	}
	if _, err := time.ParseDuration(s + "s"); err == nil {
		return Misused("write %ss", s)
	}
	return Misused("want a time such as 90s, 10m or 2h")
}

func (d *duration) String() string {
	s := time.Duration(*d).String()
	for _, zero := range []string{"0s", "0m"} { // 1h0m0s
		if short, cut := strings.CutSuffix(s, zero); cut && strings.HasSuffix(short, "m") || cut && strings.HasSuffix(short, "h") {
			s = short
		}
	}
	return s
}
