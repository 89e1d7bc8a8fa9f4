package device

import (
	"bytes"
	"context"
	"encoding/hex"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

const x25519Clause = "4, X25519"

// x25519Wait is the least first wait after a notification that answers an x25519.
const x25519Wait = 2 * time.Second

// A device may do X25519: its hellos tell.
var x25519Cases = []conform.Case[*Bench]{
	{
		Name: "x25519-missing", Clause: x25519Clause,
		Says: "a notification without x25519, where the hello had one, is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.needsX25519(t)
			n, _ := b.notification(t, b.set.index+1)
			n.X25519 = nil
			n.Seal(b.TK, nil, wire.Hash(b.hello.Raw), b.set.key(b.set.index+1))
			b.refused(ctx, t, "a notification without x25519", n.Bytes(), 1)
		},
	},
	{
		Name: "x25519-superfluous", Clause: x25519Clause,
		Says: "a notification with x25519, where the hello had none, is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			if b.hello.X25519 != nil {
				t.NotApplicable("its hellos have x25519")
			}
			n, _ := b.notification(t, b.set.index+1)
			n.X25519 = newPair(t).PublicKey().Bytes()
			n.Seal(b.TK, nil, wire.Hash(b.hello.Raw), b.set.key(b.set.index+1))
			b.refused(ctx, t, "a notification with x25519", n.Bytes(), 1)
		},
	},
	{
		Name: "x25519-zero", Clause: x25519Clause + ": both sides refuse a public key that makes the shared secret zero",
		Says: "a notification with a public key of small order is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.needsX25519(t)
			for _, point := range smallOrder {
				n, _ := b.notification(t, b.set.index+1)
				n.X25519, _ = hex.DecodeString(point)
				n.Seal(b.TK, make([]byte, 32), wire.Hash(b.hello.Raw), b.set.key(b.set.index+1))
				b.refused(ctx, t, "a notification with the public key "+point[:8]+"…", n.Bytes(), 1)
			}
		},
	},
	{
		Name: "x25519-high-bit", Clause: x25519Clause + ": RFC 7748, also for what values of a public key are taken",
		Says: "the highest bit of a public key does not count",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.needsX25519(t)
			private := newPair(t)
			n, _ := b.notification(t, b.set.index+1)
			n.X25519 = private.PublicKey().Bytes()
			n.X25519[31] |= 0x80
			n.Seal(b.TK, b.secret(t, private), wire.Hash(b.hello.Raw), b.set.key(b.set.index+1))
			b.refused(ctx, t, "a notification whose public key has its highest bit set", n.Bytes(), 0)
			b.set.index++
		},
	},
	{
		Name: "x25519-wiped", Clause: x25519Clause + ": the PNE wipes its private key when it has taken a notification",
		Says: "a hello after a notification that was taken has another public key",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.needsX25519(t)
			before := b.hello.X25519
			b.deliver(ctx, t, b.set.index+1)
			b.ask(ctx, t)
			if bytes.Equal(b.hello.X25519, before) {
				t.Fail("another public key", "again "+short(before))
			}
		},
	},
}

// smallOrder are public keys whose shared secret is zero, whatever the other side's
// (RFC 7748, section 6.1).
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func (b *Bench) needsX25519(t *conform.T) {
	if b.hello.X25519 == nil {
		t.NotApplicable("its hellos have no x25519")
	}
}
