package cpns

import (
	"errors"
	"strings"
	"testing"
)

// The numbers were computed by hand, apart from this code:
//
//	python3 -c 'c=0
//	for b in b"meter-0001": c=(c+b)*10%1021
//	a="0123456789ABCDEFGHJKMNPQRSTVWXYZ"; print(a[c//32]+a[c%32])'
func TestLabel(t *testing.T) {
	for entity, want := range map[EntityID]string{
		"meter-0001":     "CPNS:1:meter-0001:MN",
		"urn:dev:lamp-1": "CPNS:1:urn:dev:lamp-1:KB",
		"PNE/7+#%~:A":    "CPNS:1:PNE/7+#%~:A:9S",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": "CPNS:1:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx:V5",
		"~": "CPNS:1:~:7F",
	} {
		if got := Label(entity); got != want {
			t.Errorf("%s: got %s, want %s", entity, got, want)
		}
		for _, text := range []string{want, string(entity), " " + want + "\r\n", strings.Replace(want, "CPNS", "cpns", 1)} {
			if got, err := ParseDevice(text); got != entity || err != nil {
				t.Errorf("%q: got %q, %v, want %s", text, got, err, entity)
			}
		}
	}
}

// One wrong character and any two exchanged always show, and in an Entity ID of the
// greatest length too.
func TestLabelCheckShows(t *testing.T) {
	for _, id := range []string{"meter-0001", strings.Repeat("aZ09", 16)} {
		check := checkOf(id)
		for i := range id {
			for c := byte(0x21); c < 0x7f; c++ {
				if c != id[i] && checkOf(id[:i]+string(c)+id[i+1:]) == check {
					t.Fatalf("%s: %c as character %d does not show", id, c, i+1)
				}
			}
			for j := range i {
				b := []byte(id)
				if b[i], b[j] = b[j], b[i]; b[i] != b[j] && checkOf(string(b)) == check {
					t.Fatalf("%s: characters %d and %d exchanged do not show", id, j+1, i+1)
				}
			}
		}
	}
}

func TestMistypes(t *testing.T) {
	const entity = "Meter-0012"
	label := Label(entity)
	check := label[len(label)-2:]
	for typed, how := range map[string]string{
		"Meter-O012": "0 for O as character 7",
		"Meter-OO12": "the digit 0 for each letter O",
		"Meter-00l2": "1 for l as character 9",
		"meter-0012": "M for m as character 1",
		"Mteer-0012": "characters 2 and 3 exchanged",
		"Meter-0021": "characters 9 and 10 exchanged",
		"Meter_0012": "- for _ as character 6",
	} {
		_, err := ParseDevice("CPNS:1:" + typed + ":" + check)
		m := new(MistypedError)
		if !errors.As(err, &m) || len(m.Fits) == 0 || m.Fits[0] != (Mistype{entity, how}) || !strings.Contains(err.Error(), "is it Meter-0012 ("+how) {
			t.Errorf("%s: got %v, want %s", typed, err, how)
		}
	}
	if _, err := ParseDevice("CPNS:1:METER-0012:" + checkOf("meter-0012")); !strings.Contains(err.Error(), "all in small letters") {
		t.Errorf("all capitals: got %v", err)
	}
	// In the check itself the letters that it has not are taken for the digits.
	for e := EntityID("a"); ; e += "b" {
		if l := Label(e); strings.Contains(l[len(l)-2:], "0") {
			typed := l[:len(l)-2] + strings.ReplaceAll(l[len(l)-2:], "0", "o")
			if got, err := ParseDevice(typed); got != e || err != nil {
				t.Errorf("%s: got %q, %v", typed, got, err)
			}
			break
		}
	}
}

func TestNoLabel(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "empty",
		"CPNS:1:":                 "cut off",
		"CPNS:1:meter-0001":       "cut off",
		"CPNS:1:meter-0001:":      "cut off",
		"CPNS:1:urn:dev:lamp-1":   "cut off",
		"CPNS:1:me ter:00":        "byte 3 is 0x20",
		"CPNS:1::00":              "empty",
		"CPNS:2:meter-0001:00":    "another version",
		"cpns:":                   "cut off",
		"CPNS1-QNZW6-5DIMV":       "enrolment code",
		"MT:Y.K9042C00KA0648G00":  "Matter",
		"DPP:C:81/1;K:MDkw;;":     "Easy Connect",
		"https://example.net/d/1": "address of the web",
		"two words":               "byte 4 is 0x20",
		"CPNS:1:" + strings.Repeat("x", 65) + ":00": "65 bytes",
		"CPNS:1:meter-0001:00":                      "compare each character",
	} {
		if got, err := ParseDevice(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzParseDevice(f *testing.F) {
	f.Add("CPNS:1:meter-0001:00")
	f.Add(Label("urn:dev:lamp-1"))
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseDevice(text)
		if err != nil {
			return
		}
		if again, err := ParseDevice(Label(e)); again != e || err != nil {
			t.Errorf("%q: the label of %q gives %q, %v", text, e, again, err)
		}
	})
}
