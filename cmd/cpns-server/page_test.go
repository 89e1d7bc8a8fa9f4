package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// blocks are the commands of a section of a page in docs.
func blocks(t *testing.T, page, section string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+section+"\n")
	if !found {
		t.Fatalf("%s has no section %q", page, section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var all []string
	for block := range strings.SplitSeq(rest, "\n\n") {
		if strings.HasPrefix(block, "    ") {
			all = append(all, strings.ReplaceAll(strings.TrimSpace(block), "\n    ", "\n"))
		}
	}
	return all
}

// Who follows docs/server.md in an empty folder has a server that is well.
func TestServerPage(t *testing.T) {
	all := blocks(t, "server.md", "Try it in a folder")
	if len(all) != 4 {
		t.Fatalf("%d blocks of commands, want 4: %q", len(all), all)
	}
	setUp, run, ask := all[1], all[2], all[3] // all[0] builds the program
	dir := t.TempDir()

	// Nobody sits at a terminal here.
	cmd := exec.Command("sh", "-euc", strings.Replace(setUp, "user add", "user add --password-file -", 1))
	cmd.Dir = dir
	wantSays(t, output(t, cmd, false, "correct horse\n"), "meter-0001")

	// The port of the page may be in use here.
	words := strings.Fields(run + " --listen 127.0.0.1:0")
	server := exec.Command(words[0], words[1:]...)
	server.Dir = dir
	whileServing(t, server, func(_ *os.Process, url string) {
		cmd := exec.Command("sh", "-euc", strings.ReplaceAll(ask, "https://127.0.0.1:8443", url))
		cmd.Dir = dir
		wantSays(t, output(t, cmd, false, ""), "ok")
	})
}
