package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/againstgateway"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/againstserver"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/device"
)

var update = flag.Bool("update", false, "write the tables of cases into docs/conformance.md")

const pagePath = "../../docs/conformance.md"

// TestPage: the page has every case as the code has it, and no other. With -update it is
// made so.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for _, table := range []struct{ heading, rows string }{
		{"## A device", rows(device.Suite.Cases)},
		{"## A CPNS Server", rows(againstserver.Suite.Cases)},
		{"## A gateway", rows(againstgateway.Suite.Cases)},
	} {
		before, section, found := strings.Cut(want, table.heading+"\n")
		if !found {
			t.Fatalf("no section %q", table.heading)
		}
		const head = "| Case | Clause | What must hold |\n|---|---|---|\n"
		text, rest, found := strings.Cut(section, head)
		if !found {
			t.Fatalf("no table of cases in section %q", table.heading)
		}
		for strings.HasPrefix(rest, "|") {
			_, rest, _ = strings.Cut(rest, "\n")
		}
		want = before + table.heading + "\n" + text + head + table.rows + rest
	}
	if bytes.Equal(page, []byte(want)) {
		return
	}
	if !*update {
		t.Fatalf("the tables of %s are not those of the code: go test ./cmd/cpns-conform -run TestPage -update", pagePath)
	}
	if err := os.WriteFile(pagePath, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func rows[P any](cases []conform.Case[P]) string {
	var b strings.Builder
	for _, c := range cases {
		escape := strings.NewReplacer("|", `\|`).Replace
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, escape(c.Clause), escape(c.Says))
	}
	return b.String()
}

// TestDay: the report that docs/integrating.md ends its day with is one of all cases as
// they are now, and says of them what it says below.
func TestDay(t *testing.T) {
	page, err := os.ReadFile("../../docs/integrating.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "    cpns-conform pne: mine-1, "
	_, report, found := strings.Cut(string(page), fmt.Sprintf("%s%d cases\n", head, len(device.Suite.Cases)))
	if !found {
		t.Fatalf("no report of %d cases: make it anew", len(device.Suite.Cases))
	}
	lines := strings.Split(report, "\n")
	count := map[string]int{}
	for i, c := range device.Suite.Cases {
		words := strings.Fields(lines[i])
		if len(words) < 2 || words[1] != c.Name {
			t.Fatalf("the report has %q in place of %s: make it anew", lines[i], c.Name)
		}
		count[words[0]]++
	}
	summary := fmt.Sprintf("    %d passed, 0 failed, %d not applicable, in ", count["pass"], count["n/a"])
	if last := lines[len(device.Suite.Cases)]; !strings.HasPrefix(last, summary) {
		t.Errorf("the report ends with %q, want %q", last, summary)
	}
}
