package againstgateway

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// authentications are mutual authentication, and what a gateway believes by it.
var authentications = []testCase{
	{Name: "auth-challenge", Clause: "4, a hello that says", Says: "a device that holds a key of the newest set is challenged, in canonical CBOR, with the gateway's ID and 16 bytes that were not used before",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, s, end := b.delivered(ctx, t)
			defer end()
			first := d.challenge(ctx, s.epoch, 1)
			if !first.canonical || first.g != b.GatewayID {
				t.Fail(fmt.Sprintf("[4, %q, %q, rand-gw]", d.entity, b.GatewayID), fmt.Sprintf("%x", first.raw))
			}
			d.updated(ctx, first, s.keys[0], d.respond(ctx, first, s.keys[0], s.epoch, 1))
			if second := d.challenge(ctx, s.epoch, 1); bytes.Equal(first.rand, second.rand) {
				t.Fail("another rand-gw", fmt.Sprintf("%x twice", first.rand))
			}
		}},
	{Name: "auth-repeats", Clause: "5, The gateway drives", Limit: 4 * time.Minute, Says: "an auth-challenge without an answer is repeated as a notification is",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.quietLine(ctx, t)
			d, s, end := b.delivered(ctx, t)
			defer end()
			d.repeated(ctx, d.challenge(ctx, s.epoch, 1))
		}},
	{Name: "update-repeats", Clause: "5, The gateway drives", Limit: 4 * time.Minute, Says: "an eukey-update without an answer is repeated as a notification is",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.quietLine(ctx, t)
			d, s, end := b.delivered(ctx, t)
			defer end()
			d.respond(ctx, d.challenge(ctx, s.epoch, 1), s.keys[0], s.epoch, 1)
			d.repeated(ctx, d.want(ctx, wire.TypeEUKeyUpdate, "an auth-response that proves the key"))
		}},
	{Name: "auth-open", Clause: "4, One challenge is open", Says: "while a challenge is open, another hello gets that challenge",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, s, end := b.delivered(ctx, t)
			defer end()
			first := d.challenge(ctx, s.epoch, 1)
			d.hello(ctx, s.epoch, 1)
			if m := d.take(ctx, b.Quiet, func(m *down) bool { return m.kind == wire.TypeAuthChallenge && !bytes.Equal(m.raw, first.raw) }); m != nil {
				t.Fail(fmt.Sprintf("rand-gw %x", first.rand), fmt.Sprintf("%x", m.rand))
			}
		}},
	{Name: "auth-stays", Clause: "4, eukey-update", Says: "a device that says hello and proves its key gets an eukey-update, which opens under TK and that key, and gives no other",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, s, end := b.delivered(ctx, t)
			defer end()
			c := d.challenge(ctx, s.epoch, 1)
			m, next := d.updated(ctx, c, s.keys[0], d.respond(ctx, c, s.keys[0], s.epoch, 1))
			if !m.canonical || m.epoch != s.epoch || m.index != 1 || len(next) != 0 {
				t.Fail(fmt.Sprintf("an update of epoch %d, index 1, with nothing in it", s.epoch), fmt.Sprintf("%s, %d bytes in it", m, len(next)))
			}
		}},
	{Name: "auth-false", Clause: "4, auth-response", Says: "an auth-response whose MAC is wrong, or that answers another challenge or gateway, gets no eukey-update",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, s, end := b.delivered(ctx, t)
			defer end()
			key := s.keys[0]
			c := d.challenge(ctx, s.epoch, 1)
			d.say(ctx, "auth-response of another key", wire.AuthResponse(random(32), d.entity, b.GatewayID, c.rand, random(16), s.epoch, 1))
			d.say(ctx, "auth-response to another challenge", wire.AuthResponse(key, d.entity, b.GatewayID, random(16), random(16), s.epoch, 1))
			d.say(ctx, "auth-response to another gateway", wire.AuthResponse(key, d.entity, "somebody-else", c.rand, random(16), s.epoch, 1))
			d.say(ctx, "auth-response of the next index under this key", wire.AuthResponse(key, d.entity, b.GatewayID, c.rand, random(16), s.epoch, 2))
			d.silence(ctx, "no response proves a key")
		}},
	{Name: "auth-replayed", Clause: "4, One challenge is open", Says: "a response to a challenge that has ended proves nothing",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, s, end := b.delivered(ctx, t)
			defer end()
			c := d.challenge(ctx, s.epoch, 1)
			old := wire.AuthResponse(s.keys[0], d.entity, b.GatewayID, c.rand, random(16), s.epoch, 1)
			d.say(ctx, "auth-response", old)
			d.want(ctx, wire.TypeEUKeyUpdate, "an auth-response that proves the key")
			d.challenge(ctx, s.epoch, 1)
			d.say(ctx, "the former auth-response", old)
			d.silence(ctx, "that challenge has ended")
		}},
	{Name: "auth-lost-ack", Clause: "4, What a gateway does", Says: "a key whose acknowledgement was lost counts once the device proves it",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, end := b.assigned(ctx, t)
			defer end()
			d.notified(ctx, wire.Hello{})
			d.forget()
			s := d.newest()
			c := d.challenge(ctx, s.epoch, 1)
			d.updated(ctx, c, s.keys[0], d.respond(ctx, c, s.keys[0], s.epoch, 1))
			d.wantNext(ctx, 2, "EUKey_1 has been proved")
		}},
	{Name: "auth-alarm", Clause: "4, One challenge is open", Says: "a device that proves an older key than it had proved raises the alarm, and gets no key until a person says so",
		Run: alarm},
	{Name: "auth-next", Clause: "4, eukey-update", Limit: 2 * time.Minute, Says: "where a person began the authentication, the eukey-update gives the next key, which counts once it is acknowledged",
		Run: next},
	{Name: "auth-unacknowledged", Clause: "4, eukey-update", Limit: 2 * time.Minute, Says: "an eukey-update whose acknowledgement is false does not count: the next authentication gives the same key",
		Run: unacknowledged},
}

func alarm(ctx context.Context, t *conform.T, b *Bench) {
	d, s, end := b.delivered(ctx, t)
	defer end()
	d.forget()
	d.holds(ctx, wire.Hello{}, 2)
	d.forget()
	c := d.challenge(ctx, s.epoch, 1)
	d.respond(ctx, c, s.keys[0], s.epoch, 1)
	d.silence(ctx, "the key is older than the one that was proved")
	for _, h := range []wire.Hello{{}, {Epoch: s.epoch, Index: 1}} {
		d.sayHello(ctx, h)
		d.silence(ctx, "the device is under alarm")
	}
	if b.State == nil {
		return
	}
	state, err := b.State(ctx, d.entity)
	if err != nil {
		t.Undecided("--state: %v", err)
	}
	if !strings.Contains(strings.ToLower(state), "alarm") {
		t.Fail(`"alarm" in what --state prints`, state)
	}
}

// begun is a challenge that a person began, of a device that holds EUKey_1.
func (b *Bench) begun(ctx context.Context, t *conform.T, d *device) (c *down, end func()) {
	if b.Authenticate == nil {
		t.NotApplicable("needs --authenticate CMD")
	}
	d.forget()
	p := b.begin(ctx, t, "authenticate", b.Authenticate, d.entity, "")
	for over := time.Now().Add(b.Patience); ; {
		// A gateway may ask for a hello first.
		c = d.take(ctx, time.Until(over), func(m *down) bool { return m.kind == wire.TypeAuthChallenge || m.kind == wire.TypeIdentify })
		switch {
		case c == nil:
			p.end()
			t.Fail("an auth-challenge, which a person has asked for", fmt.Sprintf("none within %v", b.Patience))
		case c.kind == wire.TypeAuthChallenge:
			return c, p.end
		}
		d.hello(ctx, d.newest().epoch, 1)
	}
}

func next(ctx context.Context, t *conform.T, b *Bench) {
	if b.Authenticate == nil {
		t.NotApplicable("needs --authenticate CMD")
	}
	d, s, end := b.delivered(ctx, t)
	defer end()
	c, stop := b.begun(ctx, t, d)
	m, next := d.updated(ctx, c, s.keys[0], d.respond(ctx, c, s.keys[0], s.epoch, 1))
	stop()
	if m.epoch != s.epoch || m.index != 2 || !bytes.Equal(next, s.keys[1]) {
		t.Fail("EUKey_2, index 2", fmt.Sprintf("%s, %d bytes in it", m, len(next)))
	}
	d.wantNext(ctx, 3, "EUKey_2 has been proved")
}

func unacknowledged(ctx context.Context, t *conform.T, b *Bench) {
	if b.Authenticate == nil {
		t.NotApplicable("needs --authenticate CMD")
	}
	d, s, end := b.delivered(ctx, t)
	defer end()
	c, stop := b.begun(ctx, t, d)
	defer stop()
	randPNE := d.respond(ctx, c, s.keys[0], s.epoch, 1)
	m := d.want(ctx, wire.TypeEUKeyUpdate, "an auth-response that proves the key")
	d.say(ctx, "acknowledgement under another key", d.ack(s.keys[0], append(bytes.Clone(c.rand), randPNE...), m, wire.TypeEUKeyUpdate))
	d.wantNext(ctx, 2, "EUKey_2 has not been proved")
}
