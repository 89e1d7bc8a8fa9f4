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

// Of the rows before and after the one that a test is about, and of that.
const (
	firstTK = "f0112233445566778899aabbccddeeff"
	lastTK  = "f1112233445566778899aabbccddeeff"
	goodTK  = "00112233445566778899aabbccddeeff"
)

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
	const (
		stored = "e0112233445566778899aabbccddeeff" // the TK of pne-stored
		blank  = "blank"                            // instead of what is said: the line counts for nothing
	)
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
		{"one field", "pne-x", "1 fields where the header has 2, separated by commas"},
		{"semicolon", "pne-x;" + goodTK, "1 fields where the header has 2, separated by commas"},
		{"three fields", "pne-x," + goodTK + ",alice", "3 fields where the header has 2, separated by commas"},
		{"an empty field after them", "pne-x," + goodTK + ",,", ""},
		{"empty fields only", ",", blank},
		{"empty quoted fields only", `"","",""`, blank},
		{"spaces only", " , ", "entity ID: byte 1 is 0x20, not printable ASCII without space"},
		{"all zero", "pne-x," + strings.Repeat("00", 16), "TK: all its bytes are the same, which is no key"},
		{"all ones", "pne-x," + strings.Repeat("Ff", 64), "TK: all its bytes are the same, which is no key"},
		{"a number", "pne-x,1.12233E+29", "TK: a spreadsheet has made a number of it, and digits are lost: format the column as text before you paste"},
		{"one TK twice", "pne-x," + strings.ToUpper(firstTK), "TK: line 2 has the same"},
		{"another PNE's TK", "pne-x," + stored, "TK: PNE pne-stored has the same"},
		{"the same PNE again", "pne-stored," + stored, "PNE pne-stored is known already"},
		{"quotation mark", `pne"x,` + goodTK, "a quotation mark is out of place"},
		{"open quotation mark", `"pne-x,` + goodTK, "a quotation mark is out of place"},
		{"twice", "pne-good," + goodTK, "PNE pne-good is on line 2 already"},
		{"known", "pne-1," + goodTK, "PNE pne-1 is known already"},
		{"long line", "pne-x," + strings.Repeat("0", 2000), "longer than 1024 bytes"},
		{"binary", "\x00\xff\xfe,\x00", "entity ID: byte 1 is 0x00, not printable ASCII without space"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "entity_id,tk\npne-good," + firstTK + "\n\n" + tt.row + "\npne-last," + lastTK
			var want []string
			wantGood := 3
			switch {
			case tt.want == blank:
				tt.want, wantGood = "", 2
			case tt.want != "":
				want, wantGood = []string{"line 4: " + tt.want}, 2
			}

			r := newRig(t)
			if got, said, err := r.importCSV("entity_id,tk\npne-stored,"+stored, server.ImportOptions{}); err != nil || got.Imported != 1 {
				t.Fatalf("got %+v, %q, %v", got, said, err)
			}
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
	const header = `line 1: the header has to be "entity_id,tk", or "entity_id,tk,owner"`
	tests := []struct {
		name string
		in   io.Reader
		want string
	}{
		{"empty", strings.NewReader(""), header},
		{"no header", strings.NewReader("pne-x," + goodTK + "\n"), header},
		{"another column", strings.NewReader("entity_id,tk,name\n"), header},
		{"a column twice", strings.NewReader("entity_id,tk,tk\n"), header},
		{"a column missing", strings.NewReader("entity_id,owner\n"), header},
		{"an open quotation mark", strings.NewReader("\"entity_id,tk\n"), header},
		{"UTF-16", strings.NewReader("\xff\xfee\x00n\x00"), "line 1: the file is in UTF-16: save it as CSV in UTF-8"},
		{"a spreadsheet", strings.NewReader("PK\x03\x04\x14\x00"), "line 1: the file is a spreadsheet: save it as CSV in UTF-8"},
		{"CR alone", strings.NewReader("entity_id,tk\rpne-x," + goodTK + "\r"), "line 1: the lines end with CR alone: save the file with LF or CR LF"},
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

// What spreadsheets and scripts make of a list of PNEs is read.
func TestImportForms(t *testing.T) {
	row := func(sep string, fields ...string) string { return strings.Join(fields, sep) + "\r\n" }
	tests := []struct {
		name, text string
		owner      cpns.UserID
	}{
		{"byte order mark", "\ufeffentity_id,tk\r\npne-x," + goodTK + "\r\n", ""},
		{"byte order mark and quoted header", "\ufeff" + row(",", `"entity_id"`, `"tk"`) + row(",", `"pne-x"`, `"`+goodTK+`"`), ""},
		{"semicolons", row(";", "entity_id", "tk") + row(";", "pne-x", goodTK), ""},
		{"tabs", row("\t", "entity_id", "tk") + row("\t", "pne-x", goodTK), ""},
		{"trailing columns and rows", row(",", "entity_id", "tk", "", "") + row(",", "pne-x", goodTK, "", "") + row(",", "", "", "", "") + row(",", "", ""), ""},
		{"the other order", row(",", "tk", "entity_id") + row(",", goodTK, "pne-x"), ""},
		{"no end of the last line", "entity_id,tk\npne-x," + goodTK, ""},
		{"owner", row(",", "entity_id", "tk", "owner") + row(",", "pne-x", goodTK, "alice"), "alice"},
		{"owner, semicolons", row(";", "owner", "entity_id", "tk") + row(";", `"bob"`, "pne-x", goodTK), "bob"},
		{"empty owner", row(",", "entity_id", "tk", "owner") + row(",", "pne-x", goodTK, ""), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			got, said, err := r.importCSV(tt.text, server.ImportOptions{})
			if err != nil || got.Imported != 1 || got.Bad != 0 {
				t.Fatalf("got %+v, %q, %v", got, said, err)
			}
			if owner := r.ownerOf("pne-x"); owner != tt.owner {
				t.Errorf("owned by %q, want %q", owner, tt.owner)
			}
		})
	}
}

func (r *rig) ownerOf(e cpns.EntityID) (owner cpns.UserID) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx server.Tx) error {
		pne, err := tx.PNE(e)
		owner = pne.Owner
		return err
	}))
	return owner
}

// The owner of an import is the only one who gets the PNE, and is a user.
func TestImportOwner(t *testing.T) {
	r := newRig(t)
	const text = "entity_id,tk,owner\npne-x," + goodTK + ",bob\npne-y," + firstTK + ",carol\npne-z," + lastTK + ",b b\npne-w,e0" + lastTK + "\n"
	got, said, err := r.importCSV(text, server.ImportOptions{Partial: true})
	want := []string{
		"line 4: owner: CPNS user ID: byte 2 is 0x20, not printable ASCII without space",
		"line 5: 2 fields where the header has 3, separated by commas",
		"line 3: owner: there is no user carol",
	}
	if err != nil || got.Imported != 1 || !reflect.DeepEqual(said, want) {
		t.Fatalf("got %+v, %q, %v", got, said, err)
	}
	r.pnes["pne-x"] = nil
	r.wantStatus("gw-1", r.request("alice", "pne-x"), cpns.PNEOwnedByAnotherUser)
	r.wantStatus("gw-1", r.request("bob", "pne-x"), cpns.Success)
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
			if _, err := fmt.Fprintf(w, "urn:dev:mac:%016x,%032x\n", k, k+0x100); err != nil {
				return
			}
		}
		w.Close()
	}()
	return r
}

func TestImportMany(t *testing.T) {
	r := newRig(t)
	const n = 20_000
	got, err := r.op.ImportPNEs(t.Context(), rows(n), server.ImportOptions{})
	if err != nil || got.Imported != n {
		t.Errorf("got %+v, %v, want %d imported", got, err, n)
	}
	r.pnes["urn:dev:mac:0000000000004e1f"] = nil
	if got := r.wantStatus("gw-1", r.request("alice", "urn:dev:mac:0000000000004e1f"), cpns.Success); hexOf(got.TK) != fmt.Sprintf("%032x", n-1+0x100) {
		t.Error("the last one has another TK")
	}
}

func TestImportTooMany(t *testing.T) {
	r := newRig(t)
	const most = 1000
	r.op.SetImportMost(most)
	if got, err := r.op.ImportPNEs(t.Context(), rows(most), server.ImportOptions{DryRun: true}); err != nil || got.Good != most {
		t.Fatalf("got %+v, %v, want %d good rows", got, err, most)
	}
	in := rows(most + 1)
	_, err := r.op.ImportPNEs(t.Context(), in, server.ImportOptions{Partial: true})
	in.(io.Closer).Close()
	if err == nil || !strings.Contains(err.Error(), "split the file") {
		t.Errorf("got %v, want an error that says what to do", err)
	}
	if r.knows("urn:dev:mac:0000000000000000") {
		t.Error("some were imported")
	}
}

// A check only reads: whoever writes meanwhile does not wait for it.
func TestDryRunOnlyReads(t *testing.T) {
	r := newRig(t)
	op, err := server.NewOperator(t.Context(), &readOnlyStore{Store: r.store}, r.key, "tester")
	must(t, err)
	var bad []string
	got, err := op.ImportPNEs(t.Context(), strings.NewReader("entity_id,tk\npne-x,"+goodTK+"\npne-1,0"+goodTK[1:31]+"1\n"),
		server.ImportOptions{DryRun: true, Bad: func(e *server.RowError) { bad = append(bad, e.Error()) }})
	if err != nil || got.Good != 1 || got.Bad != 1 || got.Imported != 0 || len(bad) != 1 || !strings.Contains(bad[0], "known already") {
		t.Errorf("got %+v, %q, %v", got, bad, err)
	}
}
