package wire

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

func raw(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors: by hand come the same bytes as in the vectors.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("../../../../cpns/testdata/protocol.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			E         string `json:"entity_id"`
			G         string `json:"gateway_id"`
			TK        string
			EUKeys    []string
			Epoch     uint64
			Nonce     string
			RandGW    string `json:"rand_gw"`
			RandPNE   string `json:"rand_pne"`
			IV        struct{ Notification, Update, Stay string }
			Identify  string
			Any       string `json:"identify_any"`
			Hello     string
			HelloHash string   `json:"hello_hash"`
			Notif     string   `json:"notification"`
			Ack       string   `json:"acknowledgement"`
			AckFailed []string `json:"acknowledgement_failed"`
			Challenge string   `json:"auth_challenge"`
			Response  string   `json:"auth_response"`
			Update    string   `json:"eukey_update"`
			UpdateAck string   `json:"update_acknowledgement"`
			X25519    struct {
				GatewayPrivate string `json:"gateway_private"`
				PNEPrivate     string `json:"pne_private"`
				Hello          string
				Notif          string `json:"notification"`
				Ack            string `json:"acknowledgement"`
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("no vectors found")
	}
	for _, c := range file.Cases {
		same := func(what string, got []byte, want string) {
			t.Helper()
			if !bytes.Equal(got, raw(t, want)) || want == "" {
				t.Errorf("%s: %s\n got %x\nwant %s", c.E, what, got, want)
			}
		}
		tk, key1, key2 := raw(t, c.TK), raw(t, c.EUKeys[0]), raw(t, c.EUKeys[1])
		randGW, randPNE := raw(t, c.RandGW), raw(t, c.RandPNE)
		randoms := append(bytes.Clone(randGW), randPNE...)
		same("identify", Identify(c.E), c.Identify)
		same("identify_any", Identify(""), c.Any)

		hello := decodedHello(t, raw(t, c.Hello))
		same("hello", hello.Bytes(tk), c.Hello)
		hash := Hash(raw(t, c.Hello))
		same("hello_hash", hash, c.HelloHash)
		n := Notification{E: c.E, G: c.G, Epoch: c.Epoch, Index: 1, IV: ivOf(t, raw(t, c.Notif), 5)}
		n.Seal(tk, nil, hash, key1)
		same("notification", n.Bytes(), c.Notif)
		same("acknowledgement", Acknowledgement(key1, hash, c.E, c.G, c.Epoch, 1, TypeNotification), c.Ack)
		for i, failed := range c.AckFailed {
			same("acknowledgement_failed", Refusal(c.E, uint64(i+1), c.Epoch, 1), failed)
		}
		same("auth_challenge", AuthChallenge(c.E, c.G, randGW), c.Challenge)
		same("auth_response", AuthResponse(key1, c.E, c.G, randGW, randPNE, c.Epoch, 1), c.Response)
		u := EUKeyUpdate{E: c.E, Epoch: c.Epoch, Index: 2, IV: ivOf(t, raw(t, c.Update), 4)}
		u.Seal(tk, key1, c.G, randGW, randPNE, key2)
		same("eukey_update", u.Bytes(), c.Update)
		same("update_acknowledgement", Acknowledgement(key2, randoms, c.E, c.G, c.Epoch, 2, TypeEUKeyUpdate), c.UpdateAck)

		chain := Chain(raw(t, c.EUKeys[len(c.EUKeys)-1]), len(c.EUKeys))
		for i := range chain {
			same("eukeys", chain[i], c.EUKeys[i])
		}

		// The shared secret is the standard library's.
		private, err := ecdh.X25519().NewPrivateKey(raw(t, c.X25519.GatewayPrivate))
		if err != nil {
			t.Fatal(err)
		}
		xHello := decodedHello(t, raw(t, c.X25519.Hello))
		same("x25519 hello", xHello.Bytes(tk), c.X25519.Hello)
		public, err := ecdh.X25519().NewPublicKey(xHello.X25519)
		if err != nil {
			t.Fatal(err)
		}
		z, err := private.ECDH(public)
		if err != nil {
			t.Fatal(err)
		}
		xHash := Hash(raw(t, c.X25519.Hello))
		n = Notification{E: c.E, G: c.G, Epoch: c.Epoch, Index: 1, IV: ivOf(t, raw(t, c.X25519.Notif), 5), X25519: private.PublicKey().Bytes()}
		n.Seal(tk, z, xHash, key1)
		same("x25519 notification", n.Bytes(), c.X25519.Notif)
		same("x25519 acknowledgement", Acknowledgement(key1, xHash, c.E, c.G, c.Epoch, 1, TypeNotification), c.X25519.Ack)
	}
}

// decodedHello is what a hello says.
func decodedHello(t *testing.T, msg []byte) Hello {
	t.Helper()
	h, ok := Read(msg)
	if !ok {
		t.Fatalf("%x is not read", msg)
	}
	return Hello{E: h.E, Nonce: h.Nonce, Epoch: h.Epoch, Index: h.Index, Algs: h.Algs, X25519: h.X25519}
}

// ivOf is the IV in a message's COSE_Encrypt0, which is the i-th element.
func ivOf(t *testing.T, msg []byte, i int) []byte {
	t.Helper()
	item, rest, err := Decode(msg)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%x: %v, %d bytes more", msg, err, len(rest))
	}
	return item.([]any)[i].([]any)[1].(MapItem)[1].([]byte)
}

// Also what is not in its only right form is read; nothing is read out of thin air.
func TestRead(t *testing.T) {
	nonce := make([]byte, 16)
	mac := MAC0(make([]byte, 32))
	good := [][]byte{Uint(TypeAuthResponse), Text("e"), Bytes(nonce), Uint(300), Uint(70000), mac}
	for _, tt := range []struct {
		name string
		msg  []byte
		want bool
	}{
		{"good", Array(good...), true},
		{"indefinite", OpenArray(good...), true},
		{"long head", append(LongHead(majorArray, 6), Array(good...)[1:]...), true},
		{"long number", Array(LongUint(TypeAuthResponse), good[1], good[2], LongUint(300), good[4], mac), true},
		{"trailing", append(Array(good...), 0), true},
		{"short", Array(good...)[:40], false},
		{"a byte string for a text", Array(good[0], Bytes([]byte("e")), good[2], good[3], good[4], mac), false},
		{"no array", Uint(5), false},
		{"no type", Array(), false},
		{"another type", Array(Uint(9)), false},
		{"empty", nil, false},
		{"deep", bytes.Repeat([]byte{0x81}, 500), false},
		{"open for ever", bytes.Repeat([]byte{0x9f}, 500), false},
		{"long", []byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		{"long string", []byte{0x81, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, false},
	} {
		h, ok := Read(tt.msg)
		if ok != tt.want || ok && (h.Epoch != 300 || h.Index != 70000 || h.E != "e") {
			t.Errorf("%s: %v, %+v", tt.name, ok, h)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(Identify("meter-1"))
	f.Add((&Hello{E: "meter-1", Nonce: make([]byte, 16), Algs: []int64{24, -7}}).Bytes(make([]byte, 16)))
	f.Add(Refusal("meter-1", 1, 2, 3))
	f.Fuzz(func(t *testing.T, msg []byte) { Read(msg) })
}

func TestFrames(t *testing.T) {
	text, err := os.ReadFile("../../../../transport/testdata/protocol-framing.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Framing []struct{ Message, Frame string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Framing) == 0 {
		t.Fatal("no vectors found")
	}
	for _, c := range file.Framing {
		if got := Frame(raw(t, c.Message)); !bytes.Equal(got, raw(t, c.Frame)) {
			t.Errorf("%s:\n got %x\nwant %s", c.Message, got, c.Frame)
		}
	}
}
