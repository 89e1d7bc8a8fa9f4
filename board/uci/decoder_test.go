package uci

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func parseOne(t *testing.T, text string) Section {
	t.Helper()
	sections, err := Parse(strings.NewReader(text), "pngw")
	if err != nil || len(sections) != 1 {
		t.Fatalf("got %v, %v; want one section", sections, err)
	}
	return sections[0]
}

func TestDecoder(t *testing.T) {
	d := NewDecoder(parseOne(t, `config gateway 'main'
	option id 'gw-0001'
	option ca ''
	option baud '9600'
	option enabled 'off'
	option reauth '24h'
	option pause '0'
`))
	if got := d.Required("id"); got != "gw-0001" {
		t.Errorf("id: got %q", got)
	}
	if got := d.String("ca", "/etc/ca.pem"); got != "/etc/ca.pem" {
		t.Errorf("an empty option: got %q, want the default", got)
	}
	if got := d.String("absent", "x"); got != "x" {
		t.Errorf("absent: got %q, want the default", got)
	}
	if got := d.Int("baud", 115200, 300, 4_000_000); got != 9600 {
		t.Errorf("baud: got %d", got)
	}
	if got := d.Int("absent", 7, 1, 9); got != 7 {
		t.Errorf("absent number: got %d", got)
	}
	if d.Bool("enabled", true) || !d.Bool("absent", true) {
		t.Error("truth of enabled or absent")
	}
	if got := d.Duration("reauth", 0); got != 24*time.Hour {
		t.Errorf("reauth: got %v", got)
	}
	if got := d.Duration("pause", time.Hour); got != 0 {
		t.Errorf("pause: got %v", got)
	}
	if err := d.Err(); err != nil {
		t.Error(err)
	}
}

func TestDecoderBool(t *testing.T) {
	for want, spellings := range map[bool]string{true: "1 on true yes enabled", false: "0 off false no disabled"} {
		for spelling := range strings.FieldsSeq(spellings) {
			d := NewDecoder(parseOne(t, "config a\noption b "+spelling))
			if got := d.Bool("b", !want); got != want || d.Err() != nil {
				t.Errorf("%s: got %v %v, want %v", spelling, got, d.Err(), want)
			}
		}
	}
}

// Everything that is wrong is reported at once, in the order of the lines.
func TestDecoderErrors(t *testing.T) {
	s := parseOne(t, `config gateway 'main'
	option sever 'https://x'
	option baud 'fast'
	option enabled 'maybe'
	option reauth '-1h'
	list ca 'a'
	option url 'ftp://x'
	option retries '11'
`)
	d := NewDecoder(s)
	d.Required("id")
	d.String("server", "")
	baud := d.Int("baud", 115200, 300, 4_000_000)
	enabled := d.Bool("enabled", true)
	reauth := d.Duration("reauth", time.Hour)
	d.String("ca", "")
	d.String("url", "")
	d.Errorf("url", "%q: want mqtt:// or mqtts://", "ftp://x")
	d.Int("retries", 5, 0, 10)
	if baud != 115200 || !enabled || reauth != time.Hour {
		t.Errorf("got %v %v %v, want the defaults", baud, enabled, reauth)
	}
	err := d.Err()
	want := `pngw:1: section gateway 'main' needs an option id
pngw:2: section gateway 'main' has no option "sever": it takes baud, ca, enabled, id, reauth, retries, server, url
pngw:3: option baud: "fast": want a number from 300 to 4000000
pngw:4: option enabled: "maybe": want 1 or 0
pngw:5: option reauth: "-1h": want a time such as 90s, 15m or 24h
pngw:6: option ca: is a list here: want one value, written as option ca
pngw:7: option url: "ftp://x": want mqtt:// or mqtts://
pngw:8: option retries: "11": want a number from 0 to 10`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Line != 1 {
		t.Errorf("got %v, want a *SyntaxError of line 1", syntax)
	}
}

func TestSectionErrorf(t *testing.T) {
	s := parseOne(t, "\nconfig gate")
	if got, want := s.Errorf("unknown section type %q", s.Type).Error(), `pngw:2: unknown section type "gate"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
