package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"slices"
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
	w     io.Writer
	json  *json.Encoder // nil for people
	rows  [][]string
	parts bool // some have been printed
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
	if t.rows = append(t.rows, cells); len(t.rows) <= tableRows {
		return nil
	}
	// A long listing is printed in parts, each under the names of its columns: it is
	// never in memory as a whole.
	part := t.rows
	t.parts = true
	t.rows = [][]string{slices.Clone(part[0])}
	return display.Table(t.w, part)
}

const tableRows = 1000 // of a part

// end ends the table of a listing that ended with err.
func (t *table) end(err error) error {
	if t.json != nil {
		return err
	}
	if len(t.rows) == 1 && (t.parts || err != nil) {
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
