package batch

import (
	"bufio"
	"io"
	"strconv"

	"cpns.example.net/pngw/internal/spreadsheet"
)

// Report writes each row and its verdict as CSV, in the order of the file, for
// spreadsheets. It can be given as a file again.
func (b *Batch) Report(w io.Writer) error {
	out := bufio.NewWriter(w)
	out.WriteString("\ufeff" + spreadsheet.Row("line", "entity_id", "user", "label", "location", "result", "detail", "advice"))
	err := b.Verdicts(func(row Row, v Verdict) error {
		device := string(row.Entity)
		if device == "" {
			device = row.Typed
		}
		_, err := out.WriteString(spreadsheet.Row(strconv.Itoa(row.Line), device, string(row.User), row.Label, row.Location, string(v.Result), v.Detail, v.Advice))
		return err
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// Verdicts tells each row's, in the order of the file.
func (b *Batch) Verdicts(tell func(Row, Verdict) error) error {
	return b.each(func(i int, row Row) error {
		if i >= len(b.ledger.rows) {
			return errChanged
		}
		v := b.ledger.verdict(i)
		switch {
		case v.Result == Bad && row.Err != nil:
			v = badRow(row)
		case v.Result == Duplicate:
			v = b.duplicate(i)
		}
		return tell(row, v)
	})
}
