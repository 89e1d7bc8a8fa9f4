package againstgateway

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"net/http"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

type testCase = conform.Case[*Bench]

// requests are what the gateway asks the server, and when it asks again.
var requests = []testCase{
	{Name: "request-http", Clause: "3", Says: "a request is a POST to /cpns/v1/eukey-assignments with the Content-Type of a COSE_Encrypt0 and at most 4096 bytes",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			r := b.firstRequest(ctx, t)
			kind, params, err := mime.ParseMediaType(r.header.Get("Content-Type"))
			if r.method != "POST" || r.path != assignmentPath || len(r.body) > maxRequest || err != nil ||
				kind != "application/cose" || params["cose-type"] != "cose-encrypt0" || r.header.Get("Content-Encoding") != "" {
				t.Fail("POST "+assignmentPath+", "+contentType, fmt.Sprintf("%s %s, Content-Type %q, Content-Encoding %q, %d bytes", r.method, r.path, r.header.Get("Content-Type"), r.header.Get("Content-Encoding"), len(r.body)))
			}
		}},
	{Name: "request-canonical", Clause: "3", Says: "a request is in core deterministic CBOR, its headers exactly those of the protocol, and so is what is sealed in it",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			if r := b.firstRequest(ctx, t); !r.canonical || len(r.envelope.IV) != 12 {
				t.Fail("canonical CBOR, [<< {1: 24} >>, {4: identity, 5: IV}, ciphertext]", fmt.Sprintf("%x", r.body[:min(64, len(r.body))]))
			}
		}},
	{Name: "request-contents", Clause: "3, eukey-assignment-request", Says: "a request has the device, the user, a RAND_PNGW of 32 bytes and the time, within 300 s",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			r := b.firstRequest(ctx, t)
			if r.user != b.User || len(r.rand) != 32 || max(r.time, r.now)-min(r.time, r.now) > window {
				t.Fail(fmt.Sprintf("user %q, 32 bytes, about %d", b.User, r.now), fmt.Sprintf("user %q, %d bytes, %d", r.user, len(r.rand), r.time))
			}
		}},
	{Name: "request-auth", Clause: "2, AuthData", Says: "the user authentication data is H(Hash(Password) | RAND_PNGW | Time)",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			r := b.firstRequest(ctx, t)
			if want := wire.AuthData(b.hash, r.rand, r.time); !bytes.Equal(r.auth, want) {
				t.Fail(fmt.Sprintf("%x", want), fmt.Sprintf("%x: another password, or another formula", r.auth))
			}
		}},
	{Name: "request-fresh", Clause: "3", Says: "two requests have two RAND_PNGW and two IVs",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			r, o := b.firstRequest(ctx, t), b.firstRequest(ctx, t)
			if bytes.Equal(r.rand, o.rand) || bytes.Equal(r.envelope.IV, o.envelope.IV) {
				t.Fail("other random numbers", fmt.Sprintf("RAND_PNGW %x and %x, IV %x and %x", r.rand, o.rand, r.envelope.IV, o.envelope.IV))
			}
		}},
	{Name: "request-hello", Clause: "3, pne-hello", Says: "a request carries the device's latest hello, whole, where the gateway has heard one",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d := b.device(ctx, t)
			defer d.leave()
			d.hello(ctx, 0, 0)
			sleep.For(ctx, helloPause)
			latest := d.hello(ctx, 0, 0)
			sleep.For(ctx, helloPause)
			p := b.takeIn(ctx, t, d)
			defer p.end()
			if r := d.wantRequest(ctx, 1); !bytes.Equal(r.hello, latest) {
				t.Fail(fmt.Sprintf("pne-hello %x", latest), fmt.Sprintf("%x", r.hello))
			}
		}},
	{Name: "request-lost", Clause: "3, repeats", Says: "a request whose answer was lost is sent again as it was: the same RAND_PNGW, contents and time",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.again(ctx, t, "the answer is lost", func(w http.ResponseWriter, _ *heardRequest) { panic(http.ErrAbortHandler) })
		}},
	{Name: "request-busy", Clause: "3, HTTP 503", Says: "a request that the server could not answer (HTTP 503) is sent again as it was",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.again(ctx, t, "HTTP 503", func(w http.ResponseWriter, _ *heardRequest) {
				w.Header().Set("Retry-After", "1")
				refuse(w, http.StatusServiceUnavailable)
			})
		}},
	{Name: "request-time", Clause: "3, status 2", Says: "after a status 2 the gateway asks at most once more, with a new RAND_PNGW",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d := b.device(ctx, t)
			defer d.leave()
			d.script(func(w http.ResponseWriter, r *heardRequest) {
				body := b.sealed(r, (&set{status: statusTime, time: r.time + 3600}).plaintext())
				reply(w, body.Bytes())
			})
			p := b.takeIn(ctx, t, d)
			d.wantRequest(ctx, 1)
			p.settled(ctx, b)
			sleep.For(ctx, b.Quiet)
			p.end()
			asked := d.asked()
			if len(asked) > 2 || len(asked) == 2 && bytes.Equal(asked[0].rand, asked[1].rand) {
				t.Fail("one more request at most, with another RAND_PNGW", fmt.Sprintf("%d requests, the first two with RAND_PNGW %x and %x", len(asked), asked[0].rand, asked[1].rand))
			}
			d.script(nil)
			b.recovers(ctx, t, d)
		}},
}

// firstRequest is what the gateway asks for a device of its own.
func (b *Bench) firstRequest(ctx context.Context, t *conform.T) *heardRequest {
	d, end := b.assigned(ctx, t)
	defer end()
	return d.asked()[0]
}

// again has the first answer be none, and wants the same request again: by itself, or
// when it is asked again for the same device.
func (b *Bench) again(ctx context.Context, t *conform.T, what string, none answer) {
	d := b.device(ctx, t)
	defer d.leave()
	d.script(func(w http.ResponseWriter, r *heardRequest) {
		d.script(nil)
		t.Note("%s", what)
		none(w, r)
	})
	p := b.takeIn(ctx, t, d)
	defer func() { p.end() }()
	first := d.wantRequest(ctx, 1)
	for over := time.Now().Add(b.Patience); len(d.asked()) < 2 && time.Now().Before(over) && ctx.Err() == nil; {
		select {
		case <-p.ended:
			p.end()
			p = b.takeIn(ctx, t, d)
			d.wantRequest(ctx, 2)
		case <-d.news:
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	second := d.wantRequest(ctx, 2)
	if !first.same(second) {
		t.Fail(fmt.Sprintf("RAND_PNGW %x, time %d", first.rand, first.time), fmt.Sprintf("RAND_PNGW %x, time %d: a server that had answered the first gives a second set", second.rand, second.time))
	}
	d.holds(ctx, wire.Hello{}, 1)
}
