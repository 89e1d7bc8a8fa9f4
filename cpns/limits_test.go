package cpns

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	fxcbor "github.com/fxamacker/cbor/v2"
)

func TestNames(t *testing.T) {
	every := make([]byte, 0, 0x7e-0x21+1)
	for b := byte(0x21); b <= 0x7e; b++ {
		every = append(every, b)
	}
	parsers := []struct {
		name  string
		limit int
		parse func(s string) (string, error)
	}{
		{"entity ID", 64, func(s string) (string, error) { id, err := ParseEntityID(s); return string(id), err }},
		{"CPNS user ID", 64, func(s string) (string, error) { id, err := ParseUserID(s); return string(id), err }},
		{"gateway ID", 64, func(s string) (string, error) { id, err := ParseGatewayID(s); return string(id), err }},
		{"PSK1 identity", 128, func(s string) (string, error) { id, err := ParsePSKIdentity(s); return string(id), err }},
	}
	for _, p := range parsers {
		for _, good := range []string{"a", string(every[:64]), string(every[len(every)-64:]), strings.Repeat("~", p.limit)} {
			if got, err := p.parse(good); got != good || err != nil {
				t.Errorf("%s %q: got %q, %v", p.name, good, got, err)
			}
		}
		for _, bad := range []string{"", " ", "a b", "a\n", "\x7f", "\x00", "é", "\xff", strings.Repeat("~", p.limit+1)} {
			got, err := p.parse(bad)
			if got != "" || err == nil || !strings.HasPrefix(err.Error(), p.name+": ") {
				t.Errorf("%s %q: got %q, %v, want an error that names the %s", p.name, bad, got, err, p.name)
			}
		}
	}
}

func TestKeySizes(t *testing.T) {
	for size := range 80 {
		b := bytes.Repeat([]byte{1}, size)
		want := size >= 16 && size <= 64
		tk, err := ParseTK(b)
		if (err == nil) != want {
			t.Errorf("a TK of %d bytes: got error %v", size, err)
		}
		psk, err := ParsePSK1(b)
		if (err == nil) != want {
			t.Errorf("a PSK1 of %d bytes: got error %v", size, err)
		}
		if want {
			b[0] = 2
			if tk[0] != 1 || psk[0] != 1 {
				t.Fatal("a key shares memory with what it was parsed from")
			}
		}
	}
}

// TestMarshalRefuses: what ParseMessage would refuse is not sent.
func TestMarshalRefuses(t *testing.T) {
	algs := []int64{AlgChaCha20Poly1305}
	sealed := sealEncrypt0(&[32]byte{}, [IVSize]byte{}, nil, nil)
	mac := createMAC0(&[32]byte{}, nil)
	tests := []struct {
		name string
		m    Message
	}{
		{"identify: name", &Identify{Entity: "a b"}},
		{"hello: no name", &Hello{Algs: algs, mac: mac}},
		{"hello: no algorithm", &Hello{Entity: "e", mac: mac}},
		{"hello: epoch only", &Hello{Entity: "e", Epoch: 1, Algs: algs, mac: mac}},
		{"hello: index only", &Hello{Entity: "e", Index: 1, Algs: algs, mac: mac}},
		{"hello: index", &Hello{Entity: "e", Epoch: 1, Index: 1025, Algs: algs, mac: mac}},
		{"hello: nine algorithms", &Hello{Entity: "e", Algs: make([]int64, 9), mac: mac}},
		{"hello: no tag", &Hello{Entity: "e", Algs: algs}},
		{"notification: not sealed", &Notification{Entity: "e", Gateway: "g", Epoch: 1, Index: 1}},
		{"notification: no gateway", &Notification{Entity: "e", Epoch: 1, Index: 1, sealed: sealed}},
		{"notification: epoch", &Notification{Entity: "e", Gateway: "g", Index: 1, sealed: sealed}},
		{"acknowledgement: success without proof", NewFailedAcknowledgement(AckSuccess, "e", 1, 1)},
		{"acknowledgement: failure with proof", &Acknowledgement{Entity: "e", Status: AckStale, Epoch: 1, Index: 1, mac: &mac}},
		{"acknowledgement: status", NewFailedAcknowledgement(5, "e", 1, 1)},
		{"acknowledgement: index", NewAcknowledgement(&EUKey{}, AckContext{}, "e", "g", 1, 0)},
		{"auth-challenge: no gateway", &AuthChallenge{Entity: "e"}},
		{"auth-response: no MAC", &AuthResponse{Entity: "e", Epoch: 1, Index: 1}},
		{"auth-response: epoch", &AuthResponse{Entity: "e", Index: 1, mac: mac}},
		{"eukey-update: not sealed", &EUKeyUpdate{Entity: "e", Epoch: 1, Index: 1}},
		{"eukey-update: no name", &EUKeyUpdate{Epoch: 1, Index: 1, sealed: sealed}},
	}
	for _, test := range tests {
		if b, err := test.m.Marshal(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %x, %v, want ErrMalformed", test.name, b, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	tk, psk := make(TK, 16), make(PSK1, 32)
	nonce, key, iv := &[NonceSize]byte{}, &EUKey{}, [IVSize]byte{}
	notification := func(tk TK, e EntityID, g GatewayID, epoch Epoch, index Index) error {
		_, err := SealNotification(tk, &Hello{Entity: e, Algs: []int64{AlgChaCha20Poly1305}, mac: createMAC0(&[32]byte{}, nil)}, nil, g, epoch, index, key, iv)
		return err
	}
	algs := []int64{AlgChaCha20Poly1305}
	hello := func(tk TK, m Hello) error {
		_, err := NewHello(tk, m)
		return err
	}
	update := func(tk TK, e EntityID, g GatewayID, epoch Epoch, index Index) error {
		_, err := SealEUKeyUpdate(tk, key, g, nonce, nonce, e, epoch, index, nil, iv)
		return err
	}
	request := func(psk PSK1, id PSKIdentity, r EUKeyAssignmentRequest) error {
		_, err := SealRequest(psk, id, iv, &r)
		return err
	}
	response := func(psk PSK1, id PSKIdentity, r EUKeyAssignmentResponse) error {
		_, err := SealResponse(psk, id, nil, iv, &r)
		return err
	}
	tests := []struct {
		name string
		err  error
	}{
		{"hello: TK", hello(tk[:15], Hello{Entity: "e", Algs: algs})},
		{"hello: entity", hello(tk, Hello{Algs: algs})},
		{"hello: no algorithm", hello(tk, Hello{Entity: "e"})},
		{"notification: TK", notification(tk[:15], "e", "g", 1, 1)},
		{"notification: entity", notification(tk, "", "g", 1, 1)},
		{"notification: gateway", notification(tk, "e", "", 1, 1)},
		{"notification: epoch", notification(tk, "e", "g", 0, 1)},
		{"notification: index", notification(tk, "e", "g", 1, 1025)},
		{"update: TK", update(nil, "e", "g", 1, 1)},
		{"update: entity", update(tk, "", "g", 1, 1)},
		{"update: gateway", update(tk, "e", "", 1, 1)},
		{"update: epoch", update(tk, "e", "g", 0, 1)},
		{"update: index", update(tk, "e", "g", 1, 0)},
		{"request: PSK1", request(psk[:8], "id", EUKeyAssignmentRequest{EntityID: "e", UserID: "u"})},
		{"request: identity", request(psk, "", EUKeyAssignmentRequest{EntityID: "e", UserID: "u"})},
		{"request: entity", request(psk, "id", EUKeyAssignmentRequest{UserID: "u"})},
		{"request: user", request(psk, "id", EUKeyAssignmentRequest{EntityID: "e"})},
		{"response: PSK1", response(nil, "id", EUKeyAssignmentResponse{Status: UserLocked})},
		{"response: identity", response(psk, "", EUKeyAssignmentResponse{Status: UserLocked})},
		{"response: status", response(psk, "id", EUKeyAssignmentResponse{Status: 7})},
		{"response: epoch", response(psk, "id", EUKeyAssignmentResponse{TK: tk, EUKeys: chain(2)})},
		{"response: TK", response(psk, "id", EUKeyAssignmentResponse{Epoch: 1, EUKeys: chain(2)})},
		{"response: EUKeys", response(psk, "id", EUKeyAssignmentResponse{Epoch: 1, TK: tk, EUKeys: chain(1)})},
		{"response: failure with epoch", response(psk, "id", EUKeyAssignmentResponse{Status: UserLocked, Epoch: 1})},
	}
	for _, test := range tests {
		if test.err == nil {
			t.Errorf("%s: it was sealed", test.name)
		}
	}
}

// TestSealedEUKeySizes: who holds the TK may still seal what is no EUKey.
func TestSealedEUKeySizes(t *testing.T) {
	tk, held, nonce, hello := make(TK, 16), &EUKey{}, &[NonceSize]byte{}, [32]byte{}
	for _, size := range []int{0, 1, 16, 31, 32, 33, 64} {
		plaintext := make([]byte, size)

		n := &Notification{Entity: "e", Gateway: "g", Epoch: 1, Index: 1}
		n.sealed = sealEncrypt0(n.key(tk, nil, &hello), [IVSize]byte{}, n.externalAAD(), plaintext)
		_, err := n.Open(tk, &hello, nil)
		if size == EUKeySize && err != nil || size != EUKeySize && !errors.Is(err, ErrMalformed) {
			t.Errorf("notification of an EUKey of %d bytes: got error %v", size, err)
		}

		u := &EUKeyUpdate{Entity: "e", Epoch: 1, Index: 1}
		u.sealed = sealEncrypt0(u.key(tk, held, nonce, nonce), [IVSize]byte{}, u.externalAAD("g", nonce, nonce), plaintext)
		next, err := u.Open(tk, held, "g", nonce, nonce)
		switch size {
		case 0, EUKeySize:
			if err != nil || (next == nil) != (size == 0) {
				t.Errorf("eukey-update with %d bytes: got %v, %v", size, next, err)
			}
		default:
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("eukey-update with %d bytes: got error %v, want ErrMalformed", size, err)
			}
		}
	}
}

// maxPNERead is the most that a PNE has to read, in bytes (section 4).
const maxPNERead = 247

// TestExtremes: the largest values that the protocol allows pass, and the size
// limits hold to the byte.
func TestExtremes(t *testing.T) {
	long := EntityID(strings.Repeat("e", 64))
	key := &EUKey{}
	tk, algs := make(TK, MaxTKSize), slices.Repeat([]int64{math.MinInt64}, maxAlgs-1)
	pair := NewX25519Pair([X25519Size]byte{1})
	public := pair.Public()
	hello, err := NewHello(tk, Hello{
		Entity: long, Epoch: math.MaxUint32, Index: MaxSetLength, Algs: append(algs, AlgChaCha20Poly1305), X25519: &public,
	})
	if err != nil {
		t.Fatal(err)
	}
	notification, err := SealNotification(tk, hello, pair, GatewayID(long), math.MaxUint32, MaxSetLength, key, [IVSize]byte{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []Message{notification, hello} {
		b, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		sameMessage(t, b, m)
	}
	// What a PNE has to read is never longer than this message.
	if b, _ := notification.Marshal(); len(b) != maxPNERead {
		t.Errorf("the longest notification has %d bytes, want %d", len(b), maxPNERead)
	}
	tooLong := append(arrayOfAll(0, 1, nil), make([]byte, MaxLinkMessage)...)
	if _, err := ParseMessage(tooLong); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "at most 512") {
		t.Errorf("a message of %d bytes: got error %v, want ErrMalformed for its length", len(tooLong), err)
	}

	psk := make(PSK1, MaxPSK1Size)
	id := PSKIdentity(strings.Repeat("i", 128))
	want := &EUKeyAssignmentResponse{ServerTime: math.MaxUint64, Epoch: math.MaxUint32, TK: make(TK, MaxTKSize), EUKeys: chain(MaxSetLength)}
	body, err := SealResponse(psk, id, nil, [IVSize]byte{}, want)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > MaxResponseBody {
		t.Errorf("the largest response has %d bytes, at most %d", len(body), MaxResponseBody)
	}
	if _, err := OpenResponse(psk, id, nil, body); err != nil {
		t.Error(err)
	}

	for _, size := range []int{MaxRequestBody, MaxRequestBody + 1} {
		empty := len(sealBody(&[32]byte{}, id, [IVSize]byte{}, make([]byte, 3000))) - 3000
		body := sealBody(&[32]byte{}, id, [IVSize]byte{}, make([]byte, size-empty))
		if len(body) != size {
			t.Fatalf("the body has %d bytes, want %d", len(body), size)
		}
		if _, err := ParseRequest(body); (err == nil) != (size == MaxRequestBody) {
			t.Errorf("a request body of %d bytes: got error %v", size, err)
		}
	}
}

// TestBeyondRanges: numbers that fit no field of ours, which no vector has.
func TestBeyondRanges(t *testing.T) {
	nonce := [NonceSize]byte{}
	mac := createMAC0(&[32]byte{}, nil)
	rawMAC := fxcbor.RawMessage(encode(&mac))
	hello := func(version, nonce, epoch, index, algs any) []byte {
		return arrayOfAll(1, version, "e", nonce, epoch, index, algs, rawMAC)
	}
	if _, err := ParseMessage(hello(1, nonce, 0, 0, []int{24})); err != nil {
		t.Fatalf("the hello that the others differ from: %v", err)
	}
	tests := []struct {
		name string
		b    []byte
	}{
		{"epoch 2^32", hello(1, nonce, uint64(1)<<32, 1, []int{24})},
		{"index 2^16", hello(1, nonce, 1, 1<<16, []int{24})},
		{"version 257", hello(257, nonce, 0, 0, []int{24})},
		{"status 256", arrayOfAll(3, "e", 256, 1, 1, nil)},
		{"algorithm 2^63", hello(1, nonce, 0, 0, []uint64{1 << 63})},
		{"nonce as an array of numbers", hello(1, make([]int, NonceSize), 0, 0, []int{24})},
		{"algorithms as bytes", hello(1, nonce, 0, 0, []byte{24})},
		{"epoch true", hello(1, nonce, true, 1, []int{24})},
		{"epoch null", hello(1, nonce, nil, 0, []int{24})},
		{"nested too deep", hello(1, nonce, 0, 0, []any{[]any{[]any{[]any{24}}}})},
		{"only a type", []byte{0x81, 0x00}},
		{"only an array", []byte{0x80}},
	}
	for _, test := range tests {
		if m, err := ParseMessage(test.b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v, want ErrMalformed", test.name, m, err)
		}
	}
}

func TestNamesOfNumbers(t *testing.T) {
	for i := range MessageType(7) {
		if strings.HasPrefix(i.String(), "message type") {
			t.Errorf("message type %d has no name", uint8(i))
		}
	}
	for i := range AckNotStored + 1 {
		if strings.HasPrefix(i.String(), "acknowledgement status") {
			t.Errorf("acknowledgement status %d has no name", uint8(i))
		}
	}
	for i := range RandomReused + 1 {
		if strings.HasPrefix(i.String(), "assignment status") {
			t.Errorf("assignment status %d has no name", uint8(i))
		}
	}
	if got, want := AssignmentStatus(7).String(), "assignment status 7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
