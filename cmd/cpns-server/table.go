package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"time"

	"cpns.example.net/pngw/internal/display"
)

// jsonFlag declares --json.
func jsonFlag(fs *flag.FlagSet) *bool {
	return fs.Bool("json", false, "one JSON object a line, for programs")
}

// A table prints a listing for people, in columns, or for programs, one JSON
// object a line.
type table struct {
	w    io.Writer
	json *json.Encoder // nil for people
	rows [][]string
}

func newTable(w io.Writer, asJSON bool, names ...string) *table {
	if asJSON {
		return &table{json: json.NewEncoder(w)}
	}
	return &table{w: w, rows: [][]string{names}}
}

// row adds one row: object as JSON, or a cell for each column.
func (t *table) row(object any, cells ...string) error {
	if t.json != nil {
		return t.json.Encode(object)
	}
	t.rows = append(t.rows, cells)
	return nil
}

// end ends the table of a listing that ended with err.
func (t *table) end(err error) error {
	if t.json != nil {
		return err
	}
	return errors.Join(err, display.Table(t.w, t.rows))
}

func day(t time.Time) string { return t.Local().Format(time.DateOnly) }

// minute is a time to the minute, "" for none.
func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// orNil is a time that JSON shows as null where it is none.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
