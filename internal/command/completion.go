package command

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

// completionCommand gives the shells what they need. Everything that a shell
// asks while somebody types comes back to this program, so that its script can
// never say anything else than the program does. A shell that cannot complete,
// such as busybox's, has the lists.
func (p *Program) completion() Command {
	return Command{
		Name: "completion", Args: "bash|zsh|lists [NAME]",
		Summary: "help a shell to complete commands, options and names",
		About: `"completion bash" and "completion zsh" print a script for that shell. "completion lists" names lists for scripts of your own, and "completion lists NAME" prints one of them, a line each.

To have completion, put one of these into the shell's start file:

  bash:  . <(` + p.Name + ` completion bash)
  zsh:   . <(` + p.Name + ` completion zsh)     behind compinit`,
		Setup: func(f *flag.FlagSet) Run {
			if p.ListOptions != nil {
				p.ListOptions(f)
			}
			return func(ctx context.Context, c *Console, args []string) error {
				name := ""
				if len(args) > 1 {
					name = args[1]
				}
				script, known := map[string]string{"bash": bashScript, "zsh": zshScript}[args[0]]
				switch {
				case args[0] == "words": // asked by the scripts; not for people
					return c.completeWords(ctx, name)
				case args[0] == "lists":
					return c.list(ctx, name)
				case !known || name != "":
					return Misused("want bash, zsh, or lists and the name of one")
				}
				function := "_" + strings.ReplaceAll(c.Program.Name, "-", "_")
				c.Printf("%s", strings.NewReplacer("PROGRAM", c.Program.Name, "FUNCTION", function).Replace(script))
				return nil
			}
		},
	}
}

// list prints a list that the program has, or the lists' names.
func (c *Console) list(ctx context.Context, name string) error {
	tell := func(s string) { c.Printf("%s\n", s) }
	if name == "" {
		tell("commands")
		for _, l := range c.Program.Lists {
			tell(l.Name)
		}
		return nil
	}
	if name == "commands" {
		for _, cmd := range c.Program.listed() {
			if cmd.Name != "" {
				tell(cmd.Name)
			}
		}
		return nil
	}
	for _, l := range c.Program.Lists {
		if l.Name == name {
			return l.All(ctx, c, tell)
		}
	}
	return Misused("there is no list %q", name)
}

// completeWords prints what the last word of a command line can be, a line each,
// or only wantFile where it is the name of a file. It never fails: a shell that
// completes shows nothing then.
func (c *Console) completeWords(ctx context.Context, line string) error {
	words := splitLine(line)
	if len(words) < 2 {
		return nil
	}
	candidates, files := c.candidates(ctx, words[1:])
	if files {
		candidates = []string{wantFile}
	}
	for _, candidate := range candidates {
		fmt.Fprintln(c.Stdout, candidate)
	}
	return nil
}

// wantFile stands for all names of files. No candidate begins with a slash.
const wantFile = "/"

// Both shells ask with the line up to the cursor, as it is typed.

// Bash ends a word at the characters of COMP_WORDBREAKS, of which Entity IDs are
// full: what stands in front of the last of them is taken off each candidate.
const bashScript = `FUNCTION() {
	local line=${COMP_LINE:0:COMP_POINT} candidate word front
	word=${line##*[[:space:]]}
	front=${word%"${word##*[:=]}"}
	COMPREPLY=()
	while IFS= read -r candidate; do
		if [ "$candidate" = / ]; then
			compopt -o default # files, by readline
			return
		fi
		printf -v candidate %q "$candidate"
		COMPREPLY+=("${candidate#"$front"}")
	done < <(PROGRAM completion words "$line" 2>/dev/null)
	[[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
}
complete -F FUNCTION PROGRAM
`

const zshScript = `#compdef PROGRAM
FUNCTION() {
	local -a candidates
	candidates=("${(@f)$(PROGRAM completion words "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}")
	if [[ $candidates[1] == / ]]; then
		compset -P '--*='
		_files
	elif [[ -n $candidates[1] ]]; then
		compadd -Q -- "${(@q)candidates}"
	fi
}
compdef FUNCTION PROGRAM
`
