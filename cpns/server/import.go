package server

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Bounds of an import.
const (
	importLine = 1024    // bytes in a line; an Entity ID and a TK need 195
	importRows = 250_000 // in one file, which is held in memory, sealed, to be written at once
)

// importHeader is the first line of an import.
const importHeader = "entity_id,tk"

// ImportOptions say what to do with an import.
type ImportOptions struct {
	Partial bool // import the good rows although others are bad
	DryRun  bool // check everything, import nothing
	// Bad is told of every bad row, in the order of the lines per check; nil
	// where nobody listens.
	Bad func(*RowError)
}

// A RowError is why one row of an import is bad. It never shows a TK.
type RowError struct {
	Line   int // from 1, the header
	Reason string
}

func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// ImportResult counts the rows of an import.
type ImportResult struct {
	Good, Bad int
	Imported  int // all good rows, or none
}

// ImportPNEs reads PNEs and their Temporary Keys as CSV, entity_id,tk with a
// header line, tk in hex. Where a row is bad nothing is imported, unless Partial
// is set. Its own errors are those that make the whole import fail; a header that
// is not the one above is a *RowError.
func (o *Operator) ImportPNEs(ctx context.Context, r io.Reader, opts ImportOptions) (ImportResult, error) {
	if opts.Bad == nil {
		opts.Bad = func(*RowError) {}
	}
	// All is read before the transaction begins: the input may be slow, and a
	// running server waits for the store as long as the transaction lasts.
	var result ImportResult
	rows, err := o.readPNEs(r, func(e *RowError) {
		result.Bad++
		opts.Bad(e)
	})
	if err != nil {
		return result, err
	}
	known, err := o.addPNEs(ctx, rows, func(known int) bool {
		return opts.DryRun || (result.Bad+known > 0 && !opts.Partial)
	})
	if err != nil && !errors.Is(err, errNotWanted) {
		return result, err
	}
	for _, e := range known {
		opts.Bad(e)
	}
	result.Bad += len(known)
	result.Good = len(rows) - len(known)
	if err == nil {
		result.Imported = result.Good
	}
	return result, nil
}

// errNotWanted rolls an import back that was only a check, or that failed it.
var errNotWanted = errors.New("import not wanted")

// addPNEs adds the rows that the store does not know yet and returns the others
// as errors. Where unwanted says so of their number, it adds none and fails with
// errNotWanted.
func (o *Operator) addPNEs(ctx context.Context, rows []importRow, unwanted func(known int) bool) (known []*RowError, err error) {
	err = o.store.Update(ctx, func(tx Tx) error {
		known = nil
		for _, row := range rows {
			err := tx.AddPNE(row.pne)
			if errors.Is(err, ErrExists) {
				known = append(known, &RowError{row.line, fmt.Sprintf("PNE %s is known already", row.pne.Entity)})
			} else if err != nil {
				return err
			}
		}
		added := len(rows) - len(known)
		if unwanted(len(known)) || added == 0 {
			return errNotWanted
		}
		return tx.AddEvent(o.event(Event{Kind: EventPNEsImported, Detail: fmt.Sprintf("imported: %d", added)}))
	})
	return known, err
}

// An importRow is a row that is good in itself, its TK sealed.
type importRow struct {
	line int
	pne  PNE
}

// readPNEs reads and seals the rows that are good in themselves and tells bad of
// the others.
func (o *Operator) readPNEs(r io.Reader, bad func(*RowError)) ([]importRow, error) {
	lines := &lineReader{r: bufio.NewReaderSize(r, importLine)}
	header, err := lines.next()
	if err != nil && err != io.EOF {
		return nil, err
	}
	if strings.TrimPrefix(header, "\ufeff") != importHeader {
		return nil, &RowError{1, fmt.Sprintf("the header has to be %q", importHeader)}
	}
	var rows []importRow
	firstLine := make(map[cpns.EntityID]int)
	created := time.Now()
	for {
		line, err := lines.next()
		if err == io.EOF {
			return rows, nil
		}
		if e, isRow := errors.AsType[*RowError](err); isRow {
			bad(e)
			continue
		}
		if err != nil {
			return nil, err
		}
		if line == "" {
			continue
		}
		entity, tk, err := parseImportRow(line)
		if err != nil {
			bad(&RowError{lines.line, err.Error()})
			continue
		}
		if first, twice := firstLine[entity]; twice {
			bad(&RowError{lines.line, fmt.Sprintf("PNE %s is on line %d already", entity, first)})
			continue
		}
		if len(rows) == importRows {
			return nil, fmt.Errorf("line %d: more than %d rows: split the file", lines.line, importRows)
		}
		sealed, err := o.vault.seal(columnTK, string(entity), tk)
		if err != nil {
			return nil, err
		}
		firstLine[entity] = lines.line
		rows = append(rows, importRow{lines.line, PNE{Entity: entity, TK: sealed, Created: created}})
	}
}

// parseImportRow reads entity_id,tk. Its errors show neither: who has the columns
// the wrong way round has a TK for an Entity ID.
func parseImportRow(line string) (cpns.EntityID, cpns.TK, error) {
	fields, err := csv.NewReader(strings.NewReader(line)).Read()
	if err != nil {
		return "", nil, errors.New("a quotation mark is out of place")
	}
	if len(fields) != 2 {
		return "", nil, fmt.Errorf("%d fields where there have to be 2", len(fields))
	}
	entity, err := cpns.ParseEntityID(fields[0])
	if err != nil {
		return "", nil, err
	}
	raw, err := hex.DecodeString(fields[1])
	if err != nil {
		return "", nil, errors.New("TK: not hex")
	}
	tk, err := cpns.ParseTK(raw)
	if err != nil {
		return "", nil, err
	}
	return entity, tk, nil
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
