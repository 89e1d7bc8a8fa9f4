package server

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Whatever is in the file: nothing panics, every line is a good row, a bad one or
// empty, and the good ones, written again, read the same.
func FuzzImport(f *testing.F) {
	const tk = "00112233445566778899aabbccddeeff"
	f.Add([]byte("entity_id,tk\npne-x," + tk + "\n"))
	f.Add([]byte("\ufeffentity_id,tk\r\n\"a,\"\"b\"," + tk + "\r\n\r\npne,00\n" + strings.Repeat("x", 2000)))
	f.Add([]byte("entity_id,tk\na," + tk + "\na," + strings.ToUpper(tk) + "\n\"b\n," + tk))
	f.Add([]byte("\"tk\";\"owner\";\"entity_id\";;\r\n" + tk + ";bob;a;\r\n;;;\r\nff" + tk + ";;\"b;b\""))
	f.Add([]byte("entity_id\ttk\npne-x\t1.12E+29\npne-x\t" + strings.Repeat("00", 16) + "\n"))
	v, err := newVault(&MasterKey{}, bytes.NewReader(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		o := &Operator{vault: v, now: time.Now}
		v.rand = zeroNonces{}
		var bad int
		lastBad := 1
		rows, err := readCSV(o, bytes.NewReader(in), func(e *RowError) {
			bad++
			if e.Line <= lastBad {
				t.Errorf("line %d is told after line %d", e.Line, lastBad)
			}
			lastBad = e.Line
		})
		if err != nil {
			return
		}
		if lines := bytes.Count(in, []byte("\n")); len(rows)+bad > lines {
			t.Errorf("%d good and %d bad rows in %d lines after the header", len(rows), bad, lines)
		}
		var again bytes.Buffer
		w := csv.NewWriter(&again)
		w.Write([]string{"entity_id", "tk", "owner"})
		for _, row := range rows {
			if _, err := cpns.ParseEntityID(string(row.pne.Entity)); err != nil {
				t.Errorf("line %d: %v", row.line, err)
			}
			tk, err := v.open(columnTK, string(row.pne.Entity), row.pne.TK)
			if err != nil {
				t.Fatal(err)
			}
			if row.pne.Owner != "" {
				if _, err := cpns.ParseUserID(string(row.pne.Owner)); err != nil {
					t.Errorf("line %d: %v", row.line, err)
				}
			}
			if _, err := cpns.ParseTK(tk); err != nil {
				t.Errorf("line %d: %v", row.line, err)
			}
			w.Write([]string{string(row.pne.Entity), hex.EncodeToString(tk), string(row.pne.Owner)})
		}
		w.Flush()
		second, err := readCSV(o, &again, func(e *RowError) { t.Errorf("written again: %v", e) })
		if err != nil || len(second) != len(rows) {
			t.Fatalf("written again: %d rows of %d, %v", len(second), len(rows), err)
		}
		for n := range rows {
			if second[n].pne.Entity != rows[n].pne.Entity || second[n].pne.Owner != rows[n].pne.Owner || !bytes.Equal(second[n].pne.TK, rows[n].pne.TK) {
				t.Errorf("row %d reads differently", n)
			}
		}
	})
}

func readCSV(o *Operator, r io.Reader, bad func(*RowError)) ([]importRow, error) {
	in, err := newCSVReader(r)
	if err != nil {
		return nil, err
	}
	staged, err := o.stage(in, func(int) {}, bad)
	if err != nil {
		return nil, err
	}
	defer staged.close()
	var rows []importRow
	err = staged.each(func(row *importRow) error { rows = append(rows, *row); return nil })
	return rows, err
}

// zeroNonces makes sealing the same twice give the same bytes.
type zeroNonces struct{}

func (zeroNonces) Read(p []byte) (int, error) { clear(p); return len(p), nil }
