// Package spreadsheet reads tables as spreadsheets and scripts save them as CSV, a
// row at a time, however long the table is: fields separated by commas, semicolons or
// tabs, whichever the header has, quoted or not, a quoted one over several lines if
// need be; LF or CR LF; a byte order mark; a first line sep=; empty fields after the
// last column and rows of empty fields only mean nothing. What is not UTF-8 is taken
// for Latin-1.
package spreadsheet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxRow bounds a row, in bytes.
const MaxRow = 4096

// A RowError is a row that cannot be taken. The next one can be read all the same.
type RowError struct {
	Line   int // where the row begins, from 1
	Reason string
}

func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Columns are what a table may have.
type Columns struct {
	Names    []string // as the header has them, in any order
	Required int      // so many of them, from the first, have to be there
	Ignored  []string // may be there, and mean nothing
}

// Reader reads a table.
type Reader struct {
	in    *bufio.Reader
	comma byte
	order []int // of each field in the file, its place in Columns.Names, -1 for none
	names int
	line  int // that begins next
}

// NewReader reads the header. One that is none is a *RowError.
func NewReader(r io.Reader, c Columns) (*Reader, error) {
	t := &Reader{in: bufio.NewReaderSize(r, 2*MaxRow), line: 1, names: len(c.Names)}
	if err := t.begin(); err != nil {
		return nil, err
	}
	line, fields, err := t.fields()
	if err == io.EOF {
		return nil, &RowError{1, "the file is empty: want a header, then a row a line"}
	} else if err != nil {
		return nil, err
	}
	for len(fields) > 0 && fields[len(fields)-1] == "" {
		fields = fields[:len(fields)-1]
	}
	for _, name := range fields {
		name = strings.ToLower(name)
		at := slices.Index(c.Names, name)
		switch {
		case at < 0 && !slices.Contains(c.Ignored, name):
			return nil, &RowError{line, fmt.Sprintf("the header has a column %q: want %s", name, strings.Join(c.Names, ", "))}
		case at >= 0 && slices.Contains(t.order, at):
			return nil, &RowError{line, fmt.Sprintf("the header has two columns %s", name)}
		}
		t.order = append(t.order, at)
	}
	for at, name := range c.Names[:c.Required] {
		if !slices.Contains(t.order, at) {
			return nil, &RowError{line, fmt.Sprintf("the header has no column %s: the first line has to name the columns, %s", name, strings.Join(c.Names, ", "))}
		}
	}
	return t, nil
}

// begin looks at what the file begins with, and finds out what separates fields.
func (t *Reader) begin() error {
	head, err := t.in.Peek(MaxRow)
	if err != nil && err != io.EOF {
		return err
	}
	if rest, marked := bytes.CutPrefix(head, []byte("\ufeff")); marked {
		t.in.Discard(len(head) - len(rest)) // it has them
		head = rest
	}
	line, rest, _ := bytes.Cut(head, []byte("\n"))
	if sep := bytes.TrimSuffix(line, []byte("\r")); len(sep) == 5 && bytes.EqualFold(sep[:4], []byte("sep=")) {
		t.in.Discard(len(line) + 1)
		t.line, t.comma = 2, sep[4]
		line, _, _ = bytes.Cut(rest, []byte("\n"))
	}
	begins := func(marks ...string) bool {
		return slices.ContainsFunc(marks, func(m string) bool { return bytes.HasPrefix(head, []byte(m)) })
	}
	switch {
	case begins("\xff\xfe", "\xfe\xff"):
		return &RowError{1, "the file is in UTF-16: save it as CSV in UTF-8"}
	case begins("PK\x03\x04", "\xd0\xcf\x11\xe0"):
		return &RowError{1, "the file is a spreadsheet: save it as CSV in UTF-8"}
	case bytes.IndexByte(bytes.TrimSuffix(line, []byte("\r")), '\r') >= 0:
		return &RowError{1, "the lines end with CR alone: save the file with LF or CR LF"}
	}
	if t.comma == 0 {
		t.comma = ','
		if at := bytes.IndexAny(line, ",;\t"); at >= 0 {
			t.comma = line[at]
		}
	}
	return nil
}

// Next is the next row and the line that it begins in: a field for each of the
// columns' names, "" for a column that is not there. A row that is bad is a *RowError;
// io.EOF ends the table.
func (t *Reader) Next() (line int, row []string, err error) {
	for {
		line, fields, err := t.fields()
		if err != nil {
			return line, nil, err
		}
		for len(fields) > len(t.order) && fields[len(fields)-1] == "" {
			fields = fields[:len(fields)-1]
		}
		if !slices.ContainsFunc(fields, func(f string) bool { return f != "" }) {
			continue
		}
		if len(fields) > len(t.order) {
			return line, nil, &RowError{line, fmt.Sprintf("%d fields, separated by %q, and the header has %d", len(fields), t.comma, len(t.order))}
		}
		row = make([]string, t.names)
		for i, f := range fields {
			if at := t.order[i]; at >= 0 {
				row[at] = f
			}
		}
		return line, row, nil
	}
}

// fields reads one row. A bad one ends with its first line, so that a quotation mark
// too many does not take the rows below with it.
func (t *Reader) fields() (line int, fields []string, err error) {
	line = t.line
	window, err := t.in.Peek(MaxRow)
	if len(window) == 0 {
		return line, nil, err
	}
	if err != nil && err != io.EOF {
		return line, nil, err
	}
	fields, n, problem := split(window, t.comma, err == io.EOF)
	if problem == nil {
		t.line += bytes.Count(window[:n], []byte("\n"))
		t.in.Discard(n)
		return line, fields, nil
	}
	for {
		_, err := t.in.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	t.line++
	return line, nil, &RowError{line, problem.Error()}
}

var (
	errQuote = errors.New("a quotation mark is out of place, or one is missing")
	errLong  = fmt.Errorf("longer than %d bytes", MaxRow)
)

// split takes the first row out of a text, which is all that is left where last is
// set, and says how many bytes it has.
func split(text []byte, comma byte, last bool) (fields []string, n int, err error) {
	var field []byte
	quoted, was := false, false // inside of quotation marks; the field had some
	end := func() {
		fields = append(fields, decode(field))
		field, was = field[:0], false
	}
	for n < len(text) {
		c := text[n]
		n++
		switch {
		case quoted && c == '"' && n < len(text) && text[n] == '"':
			field = append(field, c)
			n++
		case quoted && c == '"':
			quoted = false
		case quoted:
			field = append(field, c)
		case c == '"' && !was && len(bytes.TrimSpace(field)) == 0:
			quoted, was, field = true, true, field[:0]
		case c == '"':
			return nil, 0, errQuote
		case c == comma:
			end()
		case c == '\n':
			end()
			return fields, n, nil
		case was && c != '\r' && c != ' ':
			return nil, 0, errQuote
		default:
			field = append(field, c)
		}
	}
	switch {
	case quoted:
		return nil, 0, errQuote
	case !last:
		return nil, 0, errLong
	}
	end()
	return fields, n, nil
}

// decode is a field as text, without spaces around it.
func decode(field []byte) string {
	if utf8.Valid(field) {
		return strings.TrimSpace(string(field))
	}
	var b strings.Builder
	for _, c := range field {
		b.WriteRune(rune(c))
	}
	return strings.TrimSpace(b.String())
}

// Row is a row as a spreadsheet reads it, with commas between its fields. What it
// would take for a formula gets an apostrophe in front, which Text takes off.
func Row(fields ...string) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		if f != "" && strings.IndexByte("=+-@\t\r", f[0]) >= 0 {
			f = "'" + f
		}
		if strings.ContainsAny(f, "\",;\t\r\n ") {
			f = `"` + strings.ReplaceAll(f, `"`, `""`) + `"`
		}
		b.WriteString(f)
	}
	return b.String() + "\r\n"
}

// Text is a field without the apostrophe that Row put in front of it.
func Text(field string) string {
	if len(field) > 1 && field[0] == '\'' && strings.IndexByte("=+-@", field[1]) >= 0 {
		return field[1:]
	}
	return field
}
