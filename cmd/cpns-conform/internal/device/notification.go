package device

import (
	"context"
	"fmt"
	"strings"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

const notificationClause = "4, What a PNE does, Notification"

// Notifications that are taken, and those that get silence.
var notificationCases = []conform.Case[*Bench]{
	{
		Name: "notification-taken", Clause: "4, acknowledgement, and the table of keys",
		Says: "a notification of a new epoch is acknowledged with status 0 and a MAC under its EUKey, bound to the gateway and the hello",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ask(ctx, t)
			b.newSet()
			d := b.deliver(ctx, t, 1)
			same(t, "an acknowledgement", d.ack.raw,
				wire.Acknowledgement(b.set.key(1), wire.Hash(d.hello), b.Entity, b.set.gateway, b.set.epoch, 1, wire.TypeNotification))
		},
	},
	{
		Name: "notification-in-time", Clause: "5: the first wait",
		Says: "notification, challenge and update are answered within the gateway's first wait",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			limit := b.Carrier.Retry()
			if b.hello.X25519 != nil {
				limit = max(limit, x25519Wait)
			}
			b.within(ctx, t, "notification", b.sealed(t, b.set.index+1).Bytes(), limit, isAck)
			b.set.index++
			c := &challenge{randGW: random(16)}
			response := b.within(ctx, t, "auth-challenge", wire.AuthChallenge(b.Entity, b.set.gateway, c.randGW), b.Carrier.Retry(), isResponse)
			c.randPNE = response.Nonce
			b.within(ctx, t, "eukey-update", b.next(c), b.Carrier.Retry(), isAck)
		},
	},
	{
		Name: "notification-repeat", Clause: notificationClause,
		Says: "the same bytes as those taken last get the same acknowledgement",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			d := b.deliver(ctx, t, b.set.index+1)
			for range 2 {
				h := b.exchange(ctx, t, "the same notification", d.msg, "the same acknowledgement", isAck)
				same(t, "the same acknowledgement", h.raw, d.ack.raw)
			}
		},
	},
	{
		Name: "notification-repeat-late", Clause: "4, What a PNE does: a repeat",
		Says: "the same bytes get the same acknowledgement also after a new hello and a challenge",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			d := b.deliver(ctx, t, b.set.index+1)
			b.ask(ctx, t)
			b.challenged(ctx, t)
			h := b.exchange(ctx, t, "the same notification", d.msg, "the same acknowledgement", isAck)
			same(t, "the same acknowledgement", h.raw, d.ack.raw)
		},
	},
	{
		Name: "notification-forgotten", Clause: "4, What a PNE does: a repeat",
		Says: "a notification is no repeat any more once an update has been taken: its hello is spent, it gets silence",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			d := b.deliver(ctx, t, b.set.index+1)
			c := b.challenged(ctx, t)
			b.take(ctx, t, "eukey-update that leaves it on its key", b.stay(c), b.set.index)
			b.say(ctx, t, "the notification before", d.msg)
			b.await(ctx, t, quiet, "silence after a notification from before the update", nothing)
		},
	},
	{
		Name: "notification-spent", Clause: notificationClause + ": the hello is spent",
		Says: "a second notification for a hello that has earned its key gets silence",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			second := b.sealed(t, b.set.index+2).Bytes()
			b.deliver(ctx, t, b.set.index+1)
			b.say(ctx, t, "another notification for the same hello", second)
			b.await(ctx, t, quiet, "silence after a second notification for one hello", nothing)
		},
	},
	{
		Name: "notification-skip", Clause: notificationClause,
		Says: "a notification of the same epoch may skip keys, up to the last of 1024, where H leads back to the key held",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ask(ctx, t)
			b.newSet()
			for _, index := range []uint64{1, 4, setLength} {
				b.deliver(ctx, t, index)
				b.ask(ctx, t)
			}
		},
	},
	{
		Name: "notification-longest", Clause: "4: what a PNE has to read is at most 247 bytes long; 1: IDs of 1 to 64 bytes",
		Says: "a notification from a gateway whose ID has 64 bytes is taken, and one from a gateway whose ID has 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			for _, g := range []string{strings.Repeat("~", 64), "!"} {
				b.ask(ctx, t)
				b.newSet()
				b.set.gateway = g
				b.deliver(ctx, t, 1000)
			}
		},
	},
	{
		Name: "notification-new-gateway", Clause: notificationClause + ": it stores epoch, index, key and g",
		Says: "a notification of a higher epoch from another gateway is taken, and from then on that gateway's challenges are answered, not those of the one before",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			before := b.set.gateway
			b.newSet()
			b.set.gateway = "another-gateway"
			b.deliver(ctx, t, 1)
			b.challenged(ctx, t)
			b.ignored(ctx, t, "a challenge from the gateway before", wire.AuthChallenge(b.Entity, before, random(16)))
		},
	},
	{
		Name: "notification-ends-challenge", Clause: notificationClause + ": it also closes the open challenge",
		Says: "an update under a challenge from before the notification gets silence",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			c := b.challenged(ctx, t)
			b.deliver(ctx, t, b.set.index+1)
			b.ignored(ctx, t, "an update under the challenge before", b.next(c))
		},
	},
	{
		Name: "notification-for-another", Clause: notificationClause + ": another e: silence",
		Says: "a notification for another Entity ID gets silence",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n, z := b.notification(t, b.set.index+1)
			n.E = another(b.Entity)
			n.Seal(b.TK, z, wire.Hash(b.hello.Raw), b.set.key(b.set.index+1))
			b.ignored(ctx, t, "a notification for another", n.Bytes())
		},
	},
}

// Notifications that are answered by a status, and change nothing.
var refusalCases = []conform.Case[*Bench]{
	{
		Name: "notification-wrong-tk", Clause: notificationClause + ": status 1",
		Says: "a notification under another TK is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n, z := b.notification(t, b.set.index+1)
			n.Seal(random(len(b.TK)), z, wire.Hash(b.hello.Raw), b.set.key(b.set.index+1))
			b.refused(ctx, t, "a notification under another TK", n.Bytes(), 1)
		},
	},
	{
		Name: "refusal-bytes", Clause: "4, What a PNE does: a status other than 0",
		Says: "a refusal is the one right encoding, with the epoch and index that were offered, and null",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n, z := b.notification(t, 7)
			n.Epoch += 3
			n.Seal(random(len(b.TK)), z, wire.Hash(b.hello.Raw), random(32))
			h := b.exchange(ctx, t, "a notification under another TK", n.Bytes(), "a refusal", isAck)
			same(t, "a refusal", h.raw, wire.Refusal(b.Entity, h.Status, n.Epoch, 7))
		},
	},
	{
		Name: "notification-bound", Clause: "4, the table of keys: external_aad",
		Says: "a notification whose gateway ID, epoch or index were changed on the way is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for _, change := range []struct {
				what string
				make func(n *wire.Notification)
			}{
				{"gateway ID", func(n *wire.Notification) { n.G += "x" }},
				{"epoch", func(n *wire.Notification) { n.Epoch++ }},
				{"index", func(n *wire.Notification) { n.Index++ }},
			} {
				n := b.sealed(t, b.set.index+1)
				change.make(n)
				b.refused(ctx, t, "a notification whose "+change.what+" was changed", n.Bytes(), 1)
			}
		},
	},
	{
		Name: "notification-older-hello", Clause: notificationClause + ": does not open in answer to the latest hello",
		Says: "a notification that answers an earlier hello is refused with status 1, also where that was not spent by another",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			older := *b.hello
			b.deliver(ctx, t, b.set.index+1)
			b.ask(ctx, t)
			n, _ := b.notification(t, b.set.index+1)
			var z []byte
			if older.X25519 != nil {
				private := newPair(t)
				latest := b.hello
				b.hello = &older
				n.X25519, z = private.PublicKey().Bytes(), b.secret(t, private)
				b.hello = latest
			}
			n.Seal(b.TK, z, wire.Hash(older.Raw), b.set.key(b.set.index+1))
			b.refused(ctx, t, "a notification for the hello before", n.Bytes(), 1)
		},
	},
	{
		Name: "notification-replay", Clause: notificationClause,
		Says: "a recorded notification, that was taken once, is refused with status 1 when another has been taken since",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			recorded := b.deliver(ctx, t, b.set.index+1)
			b.ask(ctx, t)
			b.deliver(ctx, t, b.set.index+1)
			b.ask(ctx, t)
			b.refused(ctx, t, "a recorded notification", recorded.msg, 1)
		},
	},
	{
		Name: "notification-key-size", Clause: notificationClause + ": plaintext not of 32 bytes: status 1",
		Says: "a notification with a key of another size is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for _, size := range []int{31, 33, 0, 16, 48} {
				n, z := b.notification(t, b.set.index+1)
				key := append(append([]byte(nil), b.set.key(b.set.index+1)...), random(16)...)[:size]
				n.Seal(b.TK, z, wire.Hash(b.hello.Raw), key)
				b.refused(ctx, t, fmt.Sprintf("a notification with a key of %d bytes", size), n.Bytes(), 1)
			}
		},
	},
	{
		Name: "notification-stale-epoch", Clause: notificationClause + ": status 2",
		Says: "a notification of an epoch below the one held is refused with status 2",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.newSet()
			b.newSet() // so that there is one below
			b.deliver(ctx, t, 1)
			b.ask(ctx, t)
			n, z := b.notification(t, 900)
			n.Epoch--
			n.Seal(b.TK, z, wire.Hash(b.hello.Raw), random(32))
			b.refused(ctx, t, "a notification of the epoch before", n.Bytes(), 2)
		},
	},
	{
		Name: "notification-stale-index", Clause: notificationClause + ": status 2",
		Says: "a notification of the epoch held with an index not above the one held is refused with status 2",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.deliver(ctx, t, b.set.index+1)
			b.ask(ctx, t)
			for _, index := range []uint64{b.set.index, b.set.index - 1} {
				b.refused(ctx, t, fmt.Sprintf("a notification of index %d, where %d is held", index, b.set.index), b.sealed(t, index).Bytes(), 2)
			}
		},
	},
	{
		Name: "notification-chain", Clause: notificationClause + ": status 3",
		Says: "a notification of the epoch held whose key does not lead back to the one held is refused with status 3",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			for step := range uint64(3) {
				index := b.set.index + 1 + step
				n, z := b.notification(t, index)
				n.Seal(b.TK, z, wire.Hash(b.hello.Raw), random(32))
				b.refused(ctx, t, fmt.Sprintf("a notification of index %d with a key of another chain", index), n.Bytes(), 3)
			}
			// The right chain, and one step too many or too few.
			n, z := b.notification(t, b.set.index+2)
			n.Seal(b.TK, z, wire.Hash(b.hello.Raw), b.set.key(b.set.index+3))
			b.refused(ctx, t, "a notification with the key of the index after its own", n.Bytes(), 3)
		},
	},
	{
		Name: "notification-after-refusal", Clause: notificationClause + ": it is spent by one that is taken",
		Says: "refusals do not spend the hello: a good notification for it is taken after them",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			good := b.sealed(t, b.set.index+1).Bytes()
			n, z := b.notification(t, b.set.index+1)
			n.Seal(random(len(b.TK)), z, wire.Hash(b.hello.Raw), b.set.key(b.set.index+1))
			b.exchange(ctx, t, "a notification under another TK", n.Bytes(), "a refusal", isAck)
			b.exchange(ctx, t, "a stale notification", b.sealed(t, b.set.index).Bytes(), "a refusal", isAck)
			h := b.exchange(ctx, t, "a good notification", good, "an acknowledgement", isAck)
			if h.Status != 0 {
				t.Fail("status 0 for a good notification after refused ones", h.String())
			}
			b.set.index++
		},
	},
	{
		Name: "refusal-changes-nothing", Clause: "before 1: it changes no state before every check has passed",
		Says: "after refusals the device holds, and proves, what it held",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			n, z := b.notification(t, b.set.index+1)
			n.Seal(b.TK, z, wire.Hash(b.hello.Raw), random(32))
			b.exchange(ctx, t, "a notification with a key of another chain", n.Bytes(), "a refusal", isAck)
			n, z = b.notification(t, 1)
			n.Epoch += 5
			n.Seal(random(len(b.TK)), z, wire.Hash(b.hello.Raw), random(32))
			b.exchange(ctx, t, "a notification of a higher epoch under another TK", n.Bytes(), "a refusal", isAck)
			epoch, index := b.set.epoch, b.set.index
			if h := b.ask(ctx, t); h.Epoch != epoch || h.Index != index {
				t.Fail(fmt.Sprintf("still epoch %d, index %d", epoch, index), h.String())
			}
			b.proves(ctx, t)
		},
	},
}

// another is an Entity ID as long as e, and not e.
func another(e string) string {
	last := e[len(e)-1]
	if last == 'x' {
		return e[:len(e)-1] + "y"
	}
	return e[:len(e)-1] + "x"
}
