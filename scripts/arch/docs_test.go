package arch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestDecisions: a dependency is a choice that a newcomer would question, so
// each module that go.mod requires itself is named in a decision.
func TestDecisions(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(run(t, "go", "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root(t), "docs/decisions/*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions found: %v", err)
	}
	var decisions strings.Builder
	for _, file := range files {
		decisions.Write(read(t, file))
	}
	for _, require := range mod.Require {
		if !require.Indirect && !strings.Contains(decisions.String(), require.Path) {
			t.Errorf("no file under docs/decisions says why %s", require.Path)
		}
	}
}

var (
	codeSpan  = regexp.MustCompile("`([^`]+)`")
	mdLink    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	htmlImage = regexp.MustCompile(`<img[^>]* src="([^"]+)"`)
)

// TestMessages holds the tables of docs/provisioning.md and docs/enrolment.md, and the last
// of docs/gba.md, to the code: a message that a technician looks up is printed by some program, word for word. "…"
// stands for what varies.
func TestMessages(t *testing.T) {
	var source strings.Builder
	for _, folder := range []string{"cmd", "agent", "cpns", "transport", "keystore", "board", "internal", "gba"} {
		walk(t, filepath.Join(root(t), folder), func(path string) {
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				source.Write(read(t, path))
			}
		})
	}
	messages := 0
	pages := string(read(t, filepath.Join(root(t), "docs/provisioning.md"))) + string(read(t, filepath.Join(root(t), "docs/enrolment.md")))
	_, said, _ := strings.Cut(string(read(t, filepath.Join(root(t), "docs/gba.md"))), "\n## When something is said\n")
	for _, row := range tableRows(pages + said) {
		cell := row[0]
		if _, err := strconv.Atoi(strings.TrimSpace(cell)); err == nil { // an exit code
			cell = row[1]
		}
		for _, span := range codeSpan.FindAllStringSubmatch(cell, -1) {
			messages++
			for fragment := range strings.SplitSeq(span[1], "…") {
				fragment = strings.Trim(fragment, " :")
				if !strings.Contains(source.String(), fragment) {
					t.Errorf("no program prints %q", fragment)
				}
			}
		}
	}
	if said == "" || messages < 40 {
		t.Fatalf("%d messages found, want at least 40", messages)
	}
}

// TestLinks: every relative link in a document leads to a file that is there, and where it
// names a section to one that the file has.
func TestLinks(t *testing.T) {
	links := 0
	walk(t, root(t), func(path string) {
		if filepath.Ext(path) != ".md" {
			return
		}
		text := string(read(t, path))
		found := append(mdLink.FindAllStringSubmatch(text, -1), htmlImage.FindAllStringSubmatch(text, -1)...)
		for _, link := range found {
			if strings.Contains(link[1], ":") { // another site's
				continue
			}
			links++
			target := path
			if link[1] != "" {
				target = filepath.Join(filepath.Dir(path), link[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", path, err)
			} else if len(link) > 2 && link[2] != "" && filepath.Ext(target) == ".md" && !slices.Contains(anchors(string(read(t, target))), link[2]) {
				t.Errorf("%s: %s has no section #%s", path, target, link[2])
			}
		}
	})
	if links == 0 {
		t.Fatal("no links found")
	}
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// anchors are the names by which a document's sections can be linked to, as GitHub and
// GitLab make them of the headings.
func anchors(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		heading := strings.TrimSpace(strings.TrimLeft(line, "#"))
		names = append(names, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-"))
	}
	return names
}

// walk visits the files below a folder that belong to the project.
func walk(t *testing.T, folder string, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "out" || d.Name() == "testdata"):
			return filepath.SkipDir
		case !d.IsDir():
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDecisionNumbers: a decision has a number of its own, in its name and its title.
func TestDecisionNumbers(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root(t), "docs/decisions/*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions found (%v)", err)
	}
	taken := map[int]string{}
	for _, file := range files {
		name := filepath.Base(file)
		digits, _, _ := strings.Cut(name, "-")
		number, err := strconv.Atoi(digits)
		if err != nil {
			t.Errorf("%s: does not begin with a number", name)
			continue
		}
		if other, ok := taken[number]; ok {
			t.Errorf("%s has the number of %s", name, other)
		}
		taken[number] = name
		if want := fmt.Sprintf("# %d. ", number); !bytes.HasPrefix(read(t, file), []byte(want)) {
			t.Errorf("%s: its title does not begin with %q", name, want)
		}
	}
}
