package display

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// gap is what stands between two columns.
const gap = "  "

// Table writes rows in columns, the first row being the columns' names. Cells
// are made plain; empty ones become "-".
//
// What does not fit the width of the terminal goes on below: the last column first, which is the one with text, and if that
// is not enough all columns but the first, each cell behind its column's name.
func Table(w io.Writer, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if row[i] = Plain(cell); cell == "" {
				row[i] = "-"
			}
		}
	}
	widths, all := columns(rows)
	width := widthOf(w)
	last := len(widths) - 1
	switch {
	case all <= width:
		for _, row := range rows {
			writeRow(&b, row, widths)
		}
	case all-widths[last]-len(gap) <= width && last > 1:
		for i, row := range rows {
			writeRow(&b, row[:last], widths)
			if i > 0 && row[last] != "-" {
				fill(&b, gap, row[last], len(gap), width)
			}
		}
	default:
		for _, row := range rows[1:] {
			writeRecord(&b, rows[0], row, width)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// columns gives how wide each column is, and all of them.
func columns(rows [][]string) (widths []int, all int) {
	widths = make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, n := range widths {
		all += n + len(gap)
	}
	return widths, all - len(gap)
}

func writeRow(b *strings.Builder, row []string, widths []int) {
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
			b.WriteString(gap)
		}
	}
	b.WriteByte('\n')
}

// writeRecord writes a row below itself: its first cell, and the others that have
// something to say, behind their columns' names.
func writeRecord(b *strings.Builder, names, row []string, width int) {
	b.WriteString(row[0] + "\n")
	var parts []string
	for i, cell := range row[1:] {
		if cell != "-" {
			parts = append(parts, strings.ToLower(names[i+1])+" "+cell)
		}
	}
	fill(b, gap, strings.Join(parts, ", "), len(gap), width)
}

// widthOf is the width of the terminal that w is, or Width where it does not say.
// A file or a pipe has none: whoever searches a list wants a row on a line.
func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return Width
	}
	if !term.IsTerminal(int(f.Fd())) {
		return math.MaxInt
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return max(width, Width/2)
	}
	return Width
}

// Sheet writes pairs of name and value, one a line; pairs without a value are
// left out. A value that does not fit goes on below.
func Sheet(w io.Writer, pairs [][2]string) error {
	column := 0
	for _, p := range pairs {
		if p[1] != "" {
			column = max(column, utf8.RuneCountInString(p[0])+len(gap))
		}
	}
	var b strings.Builder
	width := widthOf(w)
	for _, p := range pairs {
		if p[1] != "" {
			fill(&b, fmt.Sprintf("%-*s", column, p[0]), Plain(p[1]), column, width)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
