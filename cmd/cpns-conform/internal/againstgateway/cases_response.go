package againstgateway

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

// responses are answers of the server's that a gateway must not take.
var responses = []testCase{
	bad("response-tampered", "3", "a response of which one bit was changed is refused", func(b *Bench, d *device) map[string]answer {
		return map[string]answer{"a bit of the ciphertext": b.body(d, func(_ *heardRequest, body *wire.Body) {
			body.Ciphertext = slices.Clone(body.Ciphertext)
			body.Ciphertext[len(body.Ciphertext)/2] ^= 1
		})}
	}),
	bad("response-other", "3, response key", "a response that was sealed for another request, or under the request's key, is refused", func(b *Bench, d *device) map[string]answer {
		return map[string]answer{
			"for another request": b.body(d, func(r *heardRequest, body *wire.Body) {
				*body = b.sealed(&heardRequest{body: random(64)}, b.newSet(d, r).plaintext())
			}),
			"under the request's key": b.body(d, func(r *heardRequest, body *wire.Body) {
				*body = wire.SealBody(wire.Key(b.PSK1, nil, wire.InfoRequest), []byte(b.Identity), random(12), b.newSet(d, r).plaintext())
			}),
		}
	}),
	bad("response-identity", "3", "a response of another identity than its request's is refused, sealed for it as it may be", func(b *Bench, d *device) map[string]answer {
		return map[string]answer{"identity somebody-else": b.body(d, func(r *heardRequest, body *wire.Body) {
			*body = wire.SealBody(wire.Key(b.PSK1, wire.Hash(r.body), wire.InfoResponse), []byte("somebody-else"), random(12), b.newSet(d, r).plaintext())
		})}
	}),
	bad("response-chain", "2", "a set of which a link does not hold is refused", func(b *Bench, d *device) map[string]answer {
		all := map[string]answer{}
		for what, at := range map[string]int{"first": 0, "middle": setLength / 2, "last": setLength - 1} {
			all[what+" key"] = b.set(d, func(s *set) {
				s.keys[at] = slices.Clone(s.keys[at])
				s.keys[at][31] ^= 1
			})
		}
		all["the order"] = b.set(d, func(s *set) { slices.Reverse(s.keys) })
		return all
	}),
	bad("response-length", "2", "a set of fewer than 2 or more than 1024 EUKeys is refused", func(b *Bench, d *device) map[string]answer {
		return map[string]answer{
			"none": b.set(d, func(s *set) { s.keys = nil }),
			"1":    b.set(d, func(s *set) { s.keys = s.keys[:1] }),
			"1025": b.set(d, func(s *set) { s.keys = wire.Chain(random(32), 1025) }),
		}
	}),
	bad("response-sizes", "1", "a TK that has not 16 to 64 bytes, or an EUKey that has not 32, is refused", func(b *Bench, d *device) map[string]answer {
		return map[string]answer{
			"a TK of 15":     b.ofTK(d, 15),
			"a TK of 65":     b.ofTK(d, 65),
			"an EUKey of 31": b.set(d, func(s *set) { s.keys[0] = s.keys[0][:31] }),
		}
	}),
	bad("response-epoch", "1", "epoch 0, or one of more than 32 bits, is refused", func(b *Bench, d *device) map[string]answer {
		return map[string]answer{
			"epoch 0":    b.set(d, func(s *set) { s.epoch = 0 }),
			"epoch 2^32": b.set(d, func(s *set) { s.epoch = 1 << 32 }),
		}
	}),
	bad("response-status", "3", "a status that the protocol does not have is refused, and one that is not 0 gives no keys", func(b *Bench, d *device) map[string]answer {
		return map[string]answer{
			"status 7 with keys": b.set(d, func(s *set) { s.status = 7 }),
			"status 3 with keys": b.set(d, func(s *set) { s.status = statusUnknownPNE }),
		}
	}),
	bad("response-encoding", "RFC 8949, 4.2.1", "a response that is not canonical, or has more in it, is refused", func(b *Bench, d *device) map[string]answer {
		inner := func(change func([]byte) []byte) answer {
			return b.body(d, func(r *heardRequest, body *wire.Body) { *body = b.sealed(r, change(b.newSet(d, r).plaintext())) })
		}
		outer := func(change func([]byte) []byte) answer {
			return func(w http.ResponseWriter, r *heardRequest) {
				body := b.sealed(r, b.newSet(d, r).plaintext())
				reply(w, change(body.Bytes()))
			}
		}
		trailing := func(p []byte) []byte { return append(p, 0) }
		long := func(p []byte) []byte { return slices.Concat([]byte{0x98, p[0] & 0x1f}, p[1:]) }
		return map[string]answer{
			"a byte behind the body":     outer(trailing),
			"a long length of the body":  outer(long),
			"a tag":                      outer(func(p []byte) []byte { return wire.Tagged(16, p) }),
			"a byte behind the set":      inner(trailing),
			"a long length of the set":   inner(long),
			"an indefinite length in it": inner(func(p []byte) []byte { return slices.Concat([]byte{0x9f}, p[1:], []byte{0xff}) }),
		}
	}),
	bad("response-http", "3", "only HTTP 200 brings a response: what looks like one under another HTTP status is refused", func(b *Bench, d *device) map[string]answer {
		all := map[string]answer{}
		for _, status := range []int{201, 400, 403} {
			all[fmt.Sprintf("HTTP %d", status)] = func(w http.ResponseWriter, r *heardRequest) {
				body := b.sealed(r, b.newSet(d, r).plaintext())
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(status)
				w.Write(body.Bytes())
			}
		}
		return all
	}),
	{Name: "response-older", Clause: "3, Epoch", Limit: 2 * time.Minute, Says: "a set whose epoch is not above every one that the gateway knows of the device is refused, and it goes on with what it has",
		Run: older},
	{Name: "response-giant", Clause: "3, 64 KiB", Limit: 2 * time.Minute, Says: "an answer of more than 64 KiB is refused, and is not read without end",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.refused(ctx, t, "a body of 70 kB that opens", func(w http.ResponseWriter, r *heardRequest) {
				body := b.sealed(r, b.newSet(b.server.find(r.entity), r).plaintext())
				reply(w, append(body.Bytes(), make([]byte, 70<<10)...))
			})
			b.refused(ctx, t, "a body without an end", func(w http.ResponseWriter, _ *heardRequest) {
				w.Header().Set("Content-Type", contentType)
				junk := bytes.Repeat([]byte{0x5a}, 32<<10)
				for range 4096 {
					if _, err := w.Write(junk); err != nil {
						return
					}
				}
			})
		}},
	{Name: "response-redirect", Clause: "3", Says: "a redirection is not followed: nobody but the server gets a request",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			before := b.server.strayed.Load()
			b.refused(ctx, t, "HTTP 307", func(w http.ResponseWriter, r *heardRequest) {
				w.Header().Set("Location", elsewhere)
				w.WriteHeader(http.StatusTemporaryRedirect)
			})
			if b.server.strayed.Load() > before {
				t.Fail("no request at "+elsewhere, "one")
			}
		}},
	{Name: "server-certificate", Clause: "3, TLS", Limit: 2 * time.Minute, Says: "a server whose certificate does not verify gets no request",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d := b.device(ctx, t)
			defer d.leave()
			b.server.wrong.Store(true)
			defer b.server.wrong.Store(false)
			b.server.hangUp()
			p := b.takeIn(ctx, t, d)
			p.settled(ctx, b)
			p.end()
			if asked := d.asked(); len(asked) > 0 {
				t.Fail("no request", fmt.Sprintf("%d, under a certificate of nobody's", len(asked)))
			}
			b.server.wrong.Store(false)
			b.server.hangUp()
			b.recovers(ctx, t, d)
		}},
	{Name: "server-silent", Clause: "3", Limit: 5 * time.Minute, Says: "a server that does not answer, or a byte a second, holds up neither the gateway's other devices nor, for ever, the user",
		Run: silent},
}

// bad is a case of answers that are not to be taken.
func bad(name, clause, says string, variants func(b *Bench, d *device) map[string]answer) testCase {
	return testCase{Name: name, Clause: clause, Says: says, Limit: 5 * time.Minute, Run: func(ctx context.Context, t *conform.T, b *Bench) {
		// All variants at once, a device for each: what takes the time is the silence.
		type trial struct {
			what string
			d    *device
			p    *doing
		}
		var trials []trial
		defer func() {
			for _, x := range trials {
				x.p.end()
				x.d.leave()
			}
		}()
		for _, what := range slices.Sorted(maps.Keys(variants(b, &device{b: b}))) {
			d := b.device(ctx, t)
			d.script(variants(b, d)[what])
			t.Note("%s: %s", d.entity, what)
			trials = append(trials, trial{what, d, b.takeIn(ctx, t, d)})
			d.wantRequest(ctx, 1)
		}
		for _, x := range trials {
			x.p.settled(ctx, b)
			x.d.hello(ctx, 0, 0)
		}
		sleep.For(ctx, b.Quiet)
		for _, x := range trials {
			if m := x.d.take(ctx, 0, x.d.anything); m != nil {
				t.Fail("nothing: the server's answer was not to be taken: "+x.what, m.String())
			}
		}
		_, _, end := b.delivered(ctx, t) // it was right to refuse, and is not merely dead
		end()
	}}
}

// ofTK gives the device a TK of that many bytes, and answers with it.
func (b *Bench) ofTK(d *device, size int) answer {
	tk := random(size)
	return func(w http.ResponseWriter, r *heardRequest) {
		d.mu.Lock()
		d.tk = tk
		d.mu.Unlock()
		body := b.sealed(r, b.newSet(d, r).plaintext())
		reply(w, body.Bytes())
	}
}

// body answers with a body that change makes of a right one.
func (b *Bench) body(d *device, change func(*heardRequest, *wire.Body)) answer {
	return func(w http.ResponseWriter, r *heardRequest) {
		body := b.sealed(r, b.newSet(d, r).plaintext())
		change(r, &body)
		d.t.Sent("response", body.Bytes())
		reply(w, body.Bytes())
	}
}

// set answers with a set that change makes of a right one.
func (b *Bench) set(d *device, change func(*set)) answer {
	return b.body(d, func(r *heardRequest, body *wire.Body) {
		s := b.newSet(d, r)
		change(s)
		*body = b.sealed(r, s.plaintext())
	})
}

func older(ctx context.Context, t *conform.T, b *Bench) {
	d, s, end := b.delivered(ctx, t)
	defer end()
	for what, epoch := range map[string]uint64{"the epoch before": s.epoch - 1, "the same epoch with other keys": s.epoch, "epoch 1": 1} {
		t.Note("a set of %s", what)
		d.script(b.set(d, func(s *set) { s.epoch = epoch }))
		n := len(d.asked())
		p := b.takeIn(ctx, t, d)
		d.wantRequest(ctx, n+1)
		p.settled(ctx, b)
		p.end()
		d.script(nil)
	}
	d.wantNext(ctx, 2, "the set that it has is the newest")
}

func silent(ctx context.Context, t *conform.T, b *Bench) {
	d := b.device(ctx, t)
	defer d.leave()
	d.script(func(w http.ResponseWriter, r *heardRequest) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(http.StatusOK)
		for range 600 {
			w.Write([]byte{0x83})
			if http.NewResponseController(w).Flush() != nil || sleep.For(ctx, time.Second) != nil {
				return
			}
		}
	})
	p := b.takeIn(ctx, t, d)
	defer p.end()
	d.wantRequest(ctx, 1)
	other, end := b.assigned(ctx, t)
	defer end()
	other.holds(ctx, wire.Hello{}, 1)
	if p.ended == nil {
		return
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		t.Fail("an end of the user's request", "none within 5 minutes")
	}
}
