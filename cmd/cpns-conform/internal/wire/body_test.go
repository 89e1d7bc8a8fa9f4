package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// TestBodies: what is read and made here of CPNS-2 is what the vectors have.
func TestBodies(t *testing.T) {
	text, err := os.ReadFile("../../../../cpns/testdata/protocol.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			User, Password    string
			EntityID          string `json:"entity_id"`
			Identity          string `json:"psk1_identity"`
			Time              uint64
			PSK1, TK          string
			RandPNGW          string `json:"rand_pngw"`
			RandSVR           string `json:"rand_svr"`
			EUKeys            []string
			IV                struct{ Request, Response string }
			Request, Response string
			ResponseEpoch     uint64 `json:"response_epoch"`
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("no vectors found")
	}
	for _, c := range file.Cases {
		psk, identity, request, response := raw(t, c.PSK1), []byte(c.Identity), raw(t, c.Request), raw(t, c.Response)
		rand := raw(t, c.RandPNGW)
		auth := AuthData(HashPassword(c.User, []byte(c.Password)), rand, c.Time)
		plaintext := Array(Text(c.EntityID), Text(c.User), Bytes(rand), Uint(c.Time), Bytes(auth))
		made := SealBody(Key(psk, nil, InfoRequest), identity, raw(t, c.IV.Request), plaintext)
		if !bytes.Equal(made.Bytes(), request) {
			t.Errorf("%s: request\n got %x\nwant %x", c.EntityID, made.Bytes(), request)
		}
		read, canonical, err := ReadBody(response)
		if err != nil || !canonical {
			t.Fatalf("%s: response: canonical %v, %v", c.EntityID, canonical, err)
		}
		opened, ok := read.Open(Key(psk, Hash(request), InfoResponse), identity)
		if !ok {
			t.Fatalf("%s: the response does not open", c.EntityID)
		}
		item, rest, err := Decode(opened)
		if err != nil || len(rest) > 0 || !bytes.Equal(Encode(item), opened) {
			t.Fatalf("%s: %x is read as %v (%v)", c.EntityID, opened, item, err)
		}
		set := Set(raw(t, c.RandSVR), rand, len(c.EUKeys))
		var keys [][]byte
		for n, k := range set {
			if !bytes.Equal(k, raw(t, c.EUKeys[n])) {
				t.Errorf("%s: EUKey_%d is %x, want %s", c.EntityID, n+1, k, c.EUKeys[n])
			}
			keys = append(keys, Bytes(k))
		}
		if BrokenLink(set) != 0 {
			t.Errorf("%s: the chain is broken at %d", c.EntityID, BrokenLink(set))
		}
		set[1] = Hash(set[1])
		if got := BrokenLink(set); got != 1 {
			t.Errorf("%s: the broken link is %d, want 1", c.EntityID, got)
		}
		items := item.([]any)
		want := Array(Uint(0), Uint(items[1].(uint64)), Uint(c.ResponseEpoch), Bytes(raw(t, c.TK)), Array(keys...))
		if !bytes.Equal(opened, want) {
			t.Errorf("%s: response\n got %x\nwant %x", c.EntityID, opened, want)
		}
	}
}

// TestNotCanonical: a body that says the same in another way is read, and told apart.
func TestNotCanonical(t *testing.T) {
	b := SealBody(make([]byte, 32), []byte("gw"), make([]byte, 12), []byte("x"))
	identity, iv := [][]byte{Uint(4), Bytes(b.Identity)}, [][]byte{Uint(5), Bytes(b.IV)}
	for what, raw := range map[string][]byte{
		"order":       Array(Bytes(b.Protected), Map(iv[0], iv[1], identity[0], identity[1]), Bytes(b.Ciphertext)),
		"long number": Array(Bytes(b.Protected), Map(LongUint(4), identity[1], iv[0], iv[1]), Bytes(b.Ciphertext)),
		"open array":  OpenArray(Bytes(b.Protected), Map(identity[0], identity[1], iv[0], iv[1]), Bytes(b.Ciphertext)),
		"algorithm":   Array(Bytes(Map(Uint(1), Uint(1))), Map(identity[0], identity[1], iv[0], iv[1]), Bytes(b.Ciphertext)),
	} {
		got, canonical, err := ReadBody(raw)
		if err != nil || canonical || !bytes.Equal(got.Ciphertext, b.Ciphertext) || !bytes.Equal(got.IV, b.IV) {
			t.Errorf("%s: canonical %v, %v", what, canonical, err)
		}
	}
	for what, raw := range map[string][]byte{"trailing": append(b.Bytes(), 0), "cut": b.Bytes()[:20], "text": Text("x"), "nothing": nil} {
		if _, _, err := ReadBody(raw); err == nil {
			t.Errorf("%s: is read", what)
		}
	}
}
