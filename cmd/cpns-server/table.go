package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// jsonFlag declares --json.
func jsonFlag(fs *flag.FlagSet) *bool {
	return fs.Bool("json", false, "one JSON object a line, for programs")
}

// A table prints a listing for people, in columns, or for programs, one JSON
// object a line.
type table struct {
	columns *tabwriter.Writer // nil for JSON
	json    *json.Encoder
}

func newTable(w io.Writer, asJSON bool, header string) *table {
	if asJSON {
		return &table{json: json.NewEncoder(w)}
	}
	t := &table{columns: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(t.columns, header)
	return t
}

// row prints one row: object as JSON, or the columns of format, tab-separated.
func (t *table) row(object any, format string, args ...any) error {
	if t.columns == nil {
		return t.json.Encode(object)
	}
	_, err := fmt.Fprintf(t.columns, format+"\n", args...)
	return err
}

// end ends the table of a listing that ended with err.
func (t *table) end(err error) error {
	if t.columns == nil {
		return err
	}
	return errors.Join(err, t.columns.Flush())
}

func day(t time.Time) string { return t.Local().Format(time.DateOnly) }

// orDash stands for what there is none of.
func orDash[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return string(s)
}
