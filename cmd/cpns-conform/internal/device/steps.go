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
)

const (
	// answerWait is how long a step waits for an answer before it says the same again,
	// once. That an answer comes in time is a case of its own.
	answerWait = 3 * time.Second

	// settle is how long nothing may follow where a device has to be silent. What comes
	// first is an answer to an identify that was sent behind the message in question:
	// a device that takes one after the other has finished with it by then.
	settle = 60 * time.Millisecond

	// setLength is how many EUKeys the kit's sets have: the most that a set has.
	setLength = 1024
)

// begin forgets what came in before the case.
func (b *Bench) begin(t *conform.T) {
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
		case h.readable && h.Type == wire.TypeHello:
		default:
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
	t.Fail(expected, "nothing, though it was sent twice")
	return nil
}

func isHello(h *heard) bool { return h.readable && h.Type == wire.TypeHello }

func isAck(h *heard) bool { return h.readable && h.Type == wire.TypeAcknowledgement }

func isResponse(h *heard) bool { return h.readable && h.Type == wire.TypeAuthResponse }

// ask has the device say hello, and returns that: the same as before, or a new one.
func (b *Bench) ask(ctx context.Context, t *conform.T) *wire.Heard {
	tries, wait := 3, 2*time.Second
	if b.deaf {
		tries, wait = 1, time.Second
	}
	const expected = "a hello, in answer to an identify with its Entity ID"
	for range tries {
		b.say(ctx, t, "identify", wire.Identify(b.Entity))
		if h := b.await(ctx, t, wait, expected, isHello); h != nil {
			b.deaf = false
			return h.Heard
		}
	}
	if b.deaf {
		t.Undecided("the device says nothing")
	}
	b.deaf = true
	t.Fail(expected, "nothing")
	return nil
}

// fresh is a hello that is not spent, and that holds what the kit thinks: b.set.index is
// 0 afterwards where the device holds no key of b.set.
func (b *Bench) fresh(ctx context.Context, t *conform.T) *wire.Heard {
	h := b.ask(ctx, t)
	b.top = max(b.top, h.Epoch)
	if b.set.keys == nil || h.Epoch != b.set.epoch || h.Index > setLength {
		b.set.index = 0
	} else {
		b.set.index = h.Index
	}
	return h
}

// newSet makes up EUKeys that the device has none of.
func (b *Bench) newSet() {
	b.top++
	b.set = keySet{gateway: b.Gateway, epoch: max(b.top, b.firstEpoch()), keys: wire.Chain(random(32), setLength)}
	b.top = b.set.epoch
}

// firstEpoch is the lowest epoch that the kit gives: some of the minutes since
// 2020-01-01, as a server does, but a day back, so that the next assignment of a server
// is above all that the kit gives out.
func (b *Bench) firstEpoch() uint64 {
	return uint64(max(1, time.Since(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))/time.Minute-24*60))
}

// notification is one for the latest hello, with EUKey_index of b.set, sealed; z goes
// with it.
func (b *Bench) notification(t *conform.T, index uint64) *wire.Notification {
	n := &wire.Notification{E: b.Entity, G: b.set.gateway, Epoch: b.set.epoch, Index: index, IV: random(12)}
	n.Seal(b.TK, b.share(t, n), wire.Hash(b.hello.Raw), b.set.key(index))
	return n
}

// share gives n a public key where the latest hello has one, and returns the shared
// secret: nothing where it has none.
func (b *Bench) share(t *conform.T, n *wire.Notification) []byte {
	if b.hello.X25519 == nil {
		return nil
	}
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Undecided("X25519: %v", err)
	}
	n.X25519 = private.PublicKey().Bytes()
	return b.secret(t, private)
}

// secret is what the latest hello's public key and private make.
func (b *Bench) secret(t *conform.T, private *ecdh.PrivateKey) []byte {
	public, err := ecdh.X25519().NewPublicKey(b.hello.X25519)
	if err != nil {
		t.Fail("a public key of 32 bytes in the hello", err.Error())
	}
	z, err := private.ECDH(public)
	if err != nil {
		t.Fail("a public key in the hello whose shared secret is not zero", short(b.hello.X25519))
	}
	return z
}

// deliver gives the device EUKey_index of b.set and returns its acknowledgement.
func (b *Bench) deliver(ctx context.Context, t *conform.T, index uint64) *heard {
	for again := false; ; again = true {
		hello := b.hello
		ack := b.exchange(ctx, t, fmt.Sprintf("notification, epoch %d, index %d", b.set.epoch, index), b.notification(t, index).Bytes(),
			"an acknowledgement", isAck)
		switch {
		case ack.Status == 0:
			b.set.index, b.spent = index, true
			return ack
		case ack.Status == 1 && !again && b.hello != hello:
			continue // the device has said a hello of its own meanwhile
		case ack.Status == 2 && !again && b.hello.Epoch == 0:
			// It holds nothing, and knows of an epoch: that of the clock is above it.
			b.top = max(b.top, b.firstEpoch()+24*60)
			b.newSet()
			continue
		}
		t.Fail("an acknowledgement with status 0", ack.String())
	}
}

// held sees to it that the device holds a key of b.set, and that more can follow it. It
// leaves a hello that may be spent.
func (b *Bench) held(ctx context.Context, t *conform.T) {
	b.fresh(ctx, t)
	if b.set.index == 0 || b.set.index+8 > setLength || b.set.gateway != b.Gateway {
		b.newSet()
		b.deliver(ctx, t, 1)
	}
}

// silent fails the case where the device answers what was sent before.
func (b *Bench) silent(ctx context.Context, t *conform.T, after string) {
	expected := "silence after " + after
	b.say(ctx, t, "identify", wire.Identify(b.Entity))
	if b.await(ctx, t, answerWait, expected, isHello) == nil {
		b.say(ctx, t, "identify", wire.Identify(b.Entity))
		if b.await(ctx, t, answerWait, expected, isHello) == nil {
			t.Fail(expected+", and a hello in answer to the identify behind it", "nothing to the identify either")
		}
	}
	if h := b.await(ctx, t, settle, expected, func(*heard) bool { return false }); h != nil {
		t.Fail(expected, h.String())
	}
}

// same fails the case where got is not byte for byte what it has to be.
func same(t *conform.T, what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		t.Fail(fmt.Sprintf("%s of these %d bytes: %x", what, len(want), want), fmt.Sprintf("%d bytes: %x", len(got), got))
	}
}
