package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z]\w*$`)

// TestSpecMap holds docs/spec-map.md to the code. A step of the change requests
// is a row "| step | what | files | tests |"; in the last cell each test file is
// followed by the tests in it that are meant, and a script is a test by itself.
func TestSpecMap(t *testing.T) {
	rows := tableRows(string(read(t, filepath.Join(root(t), "docs/spec-map.md"))))
	// 0 to 8 and 0 to 7 of the overviews, 4, 7 and 4 of the later procedure, 4, 7
	// and 4 of the earlier one, some in one row.
	const steps = 45
	if len(rows) < steps {
		t.Fatalf("%d rows found, want at least %d", len(rows), steps)
	}
	for _, row := range rows {
		if len(row) != 4 {
			t.Errorf("a row of %d cells, want 4: %q", len(row), row)
			continue
		}
		step := strings.TrimSpace(row[0])
		files, tests := words(row[2]), words(row[3])
		if len(files) == 0 || len(tests) == 0 {
			t.Errorf("step %q names %d files and %d tests", step, len(files), len(tests))
		}
		for _, file := range files {
			if _, err := os.Stat(filepath.Join(root(t), file)); err != nil {
				t.Errorf("step %q: %v", step, err)
			}
		}
		source := ""
		for _, word := range tests {
			switch {
			case testName.MatchString(word):
				if !strings.Contains(source, "\nfunc "+word+"(") {
					t.Errorf("step %q: no %s in the file that stands before it", step, word)
				}
			case strings.HasSuffix(word, "_test.go"), strings.HasSuffix(word, ".txtar"):
				source = string(read(t, filepath.Join(root(t), word)))
			default:
				t.Errorf("step %q: %q is no test", step, word)
			}
		}
	}
}

// words are the code spans of a cell.
func words(cell string) []string {
	var words []string
	for _, span := range codeSpan.FindAllStringSubmatch(cell, -1) {
		words = append(words, span[1])
	}
	return words
}

// tableRows returns the cells of every table row but headings and rules.
func tableRows(text string) [][]string {
	var rows [][]string
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		isRule := strings.HasPrefix(line, "|--")
		isHeading := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|--")
		if strings.HasPrefix(line, "|") && !isRule && !isHeading {
			line = strings.ReplaceAll(strings.Trim(line, "|"), `\|`, "¦")
			rows = append(rows, strings.Split(line, "|"))
		}
	}
	return rows
}
