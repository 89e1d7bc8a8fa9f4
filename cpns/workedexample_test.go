package cpns

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// TestWorkedExample: the bytes in docs/protocol.md, section 7, are those of the
// first vector, message by message.
func TestWorkedExample(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(page), "\n## 7. ")
	if !ok {
		t.Fatal("the page has no section 7")
	}
	bytes := hexOf(example)
	v := loadVectors(t, "testdata/protocol.json")[0]
	messages := v.messages()
	messages = messages[:len(messages)-len(v.AcknowledgementFailed)+1] // of the failures the page shows one
	want := append(messages, v.Request, v.HelloHash[:], v.SessionKey[:], v.StaySessionKey[:],
		v.PasswordHash[:], v.RandPNGW[:], v.RandSVR[:], v.Seed[:], v.PSK1, v.TK, v.X25519.SharedSecret[:])
	for _, m := range want {
		if s := hex.EncodeToString(m); !strings.Contains(bytes, s) {
			t.Errorf("the page does not show %s", s)
		}
	}
}

// hexOf joins what the lines of a page's code blocks show: each line's first
// word that is hexadecimal, behind at most one name.
func hexOf(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "    ") {
			continue
		}
		for _, word := range strings.Fields(line)[:min(3, len(strings.Fields(line)))] {
			if _, err := hex.DecodeString(word); err == nil && len(word) > 3 {
				b.WriteString(word)
				break
			}
		}
	}
	return b.String()
}
