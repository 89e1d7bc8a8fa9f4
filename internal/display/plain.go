// Package display makes what programs show: text that does nothing to a
// terminal, JSON, and lists that fit its width.
package display

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Plain makes text fit for a terminal: what could move its cursor, colour it
// or turn its writing direction is shown as an escape. Much of what is shown
// was written by devices, brokers and servers.
func Plain(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	return b.String()
}

// JSON writes v indented, and like Plain nothing that acts on a terminal:
// encoding/json escapes the control characters below 0x20 only.
func JSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeJSON(w, text)
}

// JSONLine is JSON on one line.
func JSONLine(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeJSON(w, text)
}

func writeJSON(w io.Writer, text []byte) error {
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case strconv.IsPrint(r), r == '\n':
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default: // outside a string there is no such character
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}
