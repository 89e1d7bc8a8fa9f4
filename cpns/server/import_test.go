package server_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

const goodTK = "00112233445566778899aabbccddeeff"

// importCSV imports text and returns what was said of the bad rows.
func (r *rig) importCSV(text string, opts server.ImportOptions) (server.ImportResult, []string, error) {
	var bad []string
	opts.Bad = func(e *server.RowError) { bad = append(bad, e.Error()) }
	result, err := r.op.ImportPNEs(r.t.Context(), strings.NewReader(text), opts)
	return result, bad, err
}

func (r *rig) knows(e cpns.EntityID) bool {
	r.t.Helper()
	err := r.store.View(r.t.Context(), func(tx server.Tx) error {
		_, err := tx.PNE(e)
		return err
	})
	if err != nil && !errors.Is(err, server.ErrNotFound) {
		r.t.Fatal(err)
	}
	return err == nil
}

func TestImportBadRows(t *testing.T) {
	tests := []struct {
		name, row string
		want      string // what is said, without the line; "" for a good row
	}{
		{"good", "pne-x," + goodTK, ""},
		{"good, upper case", "pne-x," + strings.ToUpper(goodTK), ""},
		{"good, 64 bytes", "pne-x," + strings.Repeat(goodTK, 4), ""},
		{"good, quoted", `"pne,""x",` + goodTK, ""},
		{"good, CR LF", "pne-x," + goodTK + "\r", ""},
		{"short TK", "pne-x," + goodTK[2:], "TK: 15 bytes, must be 16 to 64"},
		{"long TK", "pne-x," + strings.Repeat(goodTK, 4) + "00", "TK: 65 bytes, must be 16 to 64"},
		{"no TK", "pne-x,", "TK: 0 bytes, must be 16 to 64"},
		{"odd hex", "pne-x," + goodTK + "0", "TK: not hex"},
		{"no hex", "pne-x,0x" + goodTK, "TK: not hex"},
		{"space in hex", "pne-x, " + goodTK, "TK: not hex"},
		{"no entity ID", "," + goodTK, "entity ID: empty"},
		{"space in the entity ID", "pne x," + goodTK, "entity ID: byte 4 is 0x20, not printable ASCII without space"},
		{"entity ID too long", strings.Repeat("x", 65) + "," + goodTK, "entity ID: 65 bytes, at most 64"},
		{"one field", "pne-x", "1 fields where there have to be 2"},
		{"three fields", "pne-x," + goodTK + ",", "3 fields where there have to be 2"},
		{"quotation mark", `pne"x,` + goodTK, "a quotation mark is out of place"},
		{"open quotation mark", `"pne-x,` + goodTK, "a quotation mark is out of place"},
		{"twice", "pne-good," + goodTK, "PNE pne-good is on line 2 already"},
		{"known", "pne-1," + goodTK, "PNE pne-1 is known already"},
		{"long line", "pne-x," + strings.Repeat("0", 2000), "longer than 1024 bytes"},
		{"binary", "\x00\xff\xfe,\x00", "entity ID: byte 1 is 0x00, not printable ASCII without space"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "entity_id,tk\npne-good," + goodTK + "\n\n" + tt.row + "\npne-last," + goodTK
			var want []string
			wantGood := 3
			if tt.want != "" {
				want, wantGood = []string{"line 4: " + tt.want}, 2
			}

			r := newRig(t)
			got, said, err := r.importCSV(text, server.ImportOptions{DryRun: true, Partial: true})
			if err != nil || !reflect.DeepEqual(said, want) || got.Imported != 0 || got.Good != wantGood || got.Bad != len(want) {
				t.Errorf("dry run: got %+v, %q, %v", got, said, err)
			}
			got, said, err = r.importCSV(text, server.ImportOptions{})
			if err != nil || !reflect.DeepEqual(said, want) {
				t.Errorf("got %+v, %q, %v, want %q", got, said, err, want)
			}
			if r.knows("pne-good") != (tt.want == "") || r.knows("pne-last") != (tt.want == "") {
				t.Errorf("imported in spite of the bad row, or not without one")
			}
			if tt.want == "" {
				return
			}
			got, said, err = r.importCSV(text, server.ImportOptions{Partial: true})
			if err != nil || !reflect.DeepEqual(said, want) || got.Imported != wantGood {
				t.Errorf("partial: got %+v, %q, %v", got, said, err)
			}
			if !r.knows("pne-good") || !r.knows("pne-last") || r.knows("pne-x") {
				t.Error("partial: not the good rows were imported")
			}
		})
	}
}

func TestImportFails(t *testing.T) {
	read := errors.New("the line went dead")
	tests := []struct {
		name string
		in   io.Reader
		want string
	}{
		{"empty", strings.NewReader(""), `line 1: the header has to be "entity_id,tk"`},
		{"no header", strings.NewReader("pne-x," + goodTK + "\n"), `line 1: the header has to be "entity_id,tk"`},
		{"another header", strings.NewReader("tk,entity_id\n"), `line 1: the header has to be "entity_id,tk"`},
		{"a header without end", io.LimitReader(zeros{}, 1<<20), "line 1: longer than 1024 bytes"},
		{"reading fails", io.MultiReader(strings.NewReader("entity_id,tk\npne-x,"+goodTK+"\n"), iotest.ErrReader(read)), read.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			events := len(r.events())
			_, err := r.op.ImportPNEs(t.Context(), tt.in, server.ImportOptions{Partial: true})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if r.knows("pne-x") || len(r.events()) != events {
				t.Error("something was imported")
			}
		})
	}
}

// A spreadsheet's byte order mark before the header is no fault.
func TestImportByteOrderMark(t *testing.T) {
	r := newRig(t)
	got, said, err := r.importCSV("\ufeffentity_id,tk\r\npne-x,"+goodTK+"\r\n", server.ImportOptions{})
	if err != nil || got.Imported != 1 {
		t.Errorf("got %+v, %q, %v", got, said, err)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// rows gives the header and n good rows without holding them.
func rows(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		fmt.Fprintln(w, "entity_id,tk")
		for k := range n {
			if _, err := fmt.Fprintf(w, "urn:dev:mac:%016x,%s\n", k, goodTK); err != nil {
				return
			}
		}
		w.Close()
	}()
	return r
}

func TestImportMany(t *testing.T) {
	r := newRig(t)
	const n = 100_000
	got, err := r.op.ImportPNEs(t.Context(), rows(n), server.ImportOptions{})
	if err != nil || got.Imported != n {
		t.Errorf("got %+v, %v, want %d imported", got, err, n)
	}
	r.pnes["urn:dev:mac:000000000001869f"] = nil
	if got := r.wantStatus("gw-1", r.request("alice", "urn:dev:mac:000000000001869f"), cpns.Success); hexOf(got.TK) != goodTK {
		t.Error("the last one has another TK")
	}
}

func TestImportTooMany(t *testing.T) {
	r := newRig(t)
	in := rows(server.ImportRows + 1)
	_, err := r.op.ImportPNEs(t.Context(), in, server.ImportOptions{Partial: true})
	in.(io.Closer).Close()
	if err == nil || !strings.Contains(err.Error(), "split the file") {
		t.Errorf("got %v, want an error that says what to do", err)
	}
	if r.knows("urn:dev:mac:0000000000000000") {
		t.Error("some were imported")
	}
}
