package uci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// show writes sections in one plain form, to compare with.
func show(sections []Section) string {
	var b strings.Builder
	for _, s := range sections {
		fmt.Fprintf(&b, "%d %s", s.Line, s.Type)
		if s.Name != "" {
			fmt.Fprintf(&b, " %s", s.Name)
		}
		b.WriteString("\n")
		for _, o := range s.Options {
			kind := "option"
			if o.List {
				kind = "list"
			}
			fmt.Fprintf(&b, "%d %s %s %q\n", o.Line, kind, o.Name, o.Values)
		}
	}
	return b.String()
}

// The files are written as OpenWrt writes its own.
func TestParseFiles(t *testing.T) {
	tests := []struct{ file, want string }{
		{"network", `2 interface loopback
3 option device ["lo"]
4 option proto ["static"]
5 option ipaddr ["127.0.0.1"]
6 option netmask ["255.0.0.0"]
8 globals globals
9 option ula_prefix ["fd27:70fa:5c1d::/48"]
11 device
12 option name ["br-lan"]
13 option type ["bridge"]
14 list ports ["eth0.1" "eth0.2"]
17 interface lan
18 option device ["br-lan"]
19 option proto ["static"]
20 option ipaddr ["192.168.1.1"]
21 option netmask ["255.255.255.0"]
22 option ip6assign ["60"]
24 switch_vlan
25 option device ["switch0"]
26 option vlan ["1"]
27 option ports ["2 3 4 5 0t"]
`},
		{"wireless", `2 wifi-device radio0
3 option type ["mac80211"]
4 option path ["pci0000:00/0000:00:00.0"]
5 option channel ["36"]
6 option band ["5g"]
7 option disabled ["0"]
9 wifi-iface default_radio0
10 option device ["radio0"]
11 option network ["lan"]
12 option mode ["ap"]
13 option ssid ["The cat's \"home\" #1"]
14 option key ["back\\slash; and \"quotes\""]
`},
		{"dhcp", `1 dnsmasq
2 option domainneeded ["1"]
3 option local ["/lan/"]
4 list server ["/mycompany.local/1.2.3.4" "9.9.9.9"]
6 list interface ["lan"]
8 dhcp lan
9 option interface ["lan"]
10 option start ["100"]
11 option leasetime ["12h"]
12 list dhcp_option ["6,192.168.1.1"]
14 host
15 option name ["caf\\u00e9"]
16 option mac ["00:11:22:33:44:55"]
17 option ip ["192.168.1.50"]
`},
		{"pngw", `1 gateway main
2 option id ["gw-0001"]
3 option server ["https://cpns.example.net:8443"]
4 option ca ["/etc/pngw/ca.pem"]
5 option psk_file ["/etc/pngw/psk1"]
6 option store ["/etc/pngw/keys"]
7 option root_key ["/etc/pngw/root.key"]
8 option socket ["/var/run/pngw.sock"]
10 link rs232
11 option type ["serial"]
12 option device ["/dev/ttyUSB0"]
13 option baud ["115200"]
15 link broker
16 option type ["mqtt"]
17 option url ["mqtt://127.0.0.1:1883"]
18 option prefix ["cpns"]
`},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			f, err := os.Open(filepath.Join("testdata", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			sections, err := Parse(f, tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(sections); got != tt.want {
				t.Errorf("got:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty file", "", ""},
		{"only comments", "# one\n  # two\n\n\t\n#", ""},
		{"no final newline", "config a b", "1 a b\n"},
		{"CRLF", "config a 'b'\r\n\toption c 'd'\r\n\r\n", "1 a b\n2 option c [\"d\"]\n"},
		{"empty name is no name", "config a ''", "1 a\n"},
		{"odd type", "config a-b.c!", "1 a-b.c!\n"},
		{"empty value", "config a\noption b ''", "1 a\n2 option b [\"\"]\n"},
		{"glued pieces", `config a` + "\n" + `option b x'y '"z w"\ v`, "1 a\n2 option b [\"xy z w v\"]\n"},
		{"apostrophe", "config a\noption b 'it'\\''s'", "1 a\n2 option b [\"it's\"]\n"},
		{"no escapes in single quotes", `config a` + "\n" + `option b 'a\nb\'`, "1 a\n2 option b [\"a\\\\nb\\\\\"]\n"},
		{"escapes mean the character", `config a` + "\n" + `option b "\a\n\"\\\'"`, "1 a\n2 option b [\"an\\\"\\\\'\"]\n"},
		{"quoted specials", "config a\noption b '#;'\noption c \"#;\"\noption d \\#\\;", "1 a\n2 option b [\"#;\"]\n3 option c [\"#;\"]\n4 option d [\"#;\"]\n"},
		{"comment after a value", "config a # x\noption b c # 'y", "1 a\n2 option b [\"c\"]\n"},
		{"quoted words", `config 'a' "b"` + "\n" + `option "c" d`, "1 a b\n2 option c [\"d\"]\n"},
		{"UTF-8", "config a\noption b 'Küche'", "1 a\n2 option b [\"Küche\"]\n"},
		{"a tab in a value", "config a\noption b 'x\ty'", "1 a\n2 option b [\"x\\ty\"]\n"},
		{"list of one", "config a\nlist b c", "1 a\n2 list b [\"c\"]\n"},
		{"one option name in two sections", "config a\noption b 1\nconfig a\noption b 2", "1 a\n2 option b [\"1\"]\n3 a\n4 option b [\"2\"]\n"},
		{"longest line", "config a\noption b " + strings.Repeat("x", MaxLine-9), "1 a\n2 option b [\"" + strings.Repeat("x", MaxLine-9) + "\"]\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sections, err := Parse(strings.NewReader(tt.text), "f")
			if err != nil {
				t.Fatal(err)
			}
			if got := show(sections); got != tt.want {
				t.Errorf("got:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"word", "konfig a", "f:1: the line begins with none of config, option and list"},
		{"one-letter command", "c a", "f:1: the line begins with none of config, option and list"},
		{"quoted command", "'config' a", "f:1: the line begins with none of config, option and list"},
		{"escaped command", "con\\fig a", "f:1: the line begins with none of config, option and list"},
		{"package", "package pngw", "f:1: a package line"},
		{"no type", "\nconfig", "f:2: config without a section type"},
		{"empty type", "config ''", `f:1: section type ""`},
		{"type with a space", "config 'a b'", `f:1: section type "a b"`},
		{"name with a hyphen", "config link rs-232", `f:1: section name "rs-232": want letters, digits and _`},
		{"text after the name", "config a b c", `f:1: text after the section name: "c"`},
		{"two sections of a name", "config a x\n\nconfig b x", `f:3: a second section named "x", the first is in line 1`},
		{"option first", "option a b", "f:1: option before the first config line"},
		{"list first", "list a b", "f:1: list before the first config line"},
		{"option without a name", "config a\noption", "f:2: option without a name"},
		{"option without a value", "config a\noption b", "f:2: option b without a value"},
		{"option commented out half", "config a\noption b # c", "f:2: option b without a value"},
		{"bad option name", "config a\noption b-c d", `f:2: option name "b-c"`},
		{"empty option name", "config a\noption '' d", `f:2: option name ""`},
		{"value without quotes", "config a\noption b c d", `f:2: text after the value of b: "d"`},
		{"option twice", "config a\noption b c\noption b c", "f:3: option b is given twice, first in line 2"},
		{"option and list", "config a\noption b c\nlist b c", "f:3: b is given as option and as list, first in line 2"},
		{"list and option", "config a\nlist b c\noption b c", "f:3: b is given as option and as list, first in line 2"},
		{"open single quote", "config a\noption b 'c\noption d 'e'", "f:2: a ' is not closed"},
		{"open double quote", "config a\noption b \"c\\\"\noption d 'e'", "f:2: a \" is not closed"},
		{"backslash before the quote's end", "config a\noption b \"c\\", "f:2: a \" is not closed"},
		{"line goes on", "config a\noption b c\\\nd", "f:2: a \\ at the end of the line"},
		{"two commands in a line", "config a; option b c", "f:1: a ; inside a word"},
		{"command after a semicolon", "config a\noption b c ;option d e", "f:2: a ; inside a word"},
		{"comment glued to a value", "config a\noption url http://x/#y", "f:2: a # inside a word"},
		{"comment glued to a quote", "config a\noption b 'c'#d", "f:2: a # inside a word"},
		{"NUL", "config a\noption b 'c\x00d'", "f:2: control character"},
		{"escape sequence", "config a\noption b '\x1b[31m'", "f:2: control character"},
		{"carriage return inside", "config a\noption b 'c\rd'", "f:2: control character"},
		{"not UTF-8", "config a\noption b '\xff'", "f:2: not UTF-8"},
		{"long line", "config a\n#" + strings.Repeat("x", MaxLine), "f:2: line longer than 4096 bytes"},
		{"long file", strings.Repeat("#\n", MaxFile/2) + "#", "f: longer than 65536 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sections, err := Parse(strings.NewReader(tt.text), "f")
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v %v, want %s", sections, err, tt.want)
			}
		})
	}
}

func TestParseReadError(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Parse(iotest.ErrReader(broken), "f"); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// What is accepted says the same when it is written in the plainest quoting and read again.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/[a-z]*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(string(text))
		}
	}
	f.Add("config a 'b'\noption c \"d\\\"\"\\ e'f'\nlist g ''\nlist g h # i\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		sections, err := Parse(strings.NewReader(text), "f")
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Fatalf("error %q: want one printable line", err)
			}
			return
		}
		written := write(sections)
		again, err := Parse(strings.NewReader(written), "f")
		// Quoting makes a text longer, at worst past the limits.
		if err != nil && !strings.Contains(err.Error(), "longer than") {
			t.Fatalf("written anew as\n%s\n%v", written, err)
		}
		if err == nil && write(again) != written {
			t.Fatalf("got:\n%s\nwant:\n%s", write(again), written)
		}
	})
}

// write gives sections the text that uci(1) would.
func write(sections []Section) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	var b strings.Builder
	for _, s := range sections {
		fmt.Fprintf(&b, "config %s %s\n", quote(s.Type), quote(s.Name))
		for _, o := range s.Options {
			for _, v := range o.Values {
				command := "option"
				if o.List {
					command = "list"
				}
				fmt.Fprintf(&b, "\t%s %s %s\n", command, quote(o.Name), quote(v))
			}
		}
	}
	return b.String()
}
