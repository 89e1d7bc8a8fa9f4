package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

const app = "../../build/openwrt/luci-app-pngw"

// verbs are what LuCI puts values in place of.
var verbs = regexp.MustCompile(`%[a-z]`)

// TestLMO: the bytes are those that LuCI's own po2lmo made of this catalogue.
func TestLMO(t *testing.T) {
	const po = `
# by hand
msgid ""
msgstr ""
"Language: de\n"
"Plural-Forms: nplurals=2; plural=n != 1;\n"

#: a.js:1
msgid "Up"
msgstr "Steht"

msgid "Link"
msgstr "Link"

msgid "Say \"hello\"\nhere \\"
msgstr ""
"Sag \"hallo\"\n"
"hier \\"

msgid "An Entity ID (CPNS:1:…)"
msgstr "Eine Entity ID (CPNS:1:…)ß"

msgid "Later"
msgstr ""
`
	want := "6e706c7572616c733d323b20706c7572616c3d6e20213d20313b00005374656874000000536167202268616c6c6f225c6e68696572205c0045696e6520456e74697479204944202843504e533a313ae280a629c39f0000000000000000000000000000000000001a3860e577000000010000001c000000055597367a00000001000000380000001ddf17941a00000001000000240000001300000058"
	messages, err := parsePO(po)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(encodeLMO(messages)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParsePO(t *testing.T) {
	for _, bad := range []string{"msgstr \"a\"\n", "msgid \"a\n", "msgctxt \"a\"\n", "\"a\"\n", "msgid a\n"} {
		if m, err := parsePO(bad); err == nil {
			t.Errorf("%q: %v", bad, m)
		}
	}
}

// TestTranslations: the template is of the sources as they are, and each language has
// all of it and nothing else.
func TestTranslations(t *testing.T) {
	found, err := scan(app)
	if err != nil {
		t.Fatal(err)
	}
	want := template(found)
	text, err := os.ReadFile(app + "/po/templates/pngw.pot")
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Error("po/templates/pngw.pot is old: go run ./scripts/luci pot build/openwrt/luci-app-pngw")
	}
	ids := func(text string) (ids []string) {
		messages, err := parsePO(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.id != "" {
				ids = append(ids, m.id)
			}
		}
		return ids
	}
	files, err := filepath.Glob(app + "/po/*/pngw.po")
	if err != nil || len(files) == 0 {
		t.Fatalf("no translations: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		have := ids(string(text))
		for _, id := range ids(want) {
			if !slices.Contains(have, id) {
				t.Errorf("%s lacks %q", file, id)
			}
		}
		if len(have) != len(ids(want)) {
			t.Errorf("%s has %d texts, and there are %d: what is nowhere said any more?", file, len(have), len(ids(want)))
		}
		messages, err := parsePO(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.text == "" {
				t.Errorf("%s: %q is not translated", file, m.id)
			}
			if a, b := verbs.FindAllString(m.id, -1), verbs.FindAllString(m.text, -1); m.id != "" && !slices.Equal(a, b) {
				t.Errorf("%s: %q has %v, its translation %v", file, m.id, a, b)
			}
		}
	}
}

// TestSettings: the settings have every option that the agent's configuration has, as
// package agent/config lists them.
func TestSettings(t *testing.T) {
	list, err := os.ReadFile("../../agent/config/config.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(app + "/htdocs/luci-static/resources/view/pngw/settings.js")
	if err != nil {
		t.Fatal(err)
	}
	options := regexp.MustCompile(`(?m)^//\t\toption (\w+) `).FindAllStringSubmatch(string(list), -1)
	if len(options) < 50 {
		t.Fatalf("%d options: are they listed elsewhere now?", len(options))
	}
	for _, o := range options {
		if !regexp.MustCompile(`'` + o[1] + `', _\(`).Match(page) {
			t.Errorf("the settings have no option %s", o[1])
		}
	}
}

// TestScan: what is not one literal is refused, and not passed over.
func TestScan(t *testing.T) {
	got, err := scanScript("x = _('It\\'s \"up\"') + _('b\\\\');\ndom_(1)\n", "a.js")
	if want := []place{{`It's "up"`, "a.js:1"}, {`b\`, "a.js:1"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"_(name)", "_('a' + b)", "_(\"a\")", "_(`a`)"} {
		if got, err := scanScript(bad, "a.js"); err == nil {
			t.Errorf("%s: %v", bad, got)
		}
	}
}
