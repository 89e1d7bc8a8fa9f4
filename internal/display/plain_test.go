package display

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

var hostile = []struct{ name, text, want string }{
	{"plain", "urn:dev:lamp-1", "urn:dev:lamp-1"},
	{"letters of others", "größe 测试", "größe 测试"},
	{"colour", "\x1b[31mred", `\x1b[31mred`},
	{"new line", "a\nb\r\tc", `a\x0ab\x0d\x09c`},
	{"delete", "a\x7fb", `a\x7fb`},
	{"C1 control", "a\u009b31m", `a\u{9b}31m`},
	{"writing direction", "a\u202eb", `a\u{202e}b`},
	{"no UTF-8", "a\x9b\xffb", `a\x9b\xffb`},
	{"replacement character", "a\uFFFDb", "a\uFFFDb"},
	{"private use", "a\U000F0000b", `a\u{f0000}b`},
}

func TestPlain(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			if got := Plain(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestJSONIsPlain(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := JSON(&b, map[string]string{"note": tt.text}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if line = strings.TrimSuffix(line, "\n"); Plain(line) != line {
					t.Errorf("%q acts on a terminal", line)
				}
			}
			var back map[string]string
			if err := json.Unmarshal(b.Bytes(), &back); err != nil {
				t.Fatal(err)
			}
			want := strings.ToValidUTF8(tt.text, "\uFFFD")
			if got := strings.ReplaceAll(back["note"], "\uFFFD\uFFFD", "\uFFFD"); got != want {
				t.Errorf("it reads back as %q, want %q", got, want)
			}
		})
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, [][]string{{"NAME", "STATE"}, {"a\tb", ""}, {"c", "up"}}); err != nil {
		t.Fatal(err)
	}
	want := "NAME    STATE\na\\x09b  -\nc       up\n"
	if got := b.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
