package page

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTold: what the German page has a translation of is what the gateway's code says.
func TestTold(t *testing.T) {
	var code strings.Builder
	for _, dir := range []string{"../../../agent", "../../../transport"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("web/de.js")
	if err != nil {
		t.Fatal(err)
	}
	_, told, _ := strings.Cut(string(text), "told: [")
	pairs := regexp.MustCompile(`(?m)^    \[(?:'([^']+)'|"([^"]+)"), '([^']+)'\],$`).FindAllStringSubmatch(told, -1)
	if lines := strings.Count(told, "\n    ["); len(pairs) < 20 || len(pairs) != lines {
		t.Fatalf("%d pairs in %d lines", len(pairs), lines)
	}
	for _, p := range pairs {
		for _, part := range regexp.MustCompile(`\{\d\}`).Split(p[1]+p[2], -1) {
			if !strings.Contains(code.String(), part) {
				t.Errorf("nobody says %q of %q", part, p[1]+p[2])
			}
		}
	}
}
