package server

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"cpns.example.net/pngw/cpns"
)

// Whatever is in the body: nothing panics, and what is taken is bounded and harmless.
func FuzzEnrolment(f *testing.F) {
	f.Add([]byte(`{"gateway_id":"gw-1","proof":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","model":"Box","serial":"S 1","macs":["02:00:00:00:00:01"]}`))
	f.Add([]byte(`{"gateway_id":null,"proof":null,"model":"\u0000\u001b\ud800","serial":"` + strings.Repeat("é", 100) + `","macs":["x",""]}`))
	f.Add([]byte(`{"GATEWAY_ID":"a b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseEnrolment(body)
		if err != nil {
			if p, ok := err.(*problem); !ok || p.status != 400 {
				t.Errorf("got error %v", err)
			}
			return
		}
		if got.id != "" {
			if _, err := cpns.ParseGatewayID(string(got.id)); err != nil {
				t.Error(err)
			}
		}
		if got.proof != nil && len(got.proof) != 32 || len(got.macs) > maxMACs {
			t.Errorf("got %+v", got)
		}
		for _, text := range append(got.macs, got.model, got.serial) {
			if utf8.RuneCountInString(text) > maxHint || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || hint(text) != text {
				t.Errorf("got the hint %q", text)
			}
		}
	})
}
