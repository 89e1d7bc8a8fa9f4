package device

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

const (
	// answerWait is how long a step waits for an answer before it says the same again,
	// once. That an answer comes in time is a case of its own.
	answerWait = 3 * time.Second

	// settle is how long nothing may follow where a device has to be silent. What comes
	// first is an answer to an identify that was sent behind the message in question:
	// a device that takes one after the other has finished with it by then.
	settle = 60 * time.Millisecond

	// quiet is how long nothing may come where the answer would be a hello, so that no
	// identify can be sent behind it.
	quiet = 500 * time.Millisecond

	// day is one in minutes, as epochs count.
	day = 24 * 60

	// linkWait is how long a link that went down may take to come back.
	linkWait = 5 * time.Second

	// setLength is how many EUKeys the kit's sets have: the most that a set has.
	setLength = 1024
)

// begin forgets what came in before the case, and what the device holds where the case
// before did not come to its end: then some of its answers may still be on their way.
func (b *Bench) begin(ctx context.Context, t *conform.T) {
	if !b.clean {
		b.set = keySet{}
		sleep.For(ctx, settle)
	}
	b.clean = false
	if err := b.WaitUp(ctx, linkWait); err != nil && ctx.Err() == nil {
		t.Undecided("the link is down: %v", err)
	}
	b.drain(t)
}

func (b *Bench) drain(t *conform.T) {
	for {
		select {
		case a := <-b.in:
			b.note(t, a)
		default:
			return
		}
	}
}

// await waits for a message that want takes. Hellos are let pass: a device may say one
// at any time. Everything else fails the case.
func (b *Bench) await(ctx context.Context, t *conform.T, wait time.Duration, expected string, want func(*heard) bool) *heard {
	until := time.Now().Add(wait)
	for {
		h := b.hear(ctx, t, time.Until(until))
		switch {
		case h == nil:
			return nil
		case want(h):
			return h
		case !isHello(h):
			t.Fail(expected, h.String())
		}
	}
}

// exchange sends a message and returns its answer. It sends the same again once: a line
// may have garbled it.
func (b *Bench) exchange(ctx context.Context, t *conform.T, what string, msg []byte, expected string, want func(*heard) bool) *heard {
	for range 2 {
		b.say(ctx, t, what, msg)
		if h := b.await(ctx, t, answerWait, expected, want); h != nil {
			return h
		}
	}
	t.Fail(expected, b.nothing()+", though it was sent twice")
	return nil
}

func isHello(h *heard) bool    { return h.readable && h.Type == wire.TypeHello }
func isAck(h *heard) bool      { return h.readable && h.Type == wire.TypeAcknowledgement }
func isResponse(h *heard) bool { return h.readable && h.Type == wire.TypeAuthResponse }
func nothing(*heard) bool      { return false }

// ask has the device say hello, and returns that: the same as before, or a new one.
func (b *Bench) ask(ctx context.Context, t *conform.T) *heard {
	tries, wait := 3, 2*time.Second
	if b.deaf {
		tries, wait = 1, time.Second
	}
	const expected = "a hello, in answer to an identify with its Entity ID"
	for range tries {
		b.say(ctx, t, "identify", wire.Identify(b.Entity))
		if h := b.await(ctx, t, wait, expected, isHello); h != nil {
			b.deaf = false
			b.keepUp(h.Heard)
			return h
		}
	}
	if b.deaf {
		t.Undecided("the device does not answer an identify")
	}
	b.deaf = true
	t.Fail(expected, b.nothing())
	return nil
}

// keepUp believes a hello about which key of b.set the device holds.
func (b *Bench) keepUp(h *wire.Heard) {
	if h.Epoch < 1<<32-1 {
		b.top = max(b.top, h.Epoch)
	}
	b.set.index = 0
	if b.set.keys != nil && h.Epoch == b.set.epoch && h.Index <= setLength {
		b.set.index = h.Index
	}
}

// newSet makes up EUKeys, none of which the device holds.
func (b *Bench) newSet() {
	b.top = max(b.top+1, b.firstEpoch())
	b.set = keySet{gateway: b.Gateway, epoch: b.top, keys: wire.Chain(random(32), setLength)}
}

// firstEpoch is the lowest epoch that the kit gives: the minutes since 2020-01-01 as a
// server has them, but a day back, so that a server's next assignment is above all that
// the kit gives out.
func (b *Bench) firstEpoch() uint64 {
	return uint64(max(1, time.Since(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))/time.Minute-day))
}

// notification is one in answer to the latest hello, not yet sealed, and the shared
// secret that goes with it.
func (b *Bench) notification(t *conform.T, index uint64) (n *wire.Notification, z []byte) {
	n = &wire.Notification{E: b.Entity, G: b.set.gateway, Epoch: b.set.epoch, Index: index, IV: random(12)}
	if b.hello.X25519 != nil {
		private := newPair(t)
		n.X25519, z = private.PublicKey().Bytes(), b.secret(t, private)
	}
	return n, z
}

// sealed is a notification in answer to the latest hello, with EUKey_index of b.set.
func (b *Bench) sealed(t *conform.T, index uint64) *wire.Notification {
	n, z := b.notification(t, index)
	n.Seal(b.TK, z, wire.Hash(b.hello.Raw), b.set.key(index))
	return n
}

func newPair(t *conform.T) *ecdh.PrivateKey {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Undecided("X25519: %v", err)
	}
	return private
}

// secret is what the latest hello's public key and private make.
func (b *Bench) secret(t *conform.T, private *ecdh.PrivateKey) []byte {
	const expected = "a public key in the hello, 32 bytes, whose shared secret is not zero"
	public, err := ecdh.X25519().NewPublicKey(b.hello.X25519)
	if err != nil {
		t.Fail(expected, err.Error())
	}
	z, err := private.ECDH(public)
	if err != nil {
		t.Fail(expected, short(b.hello.X25519))
	}
	return z
}

// A delivery is a notification that was taken.
type delivery struct {
	msg, hello []byte
	ack        *heard
}

// deliver gives the device EUKey_index of b.set, whatever the acknowledgement's MAC.
func (b *Bench) deliver(ctx context.Context, t *conform.T, index uint64) *delivery {
	again, step := false, uint64(64)
	for {
		hello, msg := b.hello, b.sealed(t, index).Bytes()
		ack := b.exchange(ctx, t, fmt.Sprintf("notification, epoch %d, index %d", b.set.epoch, index), msg, "an acknowledgement", isAck)
		switch {
		case ack.Status == 0:
			b.set.index, b.opened = index, true
			return &delivery{msg, hello.Raw, ack}
		case ack.Status == 1 && !again && b.hello != hello:
			again = true // the device has said a hello of its own meanwhile
			continue
		case ack.Status == 2 && hello.Epoch == 0 && b.set.epoch < b.firstEpoch()+2*day:
			// It holds nothing, and knows of a higher epoch: from an earlier run, or of a
			// server's. It is looked for in steps, to leave room for a server's next.
			b.top += step
			step *= 2
			b.newSet()
			continue
		}
		t.Fail("an acknowledgement with status 0", ack.String())
	}
}

// held sees to it that the device holds a key of the kit's own name, that more can
// follow it, and that no hello comes unasked. The latest hello may be spent.
func (b *Bench) held(ctx context.Context, t *conform.T) {
	b.ask(ctx, t)
	if b.set.index == 0 || b.set.index+8 > setLength || b.set.gateway != b.Gateway {
		b.newSet()
		b.deliver(ctx, t, 1)
	} else if !b.opened {
		b.deliver(ctx, t, b.set.index+1)
	}
}

// ready is held, and a hello that is not spent.
func (b *Bench) ready(ctx context.Context, t *conform.T) {
	b.held(ctx, t)
	b.ask(ctx, t)
}

// refused sends a notification or an update that has to be refused with status.
func (b *Bench) refused(ctx context.Context, t *conform.T, what string, msg []byte, status uint64) *heard {
	expected := fmt.Sprintf("an acknowledgement with status %d, of %s", status, what)
	ack := b.exchange(ctx, t, what, msg, expected, isAck)
	if ack.Status != status {
		t.Fail(expected, ack.String())
	}
	return ack
}

// ignored sends a message that has to be answered by silence.
func (b *Bench) ignored(ctx context.Context, t *conform.T, what string, msg []byte) {
	b.say(ctx, t, what, msg)
	b.silent(ctx, t, what)
}

// silent fails the case where the device answers what was sent before.
func (b *Bench) silent(ctx context.Context, t *conform.T, after string) {
	expected := "silence after " + after
	for again := false; ; again = true {
		b.say(ctx, t, "identify", wire.Identify(b.Entity))
		if b.await(ctx, t, answerWait, expected, isHello) != nil {
			break
		}
		if again {
			t.Fail(expected+", and a hello in answer to the identify behind it", b.nothing()+", to the identify neither")
		}
	}
	b.await(ctx, t, settle, expected, nothing)
}

// unheard sends messages that have to be answered by silence, where the answer would be
// a hello.
func (b *Bench) unheard(ctx context.Context, t *conform.T, messages ...named) {
	b.drain(t)
	for _, m := range messages {
		b.say(ctx, t, m.what, m.msg)
	}
	if h := b.hear(ctx, t, quiet); h != nil {
		what := messages[0].what
		for _, m := range messages[1:] {
			what += ", or " + m.what
		}
		t.Fail("silence after "+what, h.String())
	}
}

// A named is a message and what it is.
type named struct {
	what string
	msg  []byte
}

// A challenge is one that was answered.
type challenge struct {
	msg, randGW, randPNE []byte
	response             *heard
}

// challenged has the device prove its key, whatever the MAC.
func (b *Bench) challenged(ctx context.Context, t *conform.T) *challenge {
	c := &challenge{randGW: random(16)}
	c.msg = wire.AuthChallenge(b.Entity, b.set.gateway, c.randGW)
	c.response = b.exchange(ctx, t, "auth-challenge", c.msg, "an auth-response", isResponse)
	c.randPNE = c.response.Nonce
	return c
}

// context is what an acknowledgement of its update is bound to.
func (c *challenge) context() []byte { return append(bytes.Clone(c.randGW), c.randPNE...) }

// update is an eukey-update under c, sealed under the key that the device holds.
func (b *Bench) update(c *challenge, index uint64, plaintext []byte) []byte {
	u := &wire.EUKeyUpdate{E: b.Entity, Epoch: b.set.epoch, Index: index, IV: random(12)}
	u.Seal(b.TK, b.set.key(b.set.index), b.set.gateway, c.randGW, c.randPNE, plaintext)
	return u.Bytes()
}

// next is the update with the next EUKey.
func (b *Bench) next(c *challenge) []byte {
	return b.update(c, b.set.index+1, b.set.key(b.set.index+1))
}

// stay is the update that leaves the device on its key.
func (b *Bench) stay(c *challenge) []byte { return b.update(c, b.set.index, nil) }

// take sends an update that has to be taken, whatever the acknowledgement's MAC.
func (b *Bench) take(ctx context.Context, t *conform.T, what string, msg []byte, index uint64) *heard {
	ack := b.refused(ctx, t, what, msg, 0)
	b.set.index, b.opened = index, true
	return ack
}

// same fails the case where got is not byte for byte what it has to be.
func same(t *conform.T, what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		t.Fail(fmt.Sprintf("%s of these %d bytes: %x", what, len(want), want), fmt.Sprintf("%d bytes: %x", len(got), got))
	}
}
