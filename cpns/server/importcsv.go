package server

import (
	"bufio"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"cpns.example.net/pngw/cpns"
)

// importLine bounds a line in bytes; an Entity ID, a TK and an owner need 260.
const importLine = 1024

// The columns of an import. The header names them, in any order; owner may be
// missing, and empty in a row.
const (
	fieldEntity = "entity_id"
	fieldTK     = "tk" // hex
	fieldOwner  = "owner"
)

// separators are what may stand between fields.
var separators = map[rune]string{',': "commas", ';': "semicolons", '\t': "tabs"}

// A csvReader reads PNEs and their Temporary Keys as CSV, the way that factories'
// scripts and spreadsheets write it: a header line, then a PNE a line; fields
// separated by commas, semicolons or tabs, whichever the header has, and quoted or
// not; lines end with LF or CR LF; a byte order mark, empty fields after the last
// column and rows of empty fields only mean nothing.
type csvReader struct {
	lines   *lineReader
	comma   rune
	columns []string // as the header has them
}

// A csvRow is what one line says.
type csvRow struct {
	line   int
	entity cpns.EntityID
	tk     cpns.TK
	owner  cpns.UserID // "" for nobody
}

// newCSVReader reads the header. One that is none is a *RowError.
func newCSVReader(r io.Reader) (*csvReader, error) {
	c := &csvReader{lines: &lineReader{r: bufio.NewReaderSize(r, importLine)}}
	header, err := c.lines.next()
	if err != nil && err != io.EOF {
		return nil, err
	}
	header = strings.TrimPrefix(header, "\ufeff")
	c.comma = ','
	for _, r := range header {
		if separators[r] != "" {
			c.comma = r
			break
		}
	}
	fields, err := c.split(header)
	if err != nil {
		return nil, badHeader(header)
	}
	for len(fields) > 0 && fields[len(fields)-1] == "" {
		fields = fields[:len(fields)-1]
	}
	sorted := slices.Sorted(slices.Values(fields))
	if !slices.Equal(sorted, []string{fieldEntity, fieldTK}) && !slices.Equal(sorted, []string{fieldEntity, fieldOwner, fieldTK}) {
		return nil, badHeader(header)
	}
	c.columns = fields
	return c, nil
}

// badHeader says what a file begins with that is no header, where that can be told.
func badHeader(header string) *RowError {
	reason := fmt.Sprintf("the header has to be %q, or %q", fieldEntity+","+fieldTK, fieldEntity+","+fieldTK+","+fieldOwner)
	switch {
	case strings.HasPrefix(header, "\xff\xfe"), strings.HasPrefix(header, "\xfe\xff"):
		reason = "the file is in UTF-16: save it as CSV in UTF-8"
	case strings.HasPrefix(header, "PK\x03\x04"), strings.HasPrefix(header, "\xd0\xcf\x11\xe0"):
		reason = "the file is a spreadsheet: save it as CSV in UTF-8"
	case strings.Contains(header, "\r"):
		reason = "the lines end with CR alone: save the file with LF or CR LF"
	}
	return &RowError{1, reason}
}

// next is the next row. One that is bad is a *RowError; io.EOF ends the file.
func (c *csvReader) next() (csvRow, error) {
	for {
		text, err := c.lines.next()
		if err != nil {
			return csvRow{}, err
		}
		row, blank, err := c.parse(text)
		if err != nil {
			return csvRow{}, &RowError{c.lines.line, err.Error()}
		}
		if !blank {
			row.line = c.lines.line
			return row, nil
		}
	}
}

func (c *csvReader) split(line string) ([]string, error) {
	if line == "" {
		return nil, nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma = c.comma
	return r.Read()
}

// parse reads a line after the header. Its errors show neither Entity ID nor TK:
// who has the columns the wrong way round has the one for the other.
func (c *csvReader) parse(line string) (row csvRow, blank bool, err error) {
	fields, err := c.split(line)
	if err != nil {
		return row, false, errors.New("a quotation mark is out of place")
	}
	if !slices.ContainsFunc(fields, func(f string) bool { return f != "" }) {
		return row, true, nil
	}
	for len(fields) > len(c.columns) && fields[len(fields)-1] == "" {
		fields = fields[:len(fields)-1]
	}
	if len(fields) != len(c.columns) {
		return row, false, fmt.Errorf("%d fields where the header has %d, separated by %s", len(fields), len(c.columns), separators[c.comma])
	}
	for n, field := range fields {
		switch c.columns[n] {
		case fieldEntity:
			row.entity, err = cpns.ParseEntityID(field)
		case fieldTK:
			row.tk, err = parseTK(field)
		case fieldOwner:
			if field != "" {
				if row.owner, err = cpns.ParseUserID(field); err != nil {
					err = fmt.Errorf("owner: %w", err)
				}
			}
		}
		if err != nil {
			return row, false, err
		}
	}
	return row, false, nil
}

// asNumber is how a spreadsheet writes a TK that it took for a number.
var asNumber = regexp.MustCompile(`^\d+([.,]\d*)?[eE]\+\d+$`)

// parseTK reads a TK as hex.
func parseTK(text string) (cpns.TK, error) {
	if asNumber.MatchString(text) {
		return nil, errors.New("TK: a spreadsheet has made a number of it, and digits are lost: format the column as text before you paste")
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, errors.New("TK: not hex")
	}
	tk, err := cpns.ParseTK(raw)
	if err != nil {
		return nil, err
	}
	return tk, CheckTK(tk)
}

// A lineReader reads lines of bounded length and counts them.
type lineReader struct {
	r    *bufio.Reader
	line int // of the last one that next returned
}

// next is the next line without its end, LF or CR LF. A line that is too long is
// skipped, with a *RowError.
func (l *lineReader) next() (string, error) {
	raw, err := l.r.ReadSlice('\n')
	if err == io.EOF && len(raw) > 0 {
		err = nil
	}
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return "", err
	}
	l.line++
	line := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if err == nil {
		return line, nil
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.r.ReadSlice('\n')
	}
	if err != nil && err != io.EOF {
		return "", err
	}
	return "", &RowError{l.line, fmt.Sprintf("longer than %d bytes", importLine)}
}
