package device

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

const (
	// bootLimit is how long a device may take from getting its power back until its
	// first hello.
	bootLimit = 30 * time.Second

	// powerLimit is how long a case with a power cycle may take.
	powerLimit = 3 * time.Minute

	storedClause   = "4, What a PNE does, Notification: one record"
	volatileClause = "4, What a gateway does: a PNE that lost its EUKey"
	repeatClause   = "4, What a PNE does: a repeat"
	scheduleClause = helloClause + ": after 5 s, 10 s, doubling"
)

// With the power cut. Which of stored and volatile a device is, its first hello tells.
var powerCases = []conform.Case[*Bench]{
	{
		Name: "power-hello", Clause: helloClause + ": when switched on", Limit: powerLimit,
		Says: "a device that is switched on says a new hello by itself",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			if h := b.cycle(ctx, t); h.repeated {
				t.Fail("a fresh nonce", "that of a hello from before the power was cut")
			}
		},
	},
	{
		Name: "power-stored", Clause: storedClause, Limit: powerLimit,
		Says: "what was acknowledged is held, and proved, after a power cut",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.deliver(ctx, t, b.set.index+1)
			c := b.challenged(ctx, t)
			b.take(ctx, t, "eukey-update", b.next(c), b.set.index+1)
			epoch, index := b.set.epoch, b.set.index
			h := b.cycle(ctx, t)
			if h.Epoch == 0 {
				t.NotApplicable("it keeps no key through a power cut")
			}
			if h.Epoch != epoch || h.Index != index {
				t.Fail(fmt.Sprintf("a hello with epoch %d, index %d", epoch, index), h.String())
			}
			b.proves(ctx, t)
		},
	},
	{
		Name: "power-volatile", Clause: volatileClause, Limit: powerLimit,
		Says: "a device that has lost its key takes the next of the set",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			index := b.set.index
			b.lost(ctx, t)
			b.refused(ctx, t, "the notification with the next EUKey", b.sealed(t, index+1).Bytes(), 0)
			b.set.index, b.opened = index+1, true
			b.proves(ctx, t)
		},
	},
	{
		Name: "power-no-key", Clause: challengeClause + ": without an EUKey: silence", Limit: powerLimit,
		Says: "a device that has lost its key answers no challenge",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			b.lost(ctx, t)
			b.ignored(ctx, t, "a challenge from the gateway whose key was lost", wire.AuthChallenge(b.Entity, b.set.gateway, random(16)))
		},
	},
	{
		Name: "power-forgets-notification", Clause: repeatClause, Limit: powerLimit,
		Says: "the notification taken last is no repeat after a power cut, but one for an older hello: status 1",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			d := b.deliver(ctx, t, b.set.index+1)
			b.cycle(ctx, t)
			b.refused(ctx, t, "the notification from before the power cut", d.msg, 1)
		},
	},
	{
		Name: "power-forgets-challenge", Clause: updateClause + ": no open challenge: silence", Limit: powerLimit,
		Says: "an update under a challenge from before a power cut gets silence",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			c := b.challenged(ctx, t)
			update := b.next(c)
			b.cycle(ctx, t)
			b.ignored(ctx, t, "an update under the challenge from before the power cut", update)
		},
	},
	{
		Name: "power-cut", Clause: storedClause, Limit: powerLimit,
		Says: "a power cut while a key is delivered leaves the old one or the new, whole",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			if b.cycle(ctx, t).Epoch == 0 {
				t.NotApplicable("it keeps no key through a power cut")
			}
			for range 2 {
				b.ready(ctx, t)
				held, msg := b.set.index, b.sealed(t, b.set.index+1).Bytes()
				h := b.cycleWhile(ctx, t, func() {
					for range 3 {
						b.cast(ctx, t, "notification", msg)
						sleep.For(ctx, 20*time.Millisecond)
					}
				})
				// What was sent while it started is answered now, and no longer of interest.
				sleep.For(ctx, time.Second)
				b.drain(t)
				if h.Epoch != b.set.epoch || h.Index != held && h.Index != held+1 {
					t.Fail(fmt.Sprintf("epoch %d, index %d or %d", b.set.epoch, held, held+1), h.String())
				}
				b.proves(ctx, t)
			}
		},
	},
	{
		Name: "power-pacing", Clause: scheduleClause, Limit: powerLimit,
		Says: "hellos follow after 5 s, then 10 s, each shortened by up to half",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			last := b.cycle(ctx, t).at
			for _, pause := range []time.Duration{5 * time.Second, 10 * time.Second} {
				h := b.await(ctx, t, pause+pause/10+paceSlack, "a hello", isHello)
				expected := fmt.Sprintf("another hello after %v to %v", pause/2, pause)
				switch {
				case h == nil:
					t.Fail(expected, "none")
				case h.at.Sub(last) < pause/2-paceSlack:
					t.Fail(expected, "one after "+h.at.Sub(last).String())
				}
				last = h.at
			}
		},
	},
	{
		Name: "power-unopened", Clause: scheduleClause, Limit: powerLimit,
		Says: "a notification that does not open, and a challenge, do not end the hellos",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			h := b.cycle(ctx, t)
			b.drain(t)
			n, z := b.notification(t, 1)
			n.Seal(random(len(b.TK)), z, wire.Hash(b.hello.Raw), random(32))
			b.exchange(ctx, t, "a notification under another TK", n.Bytes(), "a refusal", isAck)
			if h.Epoch != 0 {
				b.challenged(ctx, t)
			}
			const expected = "another hello after 5 s at most"
			if b.await(ctx, t, 5*time.Second*11/10+paceSlack, expected, isHello) == nil {
				t.Fail(expected, "none")
			}
		},
	},
	{
		Name: "power-opened", Clause: scheduleClause, Limit: powerLimit,
		Says: "a notification that opens ends the hellos, whatever status it is answered",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.held(ctx, t)
			if b.cycle(ctx, t).Epoch == 0 {
				b.newSet()
				b.deliver(ctx, t, 1) // it holds none, and goes on until it does
			} else {
				b.exchange(ctx, t, "a stale notification", b.sealed(t, 1).Bytes(), "a refusal", isAck)
				b.opened = true
			}
			b.drain(t)
			if h := b.hear(ctx, t, 7*time.Second); h != nil {
				t.Fail("no hello in the next 7 s", h.String())
			}
		},
	},
	{
		Name: "power-x25519", Clause: x25519Clause + ": a pair that the PNE made since it was switched on", Limit: powerLimit,
		Says: "a hello after a power cut has another public key",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.ready(ctx, t)
			b.needsX25519(t)
			before := b.hello.X25519
			b.cycle(ctx, t)
			if bytes.Equal(b.hello.X25519, before) {
				t.Fail("another public key", "again "+short(before))
			}
		},
	},
}

// paceSlack is what a hello may be late on its way, and early; a device's clock may be off
// by a tenth beside.
const paceSlack = 700 * time.Millisecond

// cycle takes the device's power away and gives it back, and returns the first new hello
// that it says, by itself.
func (b *Bench) cycle(ctx context.Context, t *conform.T) *heard {
	return b.cycleWhile(ctx, t, func() {})
}

// cycleWhile is cycle, with something said meanwhile, by cast: a verdict in meanwhile would
// end the case, and with it the command, and leave the device without power.
func (b *Bench) cycleWhile(ctx context.Context, t *conform.T, meanwhile func()) *heard {
	if b.PowerCycle == nil {
		t.NotApplicable("needs --power-cycle")
	}
	b.drain(t)
	before := b.hello
	t.Note("the power is cut")
	done := make(chan error, 1)
	go func() { done <- b.PowerCycle(ctx) }()
	meanwhile()
	if err := <-done; err != nil {
		t.Undecided("%v", err)
	}
	t.Note("the power is back")
	b.opened, b.deaf = false, false
	if err := b.WaitUp(ctx, bootLimit); err != nil {
		t.Undecided("the link does not come back: %v", err)
	}
	const expected = "a hello by itself, within 30 s of getting its power back"
	until := time.Now().Add(bootLimit)
	for {
		h := b.hear(ctx, t, time.Until(until))
		if h == nil {
			t.Fail(expected, b.nothing())
		}
		if isHello(h) && (before == nil || !bytes.Equal(h.raw, before.Raw)) {
			b.keepUp(h.Heard)
			return h
		}
	}
}

// lost is cycle for a case about a device that keeps no key.
func (b *Bench) lost(ctx context.Context, t *conform.T) {
	if h := b.cycle(ctx, t); h.Epoch != 0 {
		t.NotApplicable("it keeps its key through a power cut")
	}
}
