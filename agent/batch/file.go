package batch

import (
	"errors"
	"fmt"
	"io"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/spreadsheet"
)

// Row is one row of the file.
type Row struct {
	Line     int           `json:"line"`
	Entity   cpns.EntityID `json:"entity_id,omitempty"` // "" where Err says why
	User     cpns.UserID   `json:"user,omitempty"`
	Typed    string        `json:"-"` // what stood in the row for the device
	Label    string        `json:"label,omitempty"`
	Location string        `json:"location,omitempty"`
	Err      error         `json:"-"`
}

// Columns of the file, and those of a report, which can be given as a file again.
var (
	columns       = []string{"entity_id", "user", "label", "location"}
	reportColumns = []string{"line", "result", "detail", "advice"}
)

// each reads the file from its beginning, and hands each row on, by its place.
func (b *Batch) each(f func(i int, row Row) error) error {
	if _, err := b.cfg.File.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("the file is read several times, and this one can be read once: save it, and name it: %w", err)
	}
	r, err := spreadsheet.NewReader(b.cfg.File, spreadsheet.Columns{Names: columns, Required: 1, Ignored: reportColumns})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		line, fields, err := r.Next()
		row := Row{Line: line}
		bad := new(spreadsheet.RowError)
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &bad):
			row.Err = errors.New(bad.Reason)
		case err != nil:
			return err
		default:
			row.Typed, row.Label, row.Location = spreadsheet.Text(fields[0]), spreadsheet.Text(fields[2]), spreadsheet.Text(fields[3])
			row.Err = row.parse(spreadsheet.Text(fields[1]), b.cfg.User)
		}
		if err := f(i, row); err != nil {
			return err
		}
	}
}

func (r *Row) parse(user string, other cpns.UserID) (err error) {
	e, err := cpns.ParseDevice(r.Typed)
	if err != nil {
		return err
	}
	r.User = other
	if user != "" {
		if r.User, err = cpns.ParseUserID(user); err != nil {
			return err
		}
	}
	if r.User == "" {
		return errors.New("no user: fill in the column user, or give --user")
	}
	r.Entity = e
	return nil
}

// pass is each, of the rows with a verdict, and only where they are what they were.
func (b *Batch) pass(r Result, f func(i int, row Row) error) error {
	n := 0
	err := b.each(func(i int, row Row) error {
		n++
		if i >= len(b.ledger.rows) || b.ledger.rows[i].key != 0 && b.ledger.rows[i].key != b.ledger.key(row.Entity) {
			return errChanged
		}
		if results[b.ledger.rows[i].result] != r {
			return nil
		}
		return f(i, row)
	})
	if err == nil && n != len(b.ledger.rows) {
		return errChanged
	}
	return err
}
