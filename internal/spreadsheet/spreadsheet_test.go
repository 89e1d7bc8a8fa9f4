package spreadsheet

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

var columns = Columns{Names: []string{"entity_id", "user", "label", "location"}, Required: 1, Ignored: []string{"line"}}

// read gives each row as "line: fields", or its error.
func read(text string) (rows []string) {
	t, err := NewReader(strings.NewReader(text), columns)
	for err == nil {
		var line int
		var row []string
		line, row, err = t.Next()
		if e := new(RowError); errors.As(err, &e) {
			rows, err = append(rows, err.Error()), nil
		} else if err == nil {
			rows = append(rows, fmt.Sprintf("%d: %s", line, strings.Join(row, "|")))
		}
	}
	if err != io.EOF {
		rows = append(rows, err.Error())
	}
	return rows
}

func TestRead(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"plain":          {"entity_id\nm-1\nm-2", []string{"2: m-1|||", "3: m-2|||"}},
		"spreadsheet":    {"\ufeffEntity_ID;User;Location\r\n\"m-1\";alice;\"Hall 2; \"\"north\"\"\"\r\n", []string{`2: m-1|alice||Hall 2; "north"`}},
		"sep":            {"sep=;\r\nentity_id;location\r\nm-1;a,b\r\n", []string{"3: m-1|||a,b"}},
		"tabs":           {"user\tentity_id\nalice\tm-1\n", []string{"2: m-1|alice||"}},
		"several lines":  {"entity_id,label\nm-1,\"two\nlines\"\nm-2,x\n", []string{"2: m-1||two\nlines|", "4: m-2||x|"}},
		"Latin-1":        {"entity_id,location\nm-1,K\xfcche\n", []string{"2: m-1|||Küche"}},
		"empty rows":     {"entity_id,user,,\n,,,\nm-1,bob,,,,\n\n  \n", []string{"3: m-1|bob||"}},
		"short row":      {"entity_id,user\nm-1\n", []string{"2: m-1|||"}},
		"report":         {"line,entity_id\n7,m-1\n", []string{"2: m-1|||"}},
		"too many":       {"entity_id\nm-1,bob\nm-2\n", []string{`line 2: 2 fields, separated by ',', and the header has 1`, "3: m-2|||"}},
		"quote":          {"entity_id,user\nm-1,\"bob\nm-2,eve\n", []string{"line 2: a quotation mark is out of place, or one is missing", "3: m-2|eve||"}},
		"quote inside":   {"entity_id\nm\"1\nm-2\n", []string{"line 2: a quotation mark is out of place, or one is missing", "3: m-2|||"}},
		"after quote":    {"entity_id\n\"m\"1\nm-2\n", []string{"line 2: a quotation mark is out of place, or one is missing", "3: m-2|||"}},
		"long":           {"entity_id\n" + strings.Repeat("x", 3*MaxRow) + "\nm-2\n", []string{"line 2: longer than 4096 bytes", "3: m-2|||"}},
		"empty":          {"", []string{"line 1: the file is empty: want a header, then a row a line"}},
		"only a mark":    {"\ufeff", []string{"line 1: the file is empty: want a header, then a row a line"}},
		"no header":      {"m-1\nm-2\n", []string{`line 1: the header has a column "m-1": want entity_id, user, label, location`}},
		"unknown column": {"entity_id,usr\n", []string{`line 1: the header has a column "usr": want entity_id, user, label, location`}},
		"twice":          {"entity_id,entity_id\n", []string{"line 1: the header has two columns entity_id"}},
		"no entity":      {"user,label\n", []string{"line 1: the header has no column entity_id: the first line has to name the columns, entity_id, user, label, location"}},
		"UTF-16":         {"\xff\xfee\x00", []string{"line 1: the file is in UTF-16: save it as CSV in UTF-8"}},
		"xlsx":           {"PK\x03\x04...", []string{"line 1: the file is a spreadsheet: save it as CSV in UTF-8"}},
		"CR":             {"entity_id\rm-1\r", []string{"line 1: the lines end with CR alone: save the file with LF or CR LF"}},
		"zeros":          {"entity_id\nm\x00\n", []string{"2: m\x00|||"}},
	} {
		if got := read(tt.text); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, tt.want)
		}
	}
}

// What Row writes is read the same by the standard library, and by this package but
// for the apostrophe.
func TestRow(t *testing.T) {
	fields := []string{"m-1", `say "hi"`, "a,b;c\td", "two\r\nlines", "", "=1+1", "-x", "@y", "'quoted", "ü"}
	r := csv.NewReader(strings.NewReader(strings.ReplaceAll(Row(fields...), "\r\n", "\n")))
	got, err := r.Read()
	want := []string{"m-1", `say "hi"`, "a,b;c\td", "two\nlines", "", "'=1+1", "'-x", "'@y", "'quoted", "ü"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, n, err := split([]byte(Row(fields...)), ',', true); err != nil || n != len(Row(fields...)) || got[5] != "'=1+1" || Text(got[5]) != "=1+1" || Text(got[8]) != "'quoted" {
		t.Errorf("got %q, %d, %v", got, n, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"entity_id,user\nm-1,\"b\"\n", "\ufeffsep=;\r\nentity_id;user\r\n\"\"\"\";x\r\n", "entity_id\n\"\n\"\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := NewReader(strings.NewReader(text), columns)
		if err != nil {
			return
		}
		last := 0
		for rows := 0; ; rows++ {
			line, row, err := r.Next()
			if err == io.EOF {
				break
			}
			if line <= last || line > strings.Count(text, "\n")+1 || rows > len(text) || err == nil && len(row) != 4 {
				t.Fatalf("row %d in line %d after %d: %q, %v", rows, line, last, row, err)
			}
			last = line
		}
	})
}
