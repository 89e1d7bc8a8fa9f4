package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample is a program that says what it was called with.
func sample() *Program {
	say := func(name string) func(*flag.FlagSet) Run {
		return func(f *flag.FlagSet) Run {
			loud := f.Bool("loud", false, "say it louder")
			wait := Duration(f, "wait", time.Minute, "how long, a `TIME`")
			f.String("from", "", "a `FILE`")
			return func(_ context.Context, c *Console, args []string) error {
				c.Printf("%s conf=%s loud=%v wait=%v %q\n", name, c.Value("conf"), *loud, *wait, args)
				return nil
			}
		}
	}
	return &Program{
		Name: "prog", Summary: "does things", Date: "2026-03-01",
		Common: func(f *flag.FlagSet) { f.String("conf", "std", "the `FILE` to read") },
		Commands: []Command{
			{Name: "one", Args: "THING", Summary: "take one", Setup: say("one")},
			{Name: "many", Args: "THING...", Summary: "take many", Setup: say("many")},
			{Name: "maybe", Args: "[THING]", Summary: "take one or none", Setup: say("maybe")},
			{Name: "thing add", Args: "THING FILE|-", Summary: "add one", Setup: say("thing add")},
			{Name: "thing list", Summary: "list all", Setup: say("thing list")},
			{Name: "here", Summary: "do without", Apart: "it reads no configuration", Setup: func(f *flag.FlagSet) Run {
				f.Bool("all", false, "everything")
				f.Bool("from", false, "from the beginning")
				return func(_ context.Context, c *Console, _ []string) error { c.Printf("here\n"); return nil }
			}},
			{Name: "secret", Summary: "be there", Hidden: true, Setup: say("secret")},
			{Name: "fail", Args: "[WAY]", Summary: "fail", Setup: func(*flag.FlagSet) Run {
				return func(_ context.Context, _ *Console, args []string) error {
					switch {
					case len(args) == 0:
						return errors.New("a\nb\x1b[31m")
					case args[0] == "silent":
						return &Exit{Code: 7}
					case args[0] == "misused":
						return fmt.Errorf("wrapped: %w", Misused("not so"))
					}
					return &Exit{Code: 3, Err: errors.New("of its own")}
				}
			}},
		},
		Lists: []List{{Name: "things", Word: "THING", All: func(_ context.Context, c *Console, tell func(string)) error {
			for _, thing := range []string{"urn:a", "urn:b", "$x y"} {
				tell(thing)
			}
			tell("of-" + c.Value("conf"))
			return nil
		}}},
	}
}

func execute(p *Program, args ...string) (string, int) {
	var out bytes.Buffer
	code := p.Execute(context.Background(), &Console{Stdout: &out, Stderr: &out}, args)
	return out.String(), code
}

func TestExecute(t *testing.T) {
	tests := []struct {
		args string // separated by blanks
		want string // the beginning of what is printed
		code int
	}{
		{"one a", `one conf=std loud=false wait=1m0s ["a"]`, 0},
		{"one --loud a --wait 2s", `one conf=std loud=true wait=2s ["a"]`, 0},
		{"one a --loud", `one conf=std loud=true wait=1m0s ["a"]`, 0},
		{"one -- --loud", `one conf=std loud=false wait=1m0s ["--loud"]`, 0},
		{"--conf x one a", `one conf=x loud=false wait=1m0s ["a"]`, 0},
		{"one a --conf=x", `one conf=x `, 0},
		{"--conf x one a --conf y", `one conf=y `, 0},
		{"many a b --loud c", `many conf=std loud=true wait=1m0s ["a" "b" "c"]`, 0},
		{"maybe", `maybe conf=std loud=false wait=1m0s []`, 0},
		{"thing add a -", `thing add conf=std loud=false wait=1m0s ["a" "-"]`, 0},
		{"secret", `secret `, 0},

		// Options of the command's own in front of its name, and within it.
		{"--loud one a", `one conf=std loud=true `, 0},
		{"--wait 2s --conf x one a --conf y", `one conf=y loud=false wait=2s `, 0},
		{"--wait=2s thing list", `thing list conf=std loud=false wait=2s `, 0},
		{"--from one one a", "prog: unknown option --from; see prog --help\n", Usage}, // of two kinds
		{"thing --loud --wait 3s list", `thing list conf=std loud=true `, 0},
		{"thing --loud", "prog: thing what? There are: thing add, thing list; see prog thing --help\n", Usage},
		{"--all one a", "prog: unknown option --all; see prog one --help\n", Usage},
		{"--wait soon one a", `prog: invalid value "soon" for option --wait: want a time such as 90s, 10m or 2h; see prog one --help`, Usage},
		{"--wait", "prog: nothing follows option --wait; see prog --help\n", Usage},
		{"--loud", "prog does things.\n", Usage},
		{"-- one a", `one conf=std `, 0},

		// Options that are none of the command's.
		{"here --all", "here\n", 0},
		{"here --conf x", "prog: it reads no configuration; see prog here --help\n", Usage},
		{"--conf x here", "prog: it reads no configuration; see prog here --help\n", Usage},
		{"here --help", "usage: prog here\n\nDo without.\n\n  --all   everything\n  --from  from the beginning\n", 0},

		{"", "prog does things.\n\nusage: prog [--conf FILE] COMMAND ...", Usage},
		{"help", "prog does things.\n", 0},
		{"--help", "prog does things.\n", 0},
		{"help thing add", "usage: prog thing add THING FILE|-\n", 0},
		{"thing add -h", "usage: prog thing add THING FILE|-\n", 0},
		{"thing --help", "usage: prog thing COMMAND ...\n\n  thing add   add one\n  thing list  list all\n\nprog thing COMMAND --help shows a command's options.\n", 0},
		{"thing -h list", "usage: prog thing COMMAND ...\n", 0},
		{"--conf x thing --help", "usage: prog thing COMMAND ...\n", 0},
		{"help thing", "usage: prog thing COMMAND ...\n", 0},
		{"--loud --help", "prog does things.\n", 0},
		{"help thing eat", `prog: unknown command "thing eat"; there are: thing add, thing list;`, Usage},
		{"nonsense --help", `prog: unknown command "nonsense"; see prog --help`, Usage},
		{"one", "prog: THING is missing; see prog one --help\n", Usage},
		{"many", "prog: THING is missing; see prog many --help\n", Usage},
		{"thing add a", "prog: FILE is missing; see prog thing add --help\n", Usage},
		{"one a b", `prog: "b" is one argument too many; see prog one --help`, Usage},
		{"one a --what", "prog: unknown option --what; see prog one --help\n", Usage},
		{"--what one a", "prog: unknown option --what; see prog --help\n", Usage},
		{"one a --conf", "prog: nothing follows option --conf; see prog one --help\n", Usage},
		{"one a --wait 60", `prog: invalid value "60" for option --wait: write 60s; see prog one --help`, Usage},
		{"one a --wait soon", `prog: invalid value "soon" for option --wait: want a time such as 90s, 10m or 2h;`, Usage},
		{"thing", "prog: thing what? There are: thing add, thing list; see prog thing --help\n", Usage},
		{"thing eat", `prog: unknown command "thing eat"; there are: thing add, thing list;`, Usage},
		{"nonsense", `prog: unknown command "nonsense"; see prog --help`, Usage},
		{"help nonsense", `prog: unknown command "nonsense"; see prog --help`, Usage},

		{"fail", "prog: a\nprog: b\\x1b[31m\n", Failed},
		{"fail own", "prog: of its own\n", 3},
		{"fail silent", "", 7},
		{"fail misused", "prog: wrapped: not so; see prog fail --help\n", Usage},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got, code := execute(sample(), strings.Fields(tt.args)...)
			if !strings.HasPrefix(got, tt.want) || code != tt.code || tt.want == "" && got != "" {
				t.Errorf("got %q, exit code %d, want %q, %d", got, code, tt.want, tt.code)
			}
		})
	}
}

// Words that a shell can complete, for a line as it is typed.
func TestWords(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"prog ", []string{"one", "many", "maybe", "thing", "here", "fail", "completion"}},
		{"prog th", []string{"thing"}},
		{"prog thing ", []string{"add", "list"}},
		{"prog --conf x thing a", []string{"add"}},
		{"prog --co", []string{"--conf"}},
		{"prog one --", []string{"--conf", "--from", "--loud", "--wait", "--help"}},
		{"prog one --l", []string{"--loud"}},
		{"prog one ", []string{"urn:a", "urn:b", "$x y", "of-std"}},
		{"prog one urn:", []string{"urn:a", "urn:b"}},
		{"prog one 'ur", []string{"urn:a", "urn:b"}},
		{`prog one \$`, []string{"$x y"}},
		{"prog one urn:a ", nil},
		{"prog many urn:a ", []string{"urn:b", "$x y", "of-std"}},
		{"prog many --conf other o", []string{"of-other"}},
		{"prog --conf other many o", []string{"of-other"}},
		{"prog --conf=other many o", []string{"of-other"}},
		{"prog many --loud u", []string{"urn:a", "urn:b"}},
		{"prog many -- --", nil},
		{"prog one --from ", []string{wantFile}},
		{"prog one --from=/e", []string{wantFile}},
		{"prog thing add urn:a ", []string{wantFile}},
		{"prog one --wait ", nil},
		{"prog here --", []string{"--all", "--from", "--help"}},
		{"prog --wait one thing l", []string{"list"}},
		{"prog --wait 2s --conf q one o", []string{"of-q"}},
		{"prog nonsense ", nil},
		{"prog completion b", []string{"bash"}},
		{"prog", nil},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			out, code := execute(sample(), "completion", "words", "--", tt.line)
			got := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if out == "" {
				got = nil
			}
			if code != 0 || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"urn:dev:lamp-1", "a b", "it's", "$(reboot)", "", "~", "#x", "*", "a;b", `\`, "!x", "&"} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q quoted is %s, and a shell makes %q of it: %v", s, Quote(s), out, err)
		}
	}
	if got := Quote("urn:dev:lamp-1"); got != "urn:dev:lamp-1" {
		t.Errorf("got %s, which needs no quotation marks", got)
	}
}
