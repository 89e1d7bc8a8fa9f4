package uci

import (
	"errors"
	"fmt"
	"strings"
)

// splitWords takes the rest of a line apart into words without their quotes; a comment is left out. A word is made of pieces, each
// unquoted, in single or in double quotes, with nothing between them.
func splitWords(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		word, rest, err := cutWord(line)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		line = rest
	}
}

// cutWord takes the first word off a line that starts with one.
func cutWord(line string) (word, rest string, err error) {
	var b strings.Builder
	for line != "" {
		switch c := line[0]; c {
		case ' ', '\t':
			return b.String(), line, nil
		case '\'':
			// No escape inside: an apostrophe is written '\'', three pieces of one word.
			piece, after, closed := strings.Cut(line[1:], "'")
			if !closed {
				return "", "", errors.New("a ' is not closed in this line")
			}
			b.WriteString(piece)
			line = after
		case '"':
			if line, err = cutDoubleQuoted(line[1:], &b); err != nil {
				return "", "", err
			}
		case '\\':
			if len(line) == 1 {
				return "", "", errors.New("a \\ at the end of the line: a value must end in its line")
			}
			b.WriteByte(line[1])
			line = line[2:]
		case '#', ';':
			return "", "", fmt.Errorf("a %c inside a word without quotes: put quotes around the value, or a space before a comment", c)
		default:
			b.WriteByte(c)
			line = line[1:]
		}
	}
	return b.String(), "", nil
}

// cutDoubleQuoted writes to b what stands before the closing quote and returns what stands after it.
func cutDoubleQuoted(line string, b *strings.Builder) (rest string, err error) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			return line[i+1:], nil
		case '\\':
			// libuci knows no special meaning: \n is n.
			if i++; i < len(line) {
				b.WriteByte(line[i])
			}
		default:
			b.WriteByte(line[i])
		}
	}
	return "", errors.New("a \" is not closed in this line")
}
