package display

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Width is what help is made for, and lists for a terminal that does not say how
// wide it is.
const Width = 80

// Fill writes head, and behind it text in lines of at most Width characters, all
// but the first of them indented. A word that is longer than a line has a line
// of its own.
func Fill(w io.Writer, head, text string, indent int) {
	fill(w, head, text, indent, Width)
}

// FillTo is Fill to the width of the terminal that w is; a file or a pipe gets one line.
func FillTo(w io.Writer, head, text string, indent int) {
	fill(w, head, text, indent, widthOf(w))
}

func fill(w io.Writer, head, text string, indent, width int) {
	line, fresh := head, true
	for word := range strings.FieldsSeq(text) {
		switch {
		case fresh:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			fmt.Fprintln(w, line)
			line = strings.Repeat(" ", indent) + word
		default:
			line += " " + word
		}
		fresh = false
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
