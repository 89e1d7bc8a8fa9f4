package cpns

import (
	"encoding/hex"
	"testing"
)

// TestPNERandom has its numbers from Python's hmac.
func TestPNERandom(t *testing.T) {
	tk := make(TK, 16)
	for i := range tk {
		tk[i] = byte(i)
	}
	for counter, want := range map[uint64]string{
		0:         "3b744d1a75231e6bc82f76e469b2ee17",
		1:         "b0bce60e9233257557982751fe59d7a8",
		1 << 32:   "e58cb1698190d940f0cdec7d16316a6e",
		1<<64 - 1: "d2c2c0866ea57da356e5db22dbca259e",
	} {
		if got := PNERandom(tk, counter); hex.EncodeToString(got[:]) != want {
			t.Errorf("counter %d: %x, want %s", counter, got, want)
		}
	}
}
