package againstserver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

type testCase = conform.Case[*Server]

// answers is what a right request gets, and what it gets when it is sent again.
var answers = []testCase{
	{Name: "assigned", Clause: "3, status 0", Says: "a right request gets status 0 with an epoch of 1 to 2^32-1",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			got := s.want(ctx, t, statusSuccess, s.request())
			if got.epoch == 0 || got.epoch > 1<<32-1 {
				t.Fail("an epoch of 1 to 4294967295", fmt.Sprint(got.epoch))
			}
		}},
	{Name: "assigned-length", Clause: "2", Says: "a set has 2 to 1024 EUKeys",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			if n := len(s.want(ctx, t, statusSuccess, s.request()).keys); n < 2 || n > 1024 {
				t.Fail("2 to 1024 EUKeys", fmt.Sprint(n))
			}
		}},
	{Name: "assigned-chain", Clause: "2, formulas", Says: "each EUKey is SHA-256 of the next, EUKey_1 first",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			got := s.want(ctx, t, statusSuccess, s.request())
			if k := wire.BrokenLink(got.keys); k > 0 {
				t.Fail(fmt.Sprintf("EUKey_%d = H(EUKey_%d)", k, k+1), "another value: the chain is broken there, or in another order")
			}
		}},
	{Name: "assigned-tk", Clause: "3", Says: "the response has the PNE's Temporary Key",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			got := s.want(ctx, t, statusSuccess, s.request())
			if len(s.TK) == 0 {
				t.NotApplicable("needs --tk-file")
			}
			if string(got.tk) != string(s.TK) {
				t.Fail("the TK of --tk-file", fmt.Sprintf("another one, of %d bytes; SHA-256 of the two: %x and %x", len(got.tk), wire.Hash(s.TK), wire.Hash(got.tk)))
			}
		}},
	{Name: "epoch-clock", Clause: "3, Epoch", Says: "an epoch is at least the minutes since 2020-01-01",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			got := s.want(ctx, t, statusSuccess, s.request())
			least := (int64(s.now()) - time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Unix()) / 60
			if int64(got.epoch) < least-1 { // a minute may have begun meanwhile
				t.Fail(fmt.Sprintf("at least %d, so that a server restored from a backup gives no epoch twice", least), fmt.Sprint(got.epoch))
			}
		}},
	{Name: "epoch-grows", Clause: "3, Epoch", Says: "another RAND_PNGW gets an assignment of its own, with a higher epoch",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			first := s.want(ctx, t, statusSuccess, s.request())
			second := s.want(ctx, t, statusSuccess, s.request())
			if second.epoch <= first.epoch {
				t.Fail(fmt.Sprintf("an epoch above %d", first.epoch), fmt.Sprint(second.epoch))
			}
		}},
	{Name: "epoch-keys", Clause: "2, RAND_SVR", Says: "another assignment has other EUKeys, of which none is one of the former's",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			first := s.want(ctx, t, statusSuccess, s.request())
			second := s.want(ctx, t, statusSuccess, s.request())
			known := map[string]int{}
			for n, k := range first.keys {
				known[string(k)] = n + 1
			}
			for n, k := range second.keys {
				if earlier := known[string(k)]; earlier > 0 {
					t.Fail("EUKeys that nobody has had", fmt.Sprintf("EUKey_%d of epoch %d is EUKey_%d of epoch %d", n+1, second.epoch, earlier, first.epoch))
				}
			}
		}},
	{Name: "repeat-bytes", Clause: "3, repeats", Says: "the same bytes again get the same set",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p := s.gateway(t)
			body := s.seal(p, s.request())
			s.wantSame(ctx, t, p, body, body)
		}},
	{Name: "repeat-contents", Clause: "3, repeats", Says: "the same request, sealed anew, gets the same set",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p, r := s.gateway(t), s.request()
			s.wantSame(ctx, t, p, s.seal(p, r), s.seal(p, r))
		}},
	{Name: "repeat-hello", Clause: "3, repeats", Says: "pne-hello does not count: the same request with one gets the same set",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p, r := s.gateway(t), s.request()
			first := s.seal(p, r)
			r.hello = s.hello(t, s.Entity)
			s.wantSame(ctx, t, p, first, s.seal(p, r))
		}},
	{Name: "repeat-at-once", Clause: "3, repeats", Says: "the same request, sent several times at once, makes one assignment",
		Run: atOnce},
	{Name: "response-canonical", Clause: "3", Says: "the response is in core deterministic CBOR, its headers exactly those of the protocol",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			got := s.ask(ctx, t, s.request())
			if !got.canonical {
				t.Fail("canonical CBOR, [<< {1: 24} >>, {4: identity, 5: IV}, ciphertext]", fmt.Sprintf("%x", got.answer.body[:min(80, len(got.answer.body))]))
			}
		}},
	{Name: "response-identity", Clause: "3", Says: "the response has the identity of its request",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			if got := s.ask(ctx, t, s.request()); string(got.identity) != s.psk.Identity {
				t.Fail(fmt.Sprintf("identity %q", s.psk.Identity), fmt.Sprintf("%q", got.identity))
			}
		}},
	{Name: "response-iv", Clause: "3", Says: "two answers to the same bytes have different IVs: their key is the same",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			p := s.gateway(t)
			body := s.seal(p, s.request())
			if a, b := s.askBody(ctx, t, p, body), s.askBody(ctx, t, p, body); string(a.iv) == string(b.iv) {
				t.Fail("two IVs", fmt.Sprintf("%x twice", a.iv))
			}
		}},
	{Name: "response-type", Clause: "3", Says: "the response has the Content-Type of the request, and no encoding",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			got := s.ask(ctx, t, s.request()).answer
			if kind, encoding := got.header.Get("Content-Type"), got.header.Get("Content-Encoding"); !isCOSE(kind) || encoding != "" {
				t.Fail(contentType, fmt.Sprintf("Content-Type %q, Content-Encoding %q", kind, encoding))
			}
		}},
	{Name: "response-time", Clause: "3", Says: "a response has the server's time, which goes on",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			got := s.want(ctx, t, statusSuccess, s.request())
			if now := s.now(); max(now, got.serverTime)-min(now, got.serverTime) > 60 {
				t.Fail(fmt.Sprintf("about %d, as the server said at first", now), fmt.Sprint(got.serverTime))
			}
		}},
}

// wantSame sends two bodies, one after the other, and wants one set.
func (s *Server) wantSame(ctx context.Context, t *conform.T, p *PSK1, one, other []byte) {
	first, second := s.askBody(ctx, t, p, one), s.askBody(ctx, t, p, other)
	if first.status != statusSuccess || !first.same(second) {
		t.Fail(first.String()+", twice", second.String())
	}
}

// hello is one that the PNE could have said.
func (s *Server) hello(t *conform.T, entity string) []byte {
	if len(s.TK) == 0 {
		t.NotApplicable("needs --tk-file")
	}
	h := wire.Hello{E: entity, Nonce: random(16), Algs: []int64{24}}
	return h.Bytes(s.TK)
}

func atOnce(ctx context.Context, t *conform.T, s *Server) {
	const times = 4
	p, r := s.gateway(t), s.request()
	got := make([]*response, times)
	errs := make([]error, times)
	var wg sync.WaitGroup
	for n := range times {
		body := s.seal(p, r)
		wg.Go(func() {
			a, err := s.post(ctx, t, body)
			if err == nil {
				got[n], err = a.open(p)
			}
			errs[n] = err
		})
	}
	wg.Wait()
	for n := range times {
		if errs[n] != nil {
			t.Fail("an answer to each", errs[n].Error())
		}
		if got[n].status != statusSuccess || !got[n].same(got[0]) {
			t.Fail(got[0].String()+", to each", got[n].String())
		}
	}
}
