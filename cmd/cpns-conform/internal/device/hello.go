package device

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

const helloClause = "4, What a PNE does, Hello"

// Section 4: hello, and when it is said in answer to an identify.
var helloCases = []conform.Case[*Bench]{
	{
		Name: "hello-at-once", Clause: helloClause,
		Says: "an identify with its Entity ID is answered at once: within the gateway's first wait",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.inTime(ctx, t, b.Carrier.Retry(), "a hello within "+b.Carrier.Retry().String(), func() time.Duration {
				b.ask(ctx, t) // a new one may be put off by a second
				b.drain(t)
				sent := time.Now()
				return b.ask(ctx, t).at.Sub(sent)
			})
		},
	},
	{
		Name: "hello-bytes", Clause: "4, hello",
		Says: "a hello is the one right encoding of what it says, with the device's own Entity ID",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			h := b.ask(ctx, t)
			same(t, "a hello", h.Raw, b.understood(h).With(h.Tag))
		},
	},
	{
		Name: "hello-tag", Clause: "4, hello, and the table of keys",
		Says: "a hello's tag is made under TK over all of it but the COSE_Mac0",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			h := b.ask(ctx, t)
			said := b.understood(h)
			said.E = h.E
			same(t, "a tag", h.Tag, said.TagUnder(b.TK))
		},
	},
	{
		Name: "hello-algorithms", Clause: "4, hello",
		Says: "a hello lists 1 to 8 algorithms, 24 among them",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			if h := b.ask(ctx, t); len(h.Algs) > 8 || !slices.Contains(h.Algs, 24) {
				t.Fail("1 to 8 algorithms, and 24 among them", fmt.Sprint(h.Algs))
			}
		},
	},
	{
		Name: "hello-same", Clause: helloClause,
		Says: "a second identify within 10 s gets the same bytes, where the hello is not spent",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			first := b.ask(ctx, t)
			if time.Since(b.madeAt) > 5*time.Second { // soon too old to be said again
				b.deliver(ctx, t, b.set.index+1)
				first = b.ask(ctx, t)
			}
			same(t, "the same hello", b.ask(ctx, t).Raw, first.Raw)
		},
	},
	{
		Name: "hello-holds", Clause: "4, hello",
		Says: "a hello says which epoch and index the device holds",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.newSet()
			b.deliver(ctx, t, 3)
			epoch := b.set.epoch
			if h := b.ask(ctx, t); h.Epoch != epoch || h.Index != 3 {
				t.Fail(fmt.Sprintf("epoch %d, index 3, as acknowledged", epoch), h.String())
			}
		},
	},
	{
		Name: "hello-fresh", Clause: "4, hello",
		Says: "a new hello has a nonce that none before it had",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for range 2 {
				b.deliver(ctx, t, b.set.index+1)
				if h := b.ask(ctx, t); h.repeated {
					t.Fail("a fresh nonce in a new hello", "again "+short(h.Nonce))
				}
			}
		},
	},
	{
		Name: "hello-spacing", Clause: helloClause,
		Says: "there is at most one new hello a second; what comes sooner is put off until then",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			const expected = "a second at least between two new hellos"
			for again := 0; ; again++ {
				b.deliver(ctx, t, b.set.index+1)
				sleep.For(ctx, time.Until(b.madeAt.Add(1200*time.Millisecond))) // the next is put off by nothing
				var asked, first time.Time
				stall := stalled(func() {
					asked = time.Now()
					b.ask(ctx, t)
					first = b.madeAt
					b.deliver(ctx, t, b.set.index+1)
					b.ask(ctx, t)
				})
				// The first was made after it was asked for, the second before it was heard.
				most, heard := b.madeAt.Sub(asked), b.madeAt.Sub(first)
				const clock, slack = 100 * time.Millisecond, 400 * time.Millisecond // a device's clock, and the way
				calm := !stalledFor(stall, time.Second)
				switch {
				case most < time.Second-clock:
					t.Fail(expected, "at most "+most.String())
				case calm && heard < time.Second-slack:
					t.Fail(expected, heard.String())
				case calm || first.Sub(asked) < slack || ctx.Err() != nil:
					return
				case again == 2:
					t.Undecided("this machine is too busy to tell: it stood still for %v", stall)
				}
			}
		},
	},
	{
		Name: "hello-after-10s", Clause: helloClause, Limit: 30 * time.Second,
		Says: "an identify 10 s after a hello was made gets a new one",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			old := b.hello
			// A device's clock may be off by a tenth.
			sleep.For(ctx, time.Until(b.madeAt.Add(11*time.Second)))
			if h := b.ask(ctx, t); string(h.Raw) == string(old.Raw) {
				t.Fail("a new hello", "the same after 11 s")
			}
		},
	},
	{
		Name: "hello-everybody", Clause: helloClause,
		Says: "an identify for everybody is answered within 1 s",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.inTime(ctx, t, time.Second+b.Carrier.Retry(), "a hello within 1 s, and the time on the way", func() time.Duration {
				return b.everybody(ctx, t)
			})
		},
	},
	{
		Name: "hello-everybody-random", Clause: helloClause,
		Says: "an identify for everybody is answered after a random time, so that those who share a line do not answer together",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			least, most := time.Hour, time.Duration(0)
			for range 8 {
				took := b.everybody(ctx, t)
				least, most = min(least, took), max(most, took)
			}
			// Eight draws of up to 1 s are as near to each other once in a hundred million times.
			if most-least < 50*time.Millisecond {
				t.Fail("answers after times of up to 1 s, drawn at random", fmt.Sprintf("eight after %v to %v", least, most))
			}
		},
	},
	{
		Name: "hello-for-another", Clause: "4, identify",
		Says: "an identify for another Entity ID is not answered, however like its own",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			e := b.Entity
			messages := []named{
				{"an identify for another", wire.Identify("another-" + e[:min(len(e), 40)])},
				{"for its own ID with another last byte", wire.Identify(another(e))},
			}
			if len(e) < 64 {
				messages = append(messages, named{"for its own ID with a byte more", wire.Identify(e + "x")})
			}
			if len(e) > 1 {
				messages = append(messages, named{"for its own ID with a byte less", wire.Identify(e[:len(e)-1])})
			}
			b.unheard(ctx, t, messages...)
		},
	},
}

// understood is a hello with what h says, as this device may say it.
func (b *Bench) understood(h *heard) *wire.Hello {
	return &wire.Hello{E: b.Entity, Nonce: h.Nonce, Epoch: h.Epoch, Index: h.Index, Algs: h.Algs, X25519: h.X25519}
}

// everybody asks all who listen, and says how long it took the device to answer.
func (b *Bench) everybody(ctx context.Context, t *conform.T) time.Duration {
	const expected = "a hello, in answer to an identify for everybody"
	b.drain(t)
	sent := time.Now()
	b.send(ctx, t, "identify for everybody", true, wire.Identify(""))
	h := b.await(ctx, t, 4*time.Second, expected, isHello)
	if h == nil {
		t.Fail(expected, b.nothing())
	}
	return h.at.Sub(sent)
}
