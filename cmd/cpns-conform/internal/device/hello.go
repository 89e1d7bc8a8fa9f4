package device

import (
	"context"
	"fmt"
	"slices"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// Suite is all cases for a PNE.
var Suite = conform.Suite[*Bench]{Name: "pne", Cases: slices.Concat(helloCases)}

var helloCases = []conform.Case[*Bench]{
	{
		Name: "hello-bytes", Clause: "4, hello",
		Says: "a hello is the one right encoding of its fields, with a tag under TK, and lists algorithm 24",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			h := b.ask(ctx, t)
			again := wire.Hello{E: b.Entity, Nonce: h.Nonce, Epoch: h.Epoch, Index: h.Index, Algs: h.Algs, X25519: h.X25519}
			same(t, "a hello", h.Raw, again.Bytes(b.TK))
			if !slices.Contains(h.Algs, 24) {
				t.Fail("24 among the algorithms", fmt.Sprint(h.Algs))
			}
		},
	},
	{
		Name: "hello-same", Clause: "4, What a PNE does, Hello",
		Says: "a second identify within 10 s is answered with the same bytes, where the hello is not spent",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			first := b.ask(ctx, t)
			same(t, "the same hello", b.ask(ctx, t).Raw, first.Raw)
		},
	},
}
