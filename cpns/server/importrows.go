package server

import (
	"context"
	"crypto/sha256"
	"io"

	"cpns.example.net/pngw/cpns"
)

// A rowReader gives the rows of an import, one after the other: io.EOF ends them, and a
// *RowError is a bad one.
type rowReader interface{ next() (csvRow, error) }

// An ImportRow is a PNE to be imported.
type ImportRow struct {
	Line   int // of the file, by which it is told of
	Entity cpns.EntityID
	TK     cpns.TK
	Owner  cpns.UserID // "" for nobody
}

// ReadImport reads a file for ImportPNEs and gives the rows that are good in themselves,
// whatever a store has; bad is told of the others. A header that is none is a *RowError.
// It keeps no row.
func ReadImport(r io.Reader, bad func(*RowError), f func(ImportRow) error) error {
	in, err := newCSVReader(r)
	if err != nil {
		return err
	}
	var twice doubles
	for {
		row, err := in.next()
		if e, isRow := err.(*RowError); isRow {
			bad(e)
			continue
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if e := twice.find(row); e != nil {
			bad(e)
			continue
		}
		if err := f(ImportRow{row.line, row.entity, row.tk, row.owner}); err != nil {
			return err
		}
	}
}

// ImportRows is ImportPNEs of rows that a program has.
func (o *Operator) ImportRows(ctx context.Context, rows []ImportRow, opts ImportOptions) (ImportResult, error) {
	return o.importFrom(ctx, &rowList{rows}, opts)
}

// A rowList gives rows that are there.
type rowList struct{ rows []ImportRow }

func (l *rowList) next() (csvRow, error) {
	if len(l.rows) == 0 {
		return csvRow{}, io.EOF
	}
	r := l.rows[0]
	l.rows = l.rows[1:]
	if err := CheckTK(r.TK); err != nil {
		return csvRow{}, &RowError{r.Line, err.Error()}
	}
	return csvRow{r.Line, r.Entity, r.TK, r.Owner}, nil
}

// doubles are the lines on which PNEs and Temporary Keys were seen.
type doubles struct {
	lineOf   map[[16]byte]int32 // by idDigest
	lineOfTK map[tkDigest]int32
}

// idDigest stands for an Entity ID, in less memory.
func idDigest(e cpns.EntityID) [16]byte {
	sum := sha256.Sum256([]byte(e))
	return [16]byte(sum[:16])
}

// find says where a row's PNE, or its key, was seen before; else it remembers the row.
func (d *doubles) find(row csvRow) *RowError {
	if d.lineOf == nil {
		d.lineOf, d.lineOfTK = make(map[[16]byte]int32), make(map[tkDigest]int32)
	}
	id, digest := idDigest(row.entity), digestOf(row.tk)
	if first, twice := d.lineOf[id]; twice {
		return rowErrorf(row.line, "PNE %s is on line %d already", row.entity, first)
	}
	if first, twice := d.lineOfTK[digest]; twice {
		return rowErrorf(row.line, "TK: line %d has the same", first)
	}
	d.lineOf[id], d.lineOfTK[digest] = int32(row.line), int32(row.line)
	return nil
}
