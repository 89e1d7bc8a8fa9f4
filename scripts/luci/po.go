package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A message is one of a catalogue. The header is the one without an id.
type message struct{ id, text string }

// parsePO reads what a catalogue of this project has: msgid and msgstr, over several
// lines where they are long, without contexts and plurals.
func parsePO(text string) (all []message, err error) {
	var field *string
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		word, quoted, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
			field = nil
			continue
		case line[0] == '"' && field != nil:
			quoted = line
		case word == "msgid":
			all = append(all, message{})
			field = &all[len(all)-1].id
		case word == "msgstr" && field != nil:
			field = &all[len(all)-1].text
		default:
			return nil, fmt.Errorf("line %d: not understood", n+1)
		}
		part, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		*field += part
	}
	return all, nil
}
