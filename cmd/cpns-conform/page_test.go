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
