package cpns

import (
	"errors"
	"testing"
)

// TestBodiesRefused: bodies that are well formed CBOR but not the COSE_Encrypt0
// of the protocol.
func TestBodiesRefused(t *testing.T) {
	header := map[int]any{4: []byte("gw-1"), 5: [IVSize]byte{}}
	ciphertext := make([]byte, 16)
	if _, err := ParseRequest(arrayOfAll(protectedEncrypt0, header, ciphertext)); err != nil {
		t.Fatalf("the body that the others differ from: %v", err)
	}
	tests := []struct {
		name string
		body []byte
	}{
		{"algorithm 1 (A128GCM)", arrayOfAll([]byte{0xa1, 0x01, 0x01}, header, ciphertext)},
		{"a second protected parameter", arrayOfAll([]byte{0xa2, 0x01, 0x18, 0x18, 0x03, 0x00}, header, ciphertext)},
		{"no protected header", arrayOfAll([]byte{}, header, ciphertext)},
		{"protected header as a map", arrayOfAll(map[int]int{1: 24}, header, ciphertext)},
		{"no PSK1 identity", arrayOfAll(protectedEncrypt0, map[int]any{5: [IVSize]byte{}}, ciphertext)},
		{"no IV", arrayOfAll(protectedEncrypt0, map[int]any{4: []byte("gw-1")}, ciphertext)},
		{"IV of 13 bytes", arrayOfAll(protectedEncrypt0, map[int]any{4: []byte("gw-1"), 5: [13]byte{}}, ciphertext)},
		{"a third unprotected parameter", arrayOfAll(protectedEncrypt0, map[int]any{4: []byte("gw-1"), 5: [IVSize]byte{}, 6: 0}, ciphertext)},
		{"ciphertext shorter than a tag", arrayOfAll(protectedEncrypt0, header, ciphertext[:15])},
		{"ciphertext null", arrayOfAll(protectedEncrypt0, header, nil)},
		{"ciphertext as text", arrayOfAll(protectedEncrypt0, header, "0123456789abcdef")},
	}
	for _, test := range tests {
		if _, err := ParseRequest(test.body); !errors.Is(err, ErrMalformed) {
			t.Errorf("request: %s: got error %v, want ErrMalformed", test.name, err)
		}
		if _, err := OpenResponse(make(PSK1, 32), "gw-1", nil, test.body); !errors.Is(err, ErrMalformed) {
			t.Errorf("response: %s: got error %v, want ErrMalformed", test.name, err)
		}
	}
}
