// Package commandtest holds what must be true of each program's command line.
package commandtest

import (
	"bytes"
	"context"
	"flag"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
	"cpns.example.net/pngw/internal/ptytest"
)

// Run runs a command line and returns what it printed on both outputs.
func Run(p *command.Program, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = p.Execute(context.Background(), &command.Console{Stdout: &out, Stderr: &errs}, args)
	return out.String(), errs.String(), code
}

var longOption = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)

// Help checks the help of a program and of all its commands: it is there, fits 80
// columns, and each option of a usage line is one that is declared.
func Help(t *testing.T, p *command.Program) {
	texts := map[string][]string{p.Name: {"help"}}
	for _, cmd := range p.Commands {
		if cmd.Name == "" {
			continue
		}
		texts[p.Name+" "+cmd.Name] = append(strings.Fields(cmd.Name), "--help")
		texts["help "+cmd.Name] = append([]string{"help"}, strings.Fields(cmd.Name)...)
	}
	for name, args := range texts {
		text, stderr, code := Run(p, args...)
		if code != 0 || stderr != "" || !strings.Contains(text, "usage: "+p.Name) {
			t.Errorf("%s: exit code %d, %q, help %q", name, code, stderr, text)
		}
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > display.Width {
				t.Errorf("%s: a line of %d columns: %s", name, n, line)
			}
			if line != strings.TrimRight(line, " ") || display.Plain(line) != line {
				t.Errorf("%s: a line with more than meets the eye: %q", name, line)
			}
		}
	}
	for _, cmd := range p.Commands {
		f := flag.NewFlagSet("", flag.ContinueOnError)
		if p.Common != nil {
			p.Common(f)
		}
		cmd.Setup(f)
		for _, text := range []string{cmd.Options, cmd.Example} {
			if text != "" && text == cmd.Example && !strings.HasPrefix(text, p.Name+" ") {
				t.Errorf("%s: the example %q does not begin with %s", cmd.Name, text, p.Name)
			}
			text, _, _ = strings.Cut(text, " | ")
			for _, m := range longOption.FindAllStringSubmatch(text, -1) {
				if f.Lookup(m[1]) == nil {
					t.Errorf("%s: %q names --%s, which is not declared", cmd.Name, text, m[1])
				}
			}
		}
		f.VisitAll(func(o *flag.Flag) {
			if o.Usage == "" {
				t.Errorf("%s: nothing says what --%s is", cmd.Name, o.Name)
			}
		})
	}
}

// Manual checks that mandoc has nothing to say against the manual page, and that
// every command and option is in it.
func Manual(t *testing.T, p *command.Program) {
	page, stderr, code := Run(p, "man")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	render := func(args ...string) string {
		cmd := exec.Command(ptytest.Need(t, "mandoc"), args...)
		cmd.Stdin = strings.NewReader(page)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("mandoc %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	render("-T", "lint", "-W", "warning")
	text := render("-T", "utf8", "-O", "width=1000")
	text = regexp.MustCompile(".\b").ReplaceAllString(text, "") // bold, as printers did it
	for _, cmd := range p.Commands {
		if cmd.Hidden {
			continue
		}
		if cmd.Name != "" && !strings.Contains(text, "   "+p.Name+" "+cmd.Name+"\n") {
			t.Errorf("the page says nothing of %s", cmd.Name)
		}
		f := flag.NewFlagSet("", flag.ContinueOnError)
		cmd.Setup(f)
		f.VisitAll(func(o *flag.Flag) {
			if !strings.Contains(text, "--"+o.Name) {
				t.Errorf("the page says nothing of --%s", o.Name)
			}
		})
		if cmd.Example != "" && !strings.Contains(text, cmd.Example) {
			t.Errorf("the page has not the example %q as it is typed:\n%s", cmd.Example, text)
		}
	}
}

// A Completion is a line that somebody types, up to the tab, and what the shell
// makes of it.
type Completion struct{ Typed, Want string }

// Completions types lines into real shells, bash and zsh. The program of that name
// has to be on the PATH.
func Completions(t *testing.T, name string, lines []Completion) {
	for _, shell := range []struct {
		name  string
		args  []string
		setUp string
		ready string
	}{
		{"bash", []string{"bash", "--norc", "--noprofile", "-i"}, ". <(" + name + " completion bash)", ptytest.Ready},
		{"zsh", []string{"zsh", "-f", "-i"}, "PS1='" + ptytest.Ready + "'; unsetopt prompt_sp; autoload -Uz compinit; compinit -D -u; . <(" + name + " completion zsh)", "\x1b[?2004h"}, // now its editor has the terminal
	} {
		t.Run(shell.name, func(t *testing.T) {
			t.Setenv("INPUTRC", "/dev/null")
			term := ptytest.New(t)
			term.StartShell(t, shell.args...)
			term.Type(t, shell.setUp+"; echo 'set 'up\n")
			term.Until(t, "set up")
			term.Until(t, shell.ready)
			for _, line := range lines {
				// A shell that has just begun to edit may swallow what was typed too early.
				got, ok := "", false
				for range 5 {
					term.Type(t, line.Typed+"\t")
					if got, ok = term.Shows(line.Want, 5*time.Second); ok {
						break
					}
					term.Type(t, "\x15")
				}
				if !ok || strings.Contains(got, "\a") {
					t.Errorf("%q: the terminal shows %q, want %q and no bell", line.Typed, got, line.Want)
				}
				term.Type(t, "\x15") // Ctrl-U: nothing of it is run
			}
		})
	}
}
