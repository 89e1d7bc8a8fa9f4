package device

import (
	"context"
	"fmt"
	"strings"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

const decodingClause = "before 1: every receiver keeps three rules"

// What does not decode gets silence. Most of it is an identify, which is answered where
// somebody is lax, and changes nothing.
var decodingCases = []conform.Case[*Bench]{
	{
		Name: "identify-version", Clause: "4: another version, type or status is refused",
		Says: "an identify of another version of the protocol is not answered",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for _, version := range []uint64{0, 2, 257} {
				b.unheard(ctx, t, named{fmt.Sprintf("an identify of version %d", version),
					wire.Array(wire.Uint(wire.TypeIdentify), wire.Uint(version), wire.Text(b.Entity))})
			}
		},
	},
	{
		Name: "cbor-long", Clause: decodingClause,
		Says: "numbers and lengths that are longer than need be are refused",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			kind, version, e := wire.Uint(wire.TypeIdentify), wire.Uint(1), wire.Text(b.Entity)
			longText := append(wire.LongHead(3, uint64(len(b.Entity))), b.Entity...)
			longArray := append(wire.LongHead(4, 3), wire.Array(kind, version, e)[1:]...)
			b.unheard(ctx, t,
				named{"an identify whose type is a long 0", wire.Array(wire.LongUint(wire.TypeIdentify), version, e)},
				named{"whose version is 1 in two bytes", wire.Array(kind, []byte{0x18, 1}, e)},
				named{"whose Entity ID has a length of eight bytes", wire.Array(kind, version, longText)},
				named{"whose array has a length of eight bytes", longArray})
		},
	},
	{
		Name: "cbor-indefinite", Clause: decodingClause,
		Says: "indefinite lengths are refused",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			kind, version, e := wire.Uint(wire.TypeIdentify), wire.Uint(1), wire.Text(b.Entity)
			pieces := append(append([]byte{0x7f}, e...), 0xff)
			b.unheard(ctx, t,
				named{"an identify that is an array of indefinite length", wire.OpenArray(kind, version, e)},
				named{"whose Entity ID is of indefinite length", wire.Array(kind, version, pieces)})
		},
	},
	{
		Name: "cbor-trailing", Clause: decodingClause,
		Says: "a message with bytes behind its end is refused",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.unheard(ctx, t,
				named{"an identify and a zero", append(wire.Identify(b.Entity), 0)},
				named{"two in one message", append(wire.Identify(b.Entity), wire.Identify(b.Entity)...)})
		},
	},
	{
		Name: "cbor-tag", Clause: decodingClause,
		Says: "a tag in front is refused",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.unheard(ctx, t,
				named{"an identify tagged as CBOR", wire.Tagged(55799, wire.Identify(b.Entity))},
				named{"whose Entity ID is tagged", wire.Array(wire.Uint(wire.TypeIdentify), wire.Uint(1), wire.Tagged(32, wire.Text(b.Entity)))})
		},
	},
	{
		Name: "cbor-kind", Clause: "4: e is a tstr, types and versions are uint",
		Says: "an element of another kind is refused",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			kind, version, e := wire.Uint(wire.TypeIdentify), wire.Uint(1), wire.Text(b.Entity)
			b.unheard(ctx, t,
				named{"an identify whose Entity ID is a byte string", wire.Array(kind, version, wire.Bytes([]byte(b.Entity)))},
				named{"whose version is 1.0", wire.Array(kind, []byte{0xf9, 0x3c, 0x00}, e)},
				named{"whose type is -1", wire.Array(wire.Int(-1), version, e)},
				named{"whose type is false", wire.Array([]byte{0xf4}, version, e)},
				named{"whose Entity ID is undefined", wire.Array(kind, version, []byte{0xf7})})
		},
	},
	{
		Name: "cbor-elements", Clause: "4: every message is one CBOR array",
		Says: "an array with one element too many or too few is refused, and so is what is no array",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			kind, version, e := wire.Uint(wire.TypeIdentify), wire.Uint(1), wire.Text(b.Entity)
			b.unheard(ctx, t,
				named{"an identify with one element too many", wire.Array(kind, version, e, wire.Null)},
				named{"with one too few", wire.Array(kind, version)},
				named{"an identify in an array", wire.Array(wire.Identify(b.Entity))},
				named{"a map", wire.Map(kind, version, wire.Uint(2), e)},
				named{"an empty array", wire.Array()})
		},
	},
	{
		Name: "unknown-type", Clause: "4: another version, type or status is refused",
		Says: "a message of a type that there is not is not answered",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for _, kind := range []uint64{7, 23, 24, 255, 256, 1 << 32} {
				b.ignored(ctx, t, fmt.Sprintf("a message of type %d", kind),
					wire.Array(wire.Uint(kind), wire.Text(b.Entity), wire.Text(b.Gateway), wire.Bytes(random(16))))
			}
		},
	},
	{
		Name: "own-messages", Clause: "4, and 5: with or without echo",
		Says: "what only a PNE says is not answered, its own echo least of all",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			hello := b.hello.Raw
			c := b.challenged(ctx, t)
			ack := b.take(ctx, t, "eukey-update that leaves it on its key", b.stay(c), b.set.index)
			b.unheard(ctx, t, named{"its own hello", hello}, named{"its own auth-response", c.response.raw}, named{"its own acknowledgement", ack.raw})
		},
	},
	{
		Name: "garbage", Clause: decodingClause,
		Says: "noise of every length is not answered, and does no harm",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			var messages []named
			for _, size := range []int{1, 2, 16, 77, 247, 248, 256, 257, 511, 512} {
				messages = append(messages, named{fmt.Sprintf("%d bytes of noise", size), random(size)})
			}
			messages = append(messages,
				named{"arrays in arrays", []byte(strings.Repeat("\x81", 200))},
				named{"an array of 2^64-1 elements", wire.LongHead(4, ^uint64(0))},
				named{"a text of 2^64-1 bytes", append(wire.Array(nil, nil, nil)[:1], append(append(wire.Uint(0), wire.Uint(1)...), wire.LongHead(3, ^uint64(0))...)...)},
				named{"a notification that ends in its middle", b.sealed(t, 2).Bytes()[:60]})
			b.unheard(ctx, t, messages...)
			b.silent(ctx, t, "all that")
		},
	},
	{
		Name: "message-long", Clause: "4: what a PNE has to read is at most 247 bytes long (it may refuse more than 256)",
		Says: "a notification of 512 bytes does no harm: it gets silence, or status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n, _ := b.notification(t, b.set.index+1)
			n.Ciphertext = random(512 - len(n.Bytes()) - 2)
			msg := n.Bytes()
			b.say(ctx, t, "a notification of 512 bytes", msg)
			const expected = "silence, or status 1"
			if h := b.await(ctx, t, quiet, expected, isAck); h != nil && h.Status != 1 {
				t.Fail(expected, h.String())
			}
			b.silent(ctx, t, "that")
		},
	},
}

// What would open, but is not in its only right form: a lax device takes it, and says
// so. It must get silence.
var coseCases = []conform.Case[*Bench]{
	{
		Name: "cose-header", Clause: "4: COSE objects carry exactly the headers shown, no others",
		Says: "a notification with one more header is refused, though it would open",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n := b.sealed(t, b.set.index+1)
			b.ignored(ctx, t, "a notification with a key identifier in its header", b.with(n, wire.Array(
				wire.Bytes(wire.ProtectedEncrypt0), wire.Map(wire.Uint(4), wire.Bytes([]byte("k")), wire.Uint(5), wire.Bytes(n.IV)), wire.Bytes(n.Ciphertext))))
		},
	},
	{
		Name: "cose-algorithm", Clause: "4: COSE_Encrypt0 = [<< {1: 24} >>, …]",
		Says: "a notification that names another algorithm is refused, though it would open",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for _, header := range [][]byte{{0xa1, 0x01, 0x03}, {}, {0xa0}, {0xa1, 0x01, 0x18, 0x19}} {
				n := b.sealed(t, b.set.index+1)
				b.ignored(ctx, t, fmt.Sprintf("a notification whose protected header is %x", header), b.with(n, wire.Array(
					wire.Bytes(header), wire.Map(wire.Uint(5), wire.Bytes(n.IV)), wire.Bytes(n.Ciphertext))))
			}
		},
	},
	{
		Name: "cose-tag", Clause: "4: COSE objects are untagged",
		Says: "a notification whose COSE_Encrypt0 is tagged is refused, though it would open",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n := b.sealed(t, b.set.index+1)
			b.ignored(ctx, t, "a notification with a tagged COSE_Encrypt0", b.with(n, wire.Tagged(16, wire.Encrypt0(n.IV, n.Ciphertext))))
		},
	},
	{
		Name: "cose-iv", Clause: "4: IV (12 random bytes)",
		Says: "an IV of another length is refused",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n := b.sealed(t, b.set.index+1)
			b.ignored(ctx, t, "a notification with an IV of 13 bytes", b.with(n, wire.Encrypt0(append(n.IV, 0), n.Ciphertext)))
			n = b.sealed(t, b.set.index+1)
			b.ignored(ctx, t, "a notification with an IV of 11 bytes", b.with(n, wire.Encrypt0(n.IV[:11], n.Ciphertext)))
		},
	},
	{
		Name: "cose-long", Clause: decodingClause,
		Says: "a notification whose numbers are longer than need be is refused, though it would open",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n := b.sealed(t, b.set.index+1)
			items := n.Items()
			items[4] = wire.LongUint(n.Index)
			b.ignored(ctx, t, "a notification whose index has eight bytes", wire.Array(items...))
		},
	},
	{
		Name: "number-range", Clause: "4: epoch is 1 to 2^32-1, index 1 to 1024",
		Says: "a notification with an epoch or an index out of its range is refused, though it would open",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for _, c := range []struct{ epoch, index uint64 }{
				{b.set.epoch + 1, 0}, {b.set.epoch + 1, 1025}, {b.set.epoch + 1, 65537}, {1 << 32, 1}, {1<<32 + b.set.epoch + 1, 1}, {0, 1},
			} {
				n, z := b.notification(t, 1)
				n.Epoch, n.Index = c.epoch, c.index
				n.Seal(b.TK, z, wire.Hash(b.hello.Raw), random(32))
				b.ignored(ctx, t, fmt.Sprintf("a notification of epoch %d, index %d", c.epoch, c.index), n.Bytes())
			}
		},
	},
	{
		Name: "gateway-name", Clause: "1: gateway IDs are 1 to 64 bytes, printable ASCII without space",
		Says: "a notification whose gateway ID is none is refused, though it would open",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for _, g := range []string{"", "a gateway", "gw-\x00", "gw-\xc3\xa9", strings.Repeat("g", 65)} {
				n, z := b.notification(t, b.set.index+1)
				n.G = g
				n.Seal(b.TK, z, wire.Hash(b.hello.Raw), b.set.key(b.set.index+1))
				b.ignored(ctx, t, fmt.Sprintf("a notification from the gateway %q", g), n.Bytes())
			}
		},
	},
}

// with is n with another COSE_Encrypt0.
func (b *Bench) with(n *wire.Notification, encrypt0 []byte) []byte {
	items := n.Items()
	items[5] = encrypt0
	return wire.Array(items...)
}
