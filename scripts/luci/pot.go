package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A place is where the sources say something to people.
type place struct{ id, at string }

// said is a text that a script has translated: _('…'), in one piece.
var said = regexp.MustCompile(`\b_\('((?:[^'\\\n]|\\.)*)'\)`)

// begun is how each of them begins, whatever it is given.
var begun = regexp.MustCompile(`\b_\(`)

// scan finds what the sources of an app of LuCI say, as LuCI's build does: the texts of
// scripts, the titles of its menu, and what its access control lists are for.
func scan(folder string) (all []place, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		var found []place
		switch {
		case strings.HasSuffix(path, ".js") && !strings.HasSuffix(path, "argon2.js"):
			found, err = scanScript(string(text), at)
		case strings.HasSuffix(path, ".json"):
			found, err = scanJSON(text, at)
		}
		all = append(all, found...)
		return err
	})
	return all, err
}

func scanScript(text, at string) (all []place, err error) {
	for n, line := range strings.Split(text, "\n") {
		found := said.FindAllStringSubmatch(line, -1)
		if len(found) != len(begun.FindAllString(line, -1)) {
			return nil, fmt.Errorf("%s:%d: a text to translate has to be one literal in single quotes", at, n+1)
		}
		for _, f := range found {
			id, err := strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(f[1], `\'`, `'`), `"`, `\"`) + `"`)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", at, n+1, err)
			}
			all = append(all, place{id, fmt.Sprintf("%s:%d", at, n+1)})
		}
	}
	return all, nil
}

func scanJSON(text []byte, at string) (all []place, err error) {
	var nodes map[string]struct{ Title, Description string }
	if err := json.Unmarshal(text, &nodes); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	for _, n := range nodes {
		if id := n.Title + n.Description; id != "" {
			all = append(all, place{id, at})
		}
	}
	return all, nil
}

// template is the catalogue that translators begin with: each text once, with its places.
func template(all []place) string {
	places := map[string][]string{}
	for _, p := range all {
		places[p.id] = append(places[p.id], p.at)
	}
	var ids []string
	for id := range places {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var b strings.Builder
	b.WriteString("msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\"\n")
	for _, id := range ids {
		b.WriteString("\n")
		for _, at := range places[id] {
			fmt.Fprintf(&b, "#: %s\n", at)
		}
		fmt.Fprintf(&b, "msgid %s\nmsgstr \"\"\n", quote(id))
	}
	return b.String()
}

// quote leaves other letters than English ones as they are.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
