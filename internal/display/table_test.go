package display

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTableFits(t *testing.T) {
	names := []string{"ENTITY ID", "USER", "STATE", "KEY", "LINK", "LAST SEEN", "NOTE"}
	short := []string{"urn:dev:lamp-1", "alice", "delivered", "3 of 64", "rs232", "2026-03-01 09:28Z", ""}
	note := strings.Repeat("it proved an older key than before, ", 5)
	long := []string{strings.Repeat("e", 64), strings.Repeat("u", 64), "alarm", "1000 of 1024", strings.Repeat("l", 32), "2026-03-01 09:28Z", note}
	tests := []struct {
		name string
		rows [][]string
		want string // the beginning
	}{
		{"all on a line", [][]string{names[:6], short[:6]}, "ENTITY ID       USER   STATE      KEY      LINK   LAST SEEN\nurn:dev:lamp-1  alice  delivered  3 of 64  rs232  2026-03-01 09:28Z\n"},
		{"a note", [][]string{names, append(short[:6:6], note)}, "ENTITY ID       USER   STATE      KEY      LINK   LAST SEEN\nurn:dev:lamp-1  alice  delivered  3 of 64  rs232  2026-03-01 09:28Z\n  it proved an older key"},
		{"the longest", [][]string{names, short, long}, "urn:dev:lamp-1\n  user alice, state delivered, key 3 of 64, link rs232, last seen 2026-03-01\n  09:28Z\n" + long[0] + "\n  user uuu"},
		{"no rows", [][]string{names}, "ENTITY ID  USER  STATE  KEY  LINK  LAST SEEN  NOTE\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := Table(&b, tt.rows); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(b.String(), tt.want) {
				t.Errorf("got\n%s\nwant\n%s", b.String(), tt.want)
			}
			for line := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > Width {
					t.Errorf("%d characters: %s", n, line)
				}
			}
		})
	}
}

func TestSheetFits(t *testing.T) {
	var b strings.Builder
	if err := Sheet(&b, [][2]string{{"Name", "pngw"}, {"Nothing", ""}, {"Link rs232", strings.Repeat("absent ", 20)}}); err != nil {
		t.Fatal(err)
	}
	want := "Name        pngw\nLink rs232  absent absent absent absent absent absent absent absent absent\n            absent"
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
