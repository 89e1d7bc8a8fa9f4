//go:build linux

package e2e

import (
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are the lines of a page's blocks that begin with one of the programs.
func commands(ts *testscript.TestScript, name string) (lines []string) {
	text, err := os.ReadFile("../../docs/" + name)
	ts.Check(err)
	for line := range strings.Lines(string(text)) {
		typed, is := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		typed = strings.TrimPrefix(typed, "# ") // root's prompt
		begins := func(with string) bool { return strings.HasPrefix(typed, with) }
		if is && slices.ContainsFunc([]string{"pngw ", "cpns-server ", "cpns-conform pne --", "kill -HUP ", `printf "\nconfig`, "(umask"}, begins) {
			lines = append(lines, typed)
		}
	}
	return lines
}

// typed types a command as it stands in a page of docs, with what is particular to a
// reader put in.
func typed(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 2, "typed PAGE COMMAND [IS=HERE…]")
	page, line := args[0], args[1]
	if r.pages[page] == nil {
		r.pages[page] = map[string]bool{}
		for _, c := range commands(ts, page) {
			r.pages[page][c] = false
		}
	}
	if _, is := r.pages[page][line]; !is {
		ts.Fatalf("%q is not in docs/%s", line, page)
	}
	r.pages[page][line] = true
	for _, arg := range args[2:] {
		is, here, _ := strings.Cut(arg, "=")
		if !strings.Contains(line, is) {
			ts.Fatalf("no %q in %q", is, args[1])
		}
		line = strings.ReplaceAll(line, is, here)
	}
	r.run(ts, 0, []string{"sh", "-euc", line})
}

// fenced writes the block of a page that is fenced with that word into a file, which it
// makes executable.
func fenced(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 3, "fenced PAGE WORD FILE")
	text, err := os.ReadFile("../../docs/" + args[0])
	ts.Check(err)
	_, block, found := strings.Cut(string(text), "\n```"+args[1]+"\n")
	block, _, ends := strings.Cut(block, "\n```\n")
	if !found || !ends {
		ts.Fatalf("docs/%s has no block %s", args[0], args[1])
	}
	ts.Check(os.WriteFile(r.path(args[2]), []byte(block+"\n"), 0o755))
}

// untyped are the commands of pages of which others were typed.
func (r *rig) untyped() (all []string) {
	for page, lines := range r.pages {
		for line, done := range lines {
			if !done {
				all = append(all, page+": "+line)
			}
		}
	}
	return all
}
