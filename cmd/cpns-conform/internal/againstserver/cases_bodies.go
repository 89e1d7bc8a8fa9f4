package againstserver

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// bodies are requests that are none, each with one fault.
var bodies = []testCase{
	malformed("body-cut", "a body that ends early is malformed", func(b wire.Body) map[string][]byte {
		whole := b.Bytes()
		return map[string][]byte{
			"no byte": {}, "one byte": whole[:1], "half": whole[:len(whole)/2], "all but one byte": whole[:len(whole)-1],
		}
	}),
	malformed("body-trailing", "bytes behind the end make a body malformed", func(b wire.Body) map[string][]byte {
		return map[string][]byte{"one byte more": append(b.Bytes(), 0xf6), "twice": slices.Concat(b.Bytes(), b.Bytes())}
	}),
	malformed("body-indefinite", "an indefinite length makes a body malformed", func(b wire.Body) map[string][]byte {
		parts := b.Bytes()[1:]
		head := wire.Map(wire.Uint(4), wire.Bytes(b.Identity), wire.Uint(5), wire.Bytes(b.IV))
		openMap := append(append([]byte{0xbf}, head[1:]...), 0xff)
		return map[string][]byte{
			"the array":      append(append([]byte{0x9f}, parts...), 0xff),
			"the header map": wire.Array(wire.Bytes(b.Protected), openMap, wire.Bytes(b.Ciphertext)),
			"the ciphertext": wire.Array(wire.Bytes(b.Protected), head, slices.Concat([]byte{0x5f}, wire.Bytes(b.Ciphertext), []byte{0xff})),
		}
	}),
	malformed("body-long-form", "a length or a number in more bytes than it takes makes a body malformed", func(b wire.Body) map[string][]byte {
		whole := b.Bytes()
		head := wire.Map(wire.Uint(4), wire.Bytes(b.Identity), wire.Uint(5), wire.Bytes(b.IV))
		long := slices.Concat([]byte{0x59, 0, byte(len(b.Protected))}, b.Protected)
		return map[string][]byte{
			"the array's length":  append([]byte{0x98, 3}, whole[1:]...),
			"the header's length": wire.Array(long, head, wire.Bytes(b.Ciphertext)),
			"a header's label":    wire.Array(wire.Bytes(b.Protected), wire.Map([]byte{0x18, 4}, wire.Bytes(b.Identity), wire.Uint(5), wire.Bytes(b.IV)), wire.Bytes(b.Ciphertext)),
		}
	}),
	malformed("body-map-order", "a header map with its labels in another order, or one twice, makes a body malformed", func(b wire.Body) map[string][]byte {
		identity, iv := [][]byte{wire.Uint(4), wire.Bytes(b.Identity)}, [][]byte{wire.Uint(5), wire.Bytes(b.IV)}
		with := func(pairs ...[]byte) []byte {
			return wire.Array(wire.Bytes(b.Protected), wire.Map(pairs...), wire.Bytes(b.Ciphertext))
		}
		return map[string][]byte{
			"IV first":       with(slices.Concat(iv, identity)...),
			"identity twice": with(slices.Concat(identity, identity, iv)...),
		}
	}),
	malformed("body-tagged", "a tag makes a body malformed", func(b wire.Body) map[string][]byte {
		return map[string][]byte{"tag 16, COSE_Encrypt0": wire.Tagged(16, b.Bytes())}
	}),
	malformed("body-headers", "other headers than {1: 24} and {4: identity, 5: IV} make a body malformed", func(b wire.Body) map[string][]byte {
		with := func(protected []byte, pairs ...[]byte) []byte {
			return wire.Array(wire.Bytes(protected), wire.Map(pairs...), wire.Bytes(b.Ciphertext))
		}
		identity, iv := wire.Bytes(b.Identity), wire.Bytes(b.IV)
		return map[string][]byte{
			"another algorithm":      with(wire.Map(wire.Uint(1), wire.Uint(1)), wire.Uint(4), identity, wire.Uint(5), iv),
			"one protected too many": with(wire.Map(wire.Uint(1), wire.Uint(24), wire.Uint(3), wire.Uint(0)), wire.Uint(4), identity, wire.Uint(5), iv),
			"one too many":           with(b.Protected, wire.Uint(4), identity, wire.Uint(5), iv, wire.Uint(6), iv),
			"no identity":            with(b.Protected, wire.Uint(5), iv),
		}
	}),
	malformed("body-sizes", "an IV that has not 12 bytes, an identity that has not 1 to 128 of printable ASCII, or a ciphertext shorter than its tag makes a body malformed", func(b wire.Body) map[string][]byte {
		with := func(change func(*wire.Body)) []byte {
			changed := b
			change(&changed)
			return changed.Bytes()
		}
		return map[string][]byte{
			"an IV of 11":            with(func(b *wire.Body) { b.IV = b.IV[:11] }),
			"an IV of 13":            with(func(b *wire.Body) { b.IV = append(slices.Clone(b.IV), 0) }),
			"an empty identity":      with(func(b *wire.Body) { b.Identity = nil }),
			"an identity of 129":     with(func(b *wire.Body) { b.Identity = bytes.Repeat([]byte{'x'}, 129) }),
			"a space in it":          with(func(b *wire.Body) { b.Identity = append(slices.Clone(b.Identity), ' ') }),
			"a ciphertext of 15":     with(func(b *wire.Body) { b.Ciphertext = b.Ciphertext[:15] }),
			"an empty one":           with(func(b *wire.Body) { b.Ciphertext = nil }),
			"an identity with a NUL": with(func(b *wire.Body) { b.Identity = append(slices.Clone(b.Identity), 0) }),
		}
	}),
	{Name: "sealed-malformed", Clause: "3, HTTP 400", Says: "what is sealed under PSK1 and is no EUKey Assignment Request gets HTTP 400", Run: sealedNonsense},
	{Name: "hello-foreign", Clause: "3, HTTP 400", Says: "a pne-hello that is no hello of this PNE gets HTTP 400",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p, r := s.gateway(t), s.request()
			for what, hello := range map[string][]byte{
				"a hello of another PNE": s.hello(t, stranger("pne")),
				"an identify":            wire.Array(wire.Uint(0), wire.Uint(1), wire.Text(s.Entity)),
				"half a hello":           s.hello(t, s.Entity)[:40],
				"an empty string":        {},
			} {
				r.hello = hello
				s.wantHTTP(ctx, t, 400, what, s.seal(p, r))
			}
		}},
	{Name: "hello-taken", Clause: "3, pne-hello", Says: "a request may carry a hello of the PNE, with an X25519 key or without",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			for _, h := range []wire.Hello{
				{E: s.Entity, Nonce: random(16), Algs: []int64{24}},
				{E: s.Entity, Nonce: random(16), Epoch: 1<<32 - 1, Index: 1024, Algs: []int64{-1 << 62, 24, 24}, X25519: random(32)},
			} {
				if len(s.TK) == 0 {
					t.NotApplicable("needs --tk-file")
				}
				r := s.request()
				r.hello = h.Bytes(s.TK)
				s.want(ctx, t, statusSuccess, r)
			}
		}},
	{Name: "sender-unknown", Clause: "3, HTTP 401", Says: "an identity that the server does not know gets HTTP 401",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			nobody := &PSK1{stranger("gateway"), s.gateway(t).Key}
			s.wantHTTP(ctx, t, 401, "unknown identity", s.seal(nobody, s.request()))
		}},
	{Name: "sender-tampered", Clause: "3, HTTP 401", Says: "a body of which one bit was changed gets HTTP 401",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			body := s.gateway(t).body(wire.Array(s.fieldsOfRequest()...))
			for _, at := range []int{0, len(body.Ciphertext) / 2, len(body.Ciphertext) - 1} {
				changed := body
				changed.Ciphertext = slices.Clone(body.Ciphertext)
				changed.Ciphertext[at] ^= 1
				s.wantHTTP(ctx, t, 401, fmt.Sprintf("byte %d of the ciphertext changed", at), changed.Bytes())
			}
			changed := body
			changed.IV = random(12)
			s.wantHTTP(ctx, t, 401, "another IV", changed.Bytes())
		}},
	{Name: "sender-aad", Clause: "3, external_aad", Says: "a body that was sealed for another identity, or for none, gets HTTP 401",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p := s.gateway(t)
			plaintext := wire.Array(s.fieldsOfRequest()...)
			for what, aad := range map[string]string{"another identity": stranger("gateway"), "none": ""} {
				b := p.body(nil)
				b.Ciphertext = wire.Seal(wire.Key(p.Key, nil, wire.InfoRequest), b.IV, []byte(aad), plaintext)
				s.wantHTTP(ctx, t, 401, "sealed for "+what, b.Bytes())
			}
		}},
	{Name: "sender-key", Clause: "3, request key", Says: "a body that is sealed under PSK1 itself, another key or the key of responses gets HTTP 401",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p := s.gateway(t)
			plaintext := wire.Array(s.fieldsOfRequest()...)
			raw := append(slices.Clone(p.Key), make([]byte, 32)...)[:32]
			for what, key := range map[string][]byte{
				"PSK1": raw, "another key": random(32), "the response key": wire.Key(p.Key, nil, wire.InfoResponse),
			} {
				s.wantHTTP(ctx, t, 401, "sealed under "+what, sealedUnder(key, p.Identity, plaintext))
			}
		}},
	{Name: "sender-alike", Clause: "3, HTTP 401", Says: "an answer does not tell whether the identity is unknown or the body does not decrypt",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p, r := s.gateway(t), s.request()
			wrong := s.wantHTTP(ctx, t, 401, "another key", s.seal(&PSK1{p.Identity, random(32)}, r))
			unknown := s.wantHTTP(ctx, t, 401, "unknown identity", s.seal(&PSK1{stranger("gateway"), random(32)}, r))
			if a, b := shape(wrong)+string(wrong.body), shape(unknown)+string(unknown.body); a != b {
				t.Fail(a+", as to a wrong key", b)
			}
		}},
}

func sealedUnder(key []byte, identity string, plaintext []byte) []byte {
	b := wire.SealBody(key, []byte(identity), random(12), plaintext)
	return b.Bytes()
}

func (s *Server) fieldsOfRequest() [][]byte { r := s.request(); return r.fields() }

// malformed is a case of bodies that get HTTP 400 before PSK1 is looked for.
func malformed(name, says string, variants func(wire.Body) map[string][]byte) testCase {
	return testCase{Name: name, Clause: "3, HTTP 400", Says: says, Run: func(ctx context.Context, t *conform.T, s *Server) {
		r := s.request()
		for what, body := range variants(s.gateway(t).body(wire.Array(r.fields()...))) {
			s.wantHTTP(ctx, t, 400, what, body)
		}
	}}
}

// wantHTTP sends a body and wants an HTTP status.
func (s *Server) wantHTTP(ctx context.Context, t *conform.T, status int, what string, body []byte) *answer {
	t.Note("%s", what)
	a, err := s.post(ctx, t, body)
	if err != nil {
		t.Fail(fmt.Sprintf("HTTP %d to this: %s", status, what), err.Error())
	}
	if a.status != status {
		t.Fail(fmt.Sprintf("HTTP %d to this: %s", status, what), a.String())
	}
	return a
}

func sealedNonsense(ctx context.Context, t *conform.T, s *Server) {
	p := s.gateway(t)
	with := func(n int, item []byte) []byte {
		fields := s.fieldsOfRequest()
		fields[n] = item
		return wire.Array(fields...)
	}
	right := s.fieldsOfRequest()
	long := bytes.Repeat([]byte{'x'}, 65)
	for _, v := range []struct {
		what      string
		plaintext []byte
	}{
		{"nothing", nil},
		{"text", []byte("hello")},
		{"4 elements", wire.Array(right[:4]...)},
		{"7 elements", wire.Array(append(slices.Clone(right), wire.Null, wire.Null)...)},
		{"a byte behind it", append(wire.Array(right...), 0)},
		{"an indefinite length", wire.OpenArray(right...)},
		{"an empty Entity ID", with(0, wire.Text(""))},
		{"an Entity ID of 65 bytes", with(0, wire.Text(string(long)))},
		{"an Entity ID with a space", with(0, wire.Text("meter 1"))},
		{"an Entity ID that is not ASCII", with(0, wire.Text("mètre"))},
		{"an Entity ID in a byte string", with(0, wire.Bytes([]byte(s.Entity)))},
		{"an empty user", with(1, wire.Text(""))},
		{"a user of 65 bytes", with(1, wire.Text(string(long)))},
		{"a RAND_PNGW of 31 bytes", with(2, wire.Bytes(random(31)))},
		{"a RAND_PNGW of 33 bytes", with(2, wire.Bytes(random(33)))},
		{"a RAND_PNGW of null", with(2, wire.Null)},
		{"a negative time", with(3, wire.Int(-1))},
		{"a time in a long form", with(3, wire.LongUint(1))},
		{"a time that is a float", with(3, []byte{0xfb, 0x41, 0xda, 0, 0, 0, 0, 0, 0})},
		{"user authentication data of 31 bytes", with(4, wire.Bytes(random(31)))},
	} {
		s.wantHTTP(ctx, t, 400, "sealed: "+v.what, p.seal(v.plaintext))
	}
}
