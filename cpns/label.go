package cpns

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A device's label has its Entity ID as text and as a QR code of the same text:
//
//	label = "CPNS:1:" entity-id ":" check
//	check = two of "0123456789ABCDEFGHJKMNPQRSTVWXYZ", c/32 and c mod 32, where
//	c     = the sum of byte[i] * 10^(n-i) modulo 1021, i from 0 to n-1, of the n bytes of entity-id
//
// 1021 is a prime above every difference of two bytes, and no power of 10 up to the
// 1019th is 1 modulo it: one wrong character, and any two exchanged, always show. Of
// all else one text in 1021 passes. Nothing secret is on a label.
const (
	labelPrefix   = "CPNS:1:"
	labelModulus  = 1021
	labelRadix    = 10
	labelAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // no I, L, O, U
	labelCheck    = 2                                  // characters
)

// Label is what stands on the label of a device.
func Label(e EntityID) string { return labelPrefix + string(e) + ":" + checkOf(string(e)) }

func checkOf(id string) string {
	c := 0
	for i := range len(id) {
		c = (c + int(id[i])) * labelRadix % labelModulus
	}
	return string([]byte{labelAlphabet[c/32], labelAlphabet[c%32]})
}

// ParseDevice takes a device as a person names it: the text of its label, or its
// Entity ID as it is. What a label says is checked, the error names the commonest
// mistypes; so are codes that are printed elsewhere and are no device's.
func ParseDevice(text string) (EntityID, error) {
	text = strings.TrimSpace(text)
	head := strings.ToUpper(text[:min(len(text), len(labelPrefix))])
	switch {
	case head == labelPrefix:
		return parseLabel(text[len(labelPrefix):])
	case strings.HasPrefix(head, "CPNS:"):
		return "", errors.New(`a label begins with "CPNS:1:", and this one is of another version or cut off`)
	case strings.HasPrefix(head, codePrefix+"-"):
		return "", errors.New("this is an enrolment code, which makes a gateway known to its server (pngw enrol), and no device's label")
	}
	for _, other := range otherLabels {
		if strings.HasPrefix(head, other.head) {
			return "", fmt.Errorf("this is %s, not a label of CPNS, which begins with %q", other.is, labelPrefix)
		}
	}
	return ParseEntityID(text)
}

// otherLabels are codes that are printed on devices, beside a label or in place of one.
// An Entity ID that begins so can be given by its label.
var otherLabels = []struct{ head, is string }{
	{"HTTP:/", "an address of the web"}, {"HTTPS:/", "an address of the web"},
	{"MT:", "a code of Matter"}, {"DPP:", "a code of Wi-Fi Easy Connect"}, {"WIFI:", "a Wi-Fi's code"},
	{"LW:", "a code of LoRaWAN"}, {"Z:", "an install code of Zigbee"},
}

// parseLabel takes what stands behind the prefix.
func parseLabel(text string) (EntityID, error) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 || len(text)-at-1 != labelCheck {
		return "", fmt.Errorf(`a label ends with ":" and %d characters of check, and this one does not: is it cut off?`, labelCheck)
	}
	e, err := ParseEntityID(text[:at])
	if err != nil {
		return "", fmt.Errorf("label: %w", err)
	}
	// As people read them off: these letters are not in the alphabet.
	check := strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text[at+1:]))
	if check == checkOf(string(e)) {
		return e, nil
	}
	return "", &MistypedError{Typed: e, Fits: fitting(string(e), check)}
}

// A MistypedError is that a label's check does not fit its Entity ID.
type MistypedError struct {
	Typed EntityID
	Fits  []Mistype // of the commonest mistypes those that would make it fit, at most three
}

// A Mistype is what may have been meant, and how it came to what was typed.
type Mistype struct {
	Meant EntityID
	How   string
}

func (e *MistypedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the label of %s is mistyped: its last two characters do not fit the rest", e.Typed)
	for i, m := range e.Fits {
		joint := "; is it "
		if i > 0 {
			joint = ", or "
		}
		fmt.Fprintf(&b, "%s%s (%s)", joint, m.Meant, m.How)
	}
	if len(e.Fits) > 0 {
		b.WriteString("? Compare it with the label")
	} else {
		b.WriteString("; compare each character with the label")
	}
	return b.String()
}

// lookAlikes are characters that are taken for one another.
var lookAlikes = []string{"O0oQD", "I1lL|i", "B8", "S5", "Z2", "G6", "UV", "-_"}

// fitting tries the commonest mistypes.
func fitting(typed, check string) (fits []Mistype) {
	try := func(meant, how string) {
		known := func(m Mistype) bool { return string(m.Meant) == meant }
		if meant != typed && len(fits) < 3 && checkOf(meant) == check && !slices.ContainsFunc(fits, known) {
			fits = append(fits, Mistype{EntityID(meant), how})
		}
	}
	try(strings.ToLower(typed), "all in small letters")
	try(strings.ToUpper(typed), "all in capital letters")
	put := func(i int, c byte) string { return typed[:i] + string(c) + typed[i+1:] }
	for i := range len(typed) {
		c := typed[i]
		for _, alike := range lookAlikes {
			if strings.IndexByte(alike, c) < 0 {
				continue
			}
			for j := range len(alike) {
				try(put(i, alike[j]), fmt.Sprintf("%c for %c as character %d", alike[j], c, i+1))
			}
		}
		if other := c ^ 0x20; 'a' <= c|0x20 && c|0x20 <= 'z' {
			try(put(i, other), fmt.Sprintf("%c for %c as character %d", other, c, i+1))
		}
		if i > 0 {
			try(typed[:i-1]+string([]byte{c, typed[i-1]})+typed[i+1:], fmt.Sprintf("characters %d and %d exchanged", i, i+1))
		}
	}
	try(strings.ReplaceAll(typed, "O", "0"), "the digit 0 for each letter O")
	try(strings.ReplaceAll(typed, "0", "O"), "the letter O for each digit 0")
	return fits
}
