package cpns

import (
	"errors"
	"slices"
	"testing"
)

// A decoder never panics, and what it accepts re-encodes to the same bytes. The
// seeds are the vectors, the good ones and the refused.

// stranger holds keys that nothing in the vectors was sealed with.
var stranger = &vector{TK: make(hexBytes, 16), PSK1: make(hexBytes, 32), EUKeys: make([]hex32, 1)}

func seedMessages(f *testing.F) {
	for _, file := range vectorFiles(f, "protocol*.json") {
		for _, v := range loadVectors(f, file) {
			for _, message := range v.messages() {
				f.Add([]byte(message))
			}
		}
	}
}

func seedRefused(f *testing.F, belongs func(kind string) bool) {
	for _, file := range vectorFiles(f, "refused*.json") {
		for _, r := range loadCases[refused](f, file) {
			if belongs(r.Kind) {
				f.Add([]byte(r.Hex))
			}
		}
	}
}

func seedBodies(f *testing.F) {
	for _, file := range vectorFiles(f, "protocol*.json") {
		for _, v := range loadVectors(f, file) {
			f.Add([]byte(v.Request))
			f.Add([]byte(v.RequestWithHello))
			f.Add([]byte(v.Response))
			f.Add([]byte(v.ResponseFailedTime))
		}
	}
	seedRefused(f, isBody)
}

func isBody(kind string) bool    { return kind == "request" || kind == "response" }
func isMessage(kind string) bool { return !isBody(kind) }

func FuzzParseMessage(f *testing.F) {
	seedMessages(f)
	seedRefused(f, isMessage)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("refused with %v, want ErrMalformed", err)
			}
			return
		}
		again, err := m.Marshal()
		if err != nil {
			t.Fatalf("accepted, but does not marshal: %v", err)
		}
		equal(t, m.MessageType().String(), again, b)
		if err := openMessage(m, stranger, false); err == nil {
			t.Fatalf("%x opens under keys that nothing was sealed with", b)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	seedBodies(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		sealed, err := ParseRequest(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("refused with %v, want ErrMalformed", err)
			}
			return
		}
		equal(t, "request", encode(sealed.body), b)
		if _, err := sealed.Open(PSK1(stranger.PSK1)); !errors.Is(err, ErrNotAuthentic) {
			t.Fatalf("opened under a key that nothing was sealed with: got error %v, want ErrNotAuthentic", err)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	seedBodies(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		sealed, err := parseBody(b, MaxResponseBody)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("refused with %v, want ErrMalformed", err)
			}
			return
		}
		equal(t, "response", encode(sealed), b)
		if _, err := OpenResponse(PSK1(stranger.PSK1), sealed.identity(), nil, b); !errors.Is(err, ErrNotAuthentic) {
			t.Fatalf("opened under a key that nothing was sealed with: got error %v, want ErrNotAuthentic", err)
		}
	})
}

// FuzzOpenRequest is a gateway that holds a PSK1 and sends what it likes.
func FuzzOpenRequest(f *testing.F) {
	for _, v := range loadVectors(f, "testdata/protocol.json") {
		for _, request := range []hexBytes{v.Request, v.RequestWithHello} {
			sealed, err := ParseRequest(request)
			if err != nil {
				f.Fatal(err)
			}
			plaintext, err := sealed.body.open(requestKey(PSK1(v.PSK1)))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(plaintext)
		}
	}
	psk, id, iv := make(PSK1, 32), PSKIdentity("gw-1"), [IVSize]byte{}
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		if len(plaintext) > MaxRequestBody-100 {
			return // the body is refused for its size
		}
		body := sealBody(requestKey(psk), id, iv, slices.Clone(plaintext))
		sealed, err := ParseRequest(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := sealed.Open(psk)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("refused with %v, want ErrMalformed", err)
			}
			return
		}
		again, err := SealRequest(psk, id, iv, r)
		if err != nil {
			t.Fatalf("accepted, but does not seal: %v", err)
		}
		equal(t, "request", again, body)
	})
}

// FuzzOpenResponse is a server that holds a PSK1 and sends what it likes.
func FuzzOpenResponse(f *testing.F) {
	for _, v := range loadVectors(f, "testdata/protocol.json") {
		for _, response := range []hexBytes{v.Response, v.ResponseFailedTime} {
			sealed, err := parseBody(response, MaxResponseBody)
			if err != nil {
				f.Fatal(err)
			}
			plaintext, err := sealed.open(responseKey(PSK1(v.PSK1), v.Request))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(plaintext)
		}
	}
	psk, id, iv, request := make(PSK1, 32), PSKIdentity("gw-1"), [IVSize]byte{}, []byte("request")
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		body := sealBody(responseKey(psk, request), id, iv, slices.Clone(plaintext))
		r, err := OpenResponse(psk, id, request, body)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("refused with %v, want ErrMalformed", err)
			}
			return
		}
		again, err := SealResponse(psk, id, request, iv, r)
		if err != nil {
			t.Fatalf("accepted, but does not seal: %v", err)
		}
		equal(t, "response", again, body)
	})
}
