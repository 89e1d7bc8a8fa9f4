package arch

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
	testName  = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z_]\w*$`)
	filePath  = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)+$`)
	mdLink    = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	htmlImage = regexp.MustCompile(`<img[^>]* src="([^"]+)"`)
)

// TestSpecMap holds docs/spec-map.md to the code: a step of the change requests
// is a row "| step | … | file | test |"; its file exists, and so does the test,
// in the folder of the test file that it names, or of the file.
func TestSpecMap(t *testing.T) {
	rows := tableRows(string(read(t, filepath.Join(root(t), "docs/spec-map.md"))))
	// The steps of the two change requests: 0 to 8, 0 to 7, and the procedures.
	const steps = 40
	if len(rows) < steps {
		t.Fatalf("%d rows found, want at least %d", len(rows), steps)
	}
	for _, row := range rows {
		step := strings.TrimSpace(row[0])
		dirs := make(map[string]bool)
		var tests []string
		for _, span := range codeSpan.FindAllStringSubmatch(row[len(row)-2]+row[len(row)-1], -1) {
			switch word := span[1]; {
			case testName.MatchString(word):
				tests = append(tests, word)
			case filePath.MatchString(word):
				if _, err := os.Stat(filepath.Join(root(t), word)); err != nil {
					t.Errorf("step %s: %v", step, err)
				}
				dirs[filepath.Dir(filepath.Join(root(t), word))] = true
			default:
				t.Errorf("step %s: %q is neither a file nor a test", step, word)
			}
		}
		if len(dirs) == 0 {
			t.Errorf("step %s names no file", step)
		}
		if len(tests) == 0 && !strings.Contains(row[len(row)-1], "/e2e/") {
			t.Errorf("step %s names no test", step)
		}
		for _, test := range tests {
			if !testExists(t, dirs, test) {
				t.Errorf("step %s: no function %s in the folders of its files", step, test)
			}
		}
	}
}

// tableRows returns the cells of every table row but headings and rules.
func tableRows(text string) [][]string {
	var rows [][]string
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		isRule := strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| --")
		isHeading := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|--")
		if strings.HasPrefix(line, "|") && !isRule && !isHeading {
			rows = append(rows, strings.Split(strings.Trim(line, "|"), "|"))
		}
	}
	return rows
}

func testExists(t *testing.T, dirs map[string]bool, name string) bool {
	for dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.Contains(string(read(t, file)), "\nfunc "+name+"(") {
				return true
			}
		}
	}
	return false
}

// TestMessages holds the tables of docs/provisioning.md to the code: a message
// that a technician looks up is printed by some program, word for word. "…"
// stands for what varies.
func TestMessages(t *testing.T) {
	var source strings.Builder
	for _, folder := range []string{"cmd", "agent", "cpns", "transport", "keystore", "board"} {
		walk(t, filepath.Join(root(t), folder), func(path string) {
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				source.Write(read(t, path))
			}
		})
	}
	messages := 0
	for _, row := range tableRows(string(read(t, filepath.Join(root(t), "docs/provisioning.md")))) {
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
	if messages < 20 {
		t.Fatalf("%d messages found, want at least 20", messages)
	}
}

// TestLinks: every relative link in a document leads somewhere.
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
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), link[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
	if links == 0 {
		t.Fatal("no links found")
	}
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
