package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cpns.example.net/pngw/board/uci"
)

// kinds are the kinds of section, as docs/openwrt.md calls them, each with a
// section of that kind that has what it must have. The last is where the options
// that are required stand.
var kinds = []struct{ name, head string }{
	{"gateway", "config gateway 'main'\n"},
	{"link, type serial", "config link a\n option type serial\n option device /dev/ttyS1\n"},
	{"link, type usb", "config link b\n option type usb\n"},
	{"link, type mqtt", "config link c\n option type mqtt\n option url mqtts://a\n"},
	{"application, type psk_file", "config application d\n"},
	{"application, type hook", "config application e\n option 'type' hook\n"},
	{"service", "config service 'service'\n"},
}

// option is a row of a table.
type option struct{ name, value string }

// documented are the tables of docs/openwrt.md, by the kind of section.
func documented(t *testing.T) map[string][]option {
	t.Helper()
	text, err := os.ReadFile("../../docs/openwrt.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]option{}
	kind := ""
	head := regexp.MustCompile("^\\| option of `(\\w+)`(?:, type `(\\w+)`)? \\| default \\| meaning \\|$")
	row := regexp.MustCompile("^\\| `(\\w+)` \\| (.*?) \\| ")
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if m := head.FindStringSubmatch(line); m != nil {
			if kind = m[1]; m[2] != "" {
				kind += ", type " + m[2]
			}
		} else if m := row.FindStringSubmatch(line); m != nil && kind != "" {
			tables[kind] = append(tables[kind], option{m[1], m[2]})
		} else if line == "" {
			kind = ""
		}
	}
	for _, k := range kinds {
		if kind, _, typed := strings.Cut(k.name, ","); typed {
			tables[k.name] = append(tables[k.name], tables[kind]...)
		}
	}
	return tables
}

// TestDocumented: docs/openwrt.md has every option that there is, and no other.
func TestDocumented(t *testing.T) {
	tables := documented(t)
	for i, k := range kinds {
		text := k.head + " option no_such_option 1\n"
		if i > 0 {
			text = kinds[0].head + text
		}
		_, err := Parse(strings.NewReader(text), "pngw")
		if err == nil {
			t.Fatalf("%s: no_such_option is taken", k.name)
		}
		_, list, ok := strings.Cut(err.Error(), "it takes ")
		if !ok {
			t.Fatalf("%s: %v", k.name, err)
		}
		var got []string
		for _, o := range tables[k.name] {
			got = append(got, o.name)
		}
		slices.Sort(got)
		if want := strings.Split(list, ", "); !slices.Equal(got, want) {
			t.Errorf("docs/openwrt.md has for %s\n%q, there are\n%q", k.name, got, want)
		}
	}
}

// literal is a default that is a value, and not a word about it.
var literal = regexp.MustCompile("^`([^`]+)`$")

// TestDocumentedDefaults: a configuration with every default written out is the
// one with none.
func TestDocumentedDefaults(t *testing.T) {
	var bare, whole strings.Builder
	tables := documented(t)
	for _, k := range kinds {
		bare.WriteString(k.head)
		whole.WriteString(k.head)
		for _, o := range tables[k.name] {
			required := strings.Contains(k.head, " option "+o.name+" ")
			if required != (o.value == "required") {
				t.Errorf("%s, option %s: required is %v", k.name, o.name, required)
			}
			if m := literal.FindStringSubmatch(o.value); m != nil {
				fmt.Fprintf(&whole, " option %s '%s'\n", o.name, m[1])
			}
		}
	}
	parse := func(text string) string {
		c, err := Parse(strings.NewReader(text), "pngw")
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		c.Digest = ""
		c.Gateway.section, c.Service.section = uci.Section{}, uci.Section{}
		for i := range c.Links {
			c.Links[i].section = uci.Section{}
		}
		for i := range c.Apps {
			c.Apps[i].section = uci.Section{}
		}
		return show(c)
	}
	if got, want := parse(whole.String()), parse(bare.String()); got != want {
		t.Errorf("with the documented defaults:\n%s\nwithout:\n%s", got, want)
	}
}

// TestPackaged: what stands in the package's configuration, also as a comment, is
// right once the empty options are filled in.
func TestPackaged(t *testing.T) {
	text, err := os.ReadFile("../../build/openwrt/files/pngw.config")
	if err != nil {
		t.Fatal(err)
	}
	s := strings.NewReplacer("\t#option ", "\toption ", "'CPNS1-...'", "''", "option id ''", "option id 'gw-0001'", "option server ''", "option server 'https://a'").Replace(string(text))
	c, err := Parse(strings.NewReader(s), "pngw.config")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Links) != 3 || c.Links[2].USBID == "" || c.Links[2].USBSerial == "" || c.Links[2].USBPort == "" {
		t.Errorf("links: %+v", c.Links)
	}
}
