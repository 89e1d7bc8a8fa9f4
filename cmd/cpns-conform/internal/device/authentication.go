package device

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

const (
	challengeClause = "4, What a PNE does, Auth-challenge"
	updateClause    = "4, What a PNE does, Eukey-update"
)

// auth-challenge -> auth-response
var challengeCases = []conform.Case[*Bench]{
	{
		Name: "challenge-answered", Clause: "4, auth-response, and the table of keys",
		Says: "a challenge from the gateway whose EUKey is held is answered, with a MAC under that key",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			b.proves(ctx, t)
		},
	},
	{
		Name: "challenge-repeat", Clause: challengeClause,
		Says: "the same challenge while it is open gets the same response",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			h := b.exchange(ctx, t, "the same challenge", c.msg, "the same response", isResponse)
			same(t, "the same response", h.raw, c.response.raw)
		},
	},
	{
		Name: "challenge-fresh", Clause: challengeClause + ": else a fresh rand-pne",
		Says: "another challenge gets another rand-pne",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			first := b.challenged(ctx, t)
			second := b.challenged(ctx, t)
			if bytes.Equal(first.randPNE, second.randPNE) {
				t.Fail("a fresh rand-pne", "again "+short(first.randPNE))
			}
		},
	},
	{
		Name: "challenge-again", Clause: challengeClause + ": the same bytes as the one answered last, while that is open",
		Says: "a challenge that was closed by its update, said again, is a new one, with a fresh rand-pne",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			b.take(ctx, t, "eukey-update that leaves it on its key", b.stay(c), b.set.index)
			h := b.exchange(ctx, t, "the challenge from before the update", c.msg, "an auth-response", isResponse)
			if bytes.Equal(h.Nonce, c.randPNE) {
				t.Fail("a fresh rand-pne, the challenge having been closed", "the same "+short(h.Nonce))
			}
		},
	},
	{
		Name: "challenge-wrong-gateway", Clause: challengeClause + ": from another g than the record's: silence",
		Says: "a challenge from another gateway gets silence",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			for _, g := range []string{"another", b.Gateway + "x", b.Gateway[:len(b.Gateway)-1]} {
				if g != "" {
					b.ignored(ctx, t, "a challenge from "+g, wire.AuthChallenge(b.Entity, g, random(16)))
				}
			}
		},
	},
	{
		Name: "challenge-for-another", Clause: challengeClause,
		Says: "a challenge for another Entity ID gets silence",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			b.ignored(ctx, t, "a challenge for another", wire.AuthChallenge(another(b.Entity), b.set.gateway, random(16)))
		},
	},
	{
		Name: "challenge-undisturbed", Clause: challengeClause,
		Says: "an open challenge stays open through another gateway's challenge, a hello, and a notification that is refused",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			c := b.challenged(ctx, t)
			b.say(ctx, t, "a challenge from another gateway", wire.AuthChallenge(b.Entity, "another", random(16)))
			n, z := b.notification(t, b.set.index+1)
			n.Seal(random(len(b.TK)), z, wire.Hash(b.hello.Raw), random(32))
			b.exchange(ctx, t, "a notification under another TK", n.Bytes(), "a refusal", isAck)
			b.ask(ctx, t)
			b.take(ctx, t, "the update under the open challenge", b.next(c), b.set.index+1)
		},
	},
	{
		Name: "challenge-replaced", Clause: challengeClause + ": this challenge is now the open one",
		Says: "an update under a challenge that another has replaced is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			first := b.challenged(ctx, t)
			b.challenged(ctx, t)
			b.refused(ctx, t, "an update under the challenge before", b.next(first), 1)
		},
	},
}

// eukey-update -> acknowledgement
var updateCases = []conform.Case[*Bench]{
	{
		Name: "update-taken", Clause: "4, acknowledgement, and the table of keys",
		Says: "the next EUKey is acknowledged with status 0 and a MAC under it, bound to the gateway and both randoms",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			index := b.set.index + 1
			h := b.take(ctx, t, "eukey-update", b.next(c), index)
			same(t, "an acknowledgement", h.raw,
				wire.Acknowledgement(b.set.key(index), c.context(), b.Entity, b.set.gateway, b.set.epoch, index, wire.TypeEUKeyUpdate))
		},
	},
	{
		Name: "update-moves", Clause: updateClause + ": else stored",
		Says: "after an update the device holds, and proves, the next EUKey",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			epoch, index := b.set.epoch, b.set.index+1
			b.take(ctx, t, "eukey-update", b.next(c), index)
			b.ask(ctx, t)
			if b.set.index != index {
				t.Fail(fmt.Sprintf("epoch %d, index %d in the next hello", epoch, index), fmt.Sprintf("epoch %d, index %d", b.hello.Epoch, b.hello.Index))
			}
			b.proves(ctx, t)
		},
	},
	{
		Name: "update-stay", Clause: "4, the table of keys: or empty, index = the one held",
		Says: "an update without a key is acknowledged under the EUKey that is held, and leaves it",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			index := b.set.index
			h := b.exchange(ctx, t, "eukey-update without a key", b.stay(c), "an acknowledgement", isAck)
			same(t, "an acknowledgement", h.raw,
				wire.Acknowledgement(b.set.key(index), c.context(), b.Entity, b.set.gateway, b.set.epoch, index, wire.TypeEUKeyUpdate))
			b.proves(ctx, t)
		},
	},
	{
		Name: "update-used-up", Clause: "4, the table of keys: where the PNE stays on its key (set used up, or no step is due)",
		Says: "at the last of 1024 keys the device is authenticated, and takes none beyond",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ask(ctx, t)
			b.newSet()
			b.deliver(ctx, t, setLength)
			c := b.challenged(ctx, t)
			b.ignored(ctx, t, "an update of index 1025", b.update(c, setLength+1, random(32)))
			b.take(ctx, t, "eukey-update without a key", b.stay(c), setLength)
		},
	},
	{
		Name: "update-repeat", Clause: updateClause,
		Says: "the same bytes as the update taken last get the same acknowledgement, and nothing is done twice",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			msg := b.next(c)
			first := b.take(ctx, t, "eukey-update", msg, b.set.index+1)
			h := b.exchange(ctx, t, "the same update", msg, "the same acknowledgement", isAck)
			same(t, "the same acknowledgement", h.raw, first.raw)
		},
	},
	{
		Name: "update-unasked", Clause: updateClause + ": no open challenge: silence",
		Says: "a second update under one challenge gets silence, though it would open",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			b.take(ctx, t, "eukey-update", b.next(c), b.set.index+1)
			b.ignored(ctx, t, "a second update under the same challenge", b.next(c))
			c = b.challenged(ctx, t)
			b.take(ctx, t, "eukey-update without a key", b.stay(c), b.set.index)
			b.ignored(ctx, t, "an update with a key under the same challenge", b.next(c))
		},
	},
	{
		Name: "update-wrong-key", Clause: updateClause + ": does not open: 1",
		Says: "an update under another TK, another EUKey or other randoms is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			held, next := b.set.key(b.set.index), b.set.key(b.set.index+1)
			for _, wrong := range []struct {
				what                      string
				tk, held, randGW, randPNE []byte
			}{
				{"TK", random(len(b.TK)), held, c.randGW, c.randPNE},
				{"EUKey", b.TK, random(32), c.randGW, c.randPNE},
				{"rand-gw", b.TK, held, random(16), c.randPNE},
				{"rand-pne", b.TK, held, c.randGW, random(16)},
			} {
				u := &wire.EUKeyUpdate{E: b.Entity, Epoch: b.set.epoch, Index: b.set.index + 1, IV: random(12)}
				u.Seal(wrong.tk, wrong.held, b.set.gateway, wrong.randGW, wrong.randPNE, next)
				b.refused(ctx, t, "an update under another "+wrong.what, u.Bytes(), 1)
			}
		},
	},
	{
		Name: "update-wrong-gateway", Clause: "4, the table of keys: external_aad",
		Says: "an update made in another gateway's name, or whose epoch or index were changed, is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			held, next := b.set.key(b.set.index), b.set.key(b.set.index+1)
			u := &wire.EUKeyUpdate{E: b.Entity, Epoch: b.set.epoch, Index: b.set.index + 1, IV: random(12)}
			u.Seal(b.TK, held, "another", c.randGW, c.randPNE, next)
			b.refused(ctx, t, "an update by another gateway", u.Bytes(), 1)
			u.Seal(b.TK, held, b.set.gateway, c.randGW, c.randPNE, next)
			u.Index++
			b.refused(ctx, t, "an update whose index was changed", u.Bytes(), 1)
		},
	},
	{
		Name: "update-replay", Clause: updateClause,
		Says: "a recorded update under a later challenge is refused with status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			recorded := b.next(c)
			b.take(ctx, t, "eukey-update", recorded, b.set.index+1)
			c = b.challenged(ctx, t)
			b.take(ctx, t, "eukey-update without a key", b.stay(c), b.set.index)
			b.challenged(ctx, t)
			b.refused(ctx, t, "a recorded update", recorded, 1)
		},
	},
	{
		Name: "update-stale", Clause: updateClause + ": status 2",
		Says: "an update of another epoch, or that is neither the next key nor staying, is refused with status 2",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			i := b.set.index
			b.refused(ctx, t, "an update with the key that is held", b.update(c, i, b.set.key(i)), 2)
			b.refused(ctx, t, "an update with the key after the next", b.update(c, i+2, b.set.key(i+2)), 2)
			b.refused(ctx, t, "an update without a key, of the next index", b.update(c, i+1, nil), 2)
			u := &wire.EUKeyUpdate{E: b.Entity, Epoch: b.set.epoch + 1, Index: i + 1, IV: random(12)}
			u.Seal(b.TK, b.set.key(i), b.set.gateway, c.randGW, c.randPNE, b.set.key(i+1))
			b.refused(ctx, t, "an update of another epoch", u.Bytes(), 2)
		},
	},
	{
		Name: "update-key-size", Clause: updateClause + ": neither (32 bytes, index = held + 1) nor (empty, index = held): 2",
		Says: "an update with a key of another size is refused with status 2",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			i := b.set.index + 1
			for _, size := range []int{1, 31, 33, 64} {
				key := append(append([]byte(nil), b.set.key(i)...), random(32)...)[:size]
				b.refused(ctx, t, fmt.Sprintf("an update with a key of %d bytes", size), b.update(c, i, key), 2)
			}
		},
	},
	{
		Name: "update-chain", Clause: updateClause + ": status 3",
		Says: "an update whose key is not the one before the held one's hash is refused with status 3",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			b.refused(ctx, t, "an update with a key of another chain", b.update(c, b.set.index+1, random(32)), 3)
			b.refused(ctx, t, "an update with the key after the next in its place", b.update(c, b.set.index+1, b.set.key(b.set.index+2)), 3)
		},
	},
	{
		Name: "update-after-refusal", Clause: updateClause + ": the challenge is closed when one is stored",
		Says: "a refused update leaves the challenge open: a good one is taken after it",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			b.exchange(ctx, t, "an update with a key of another chain", b.update(c, b.set.index+1, random(32)), "a refusal", isAck)
			b.take(ctx, t, "a good update", b.next(c), b.set.index+1)
		},
	},
	{
		Name: "update-for-another", Clause: updateClause,
		Says: "an update for another Entity ID gets silence",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			u := &wire.EUKeyUpdate{E: another(b.Entity), Epoch: b.set.epoch, Index: b.set.index + 1, IV: random(12)}
			u.Seal(b.TK, b.set.key(b.set.index), b.set.gateway, c.randGW, c.randPNE, b.set.key(b.set.index+1))
			b.ignored(ctx, t, "an update for another", u.Bytes())
		},
	},
}

// proves has the device prove the key that the kit thinks it holds, byte for byte.
func (b *Bench) proves(ctx context.Context, t *conform.T) {
	c := b.challenged(ctx, t)
	same(t, "an auth-response", c.response.raw,
		wire.AuthResponse(b.set.key(b.set.index), b.Entity, b.set.gateway, c.randGW, c.randPNE, b.set.epoch, b.set.index))
}

// within sends a message whose answer has to come within limit. It sends it once.
func (b *Bench) within(ctx context.Context, t *conform.T, what string, msg []byte, limit time.Duration, want func(*heard) bool) *heard {
	expected := fmt.Sprintf("an answer to a %s within %v", what, limit)
	b.say(ctx, t, what, msg)
	sent := time.Now()
	var h *heard
	stall := stalled(func() { h = b.await(ctx, t, limit+answerWait, expected, want) })
	switch {
	case h == nil:
		t.Fail(expected, b.nothing())
	case h.at.Sub(sent) <= limit:
	case stalledFor(stall, limit):
		t.Undecided("this machine is too busy to tell: it stood still for %v; the answer took %v", stall, h.at.Sub(sent))
	default:
		t.Fail(expected, "one after "+h.at.Sub(sent).String())
	}
	return h
}
