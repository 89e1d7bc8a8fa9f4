package main

import (
	"fmt"
	"strings"
	"testing"
)

// A long listing comes in parts, and nothing of it twice.
func TestLongTable(t *testing.T) {
	for _, n := range []int{0, 1, tableRows - 1, tableRows, tableRows + 1, 3*tableRows + 7} {
		var out strings.Builder
		table := newTable(&out, false, "NUMBER", "OTHER")
		for i := range n {
			if err := table.row(nil, fmt.Sprint(i), ""); err != nil {
				t.Fatal(err)
			}
			if len(table.rows) > tableRows+1 {
				t.Fatalf("%d rows are held", len(table.rows))
			}
		}
		if err := table.end(nil); err != nil {
			t.Fatal(err)
		}
		next, names := 0, 0
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "NUMBER") {
				names++
			} else if strings.Fields(line)[0] == fmt.Sprint(next) {
				next++
			} else {
				t.Fatalf("%d rows: %q after row %d", n, line, next-1)
			}
		}
		if want := max(1, (n+tableRows-1)/tableRows); next != n || names != want {
			t.Errorf("%d rows: %d of them under %d lines of names, want %d", n, next, names, want)
		}
	}
}
