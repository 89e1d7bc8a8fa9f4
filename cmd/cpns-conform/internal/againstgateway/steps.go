package againstgateway

import (
	"bytes"
	"context"
	"fmt"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
)

// assigned is a device that the gateway has the keys of and that has none yet. end has to
// be called.
func (b *Bench) assigned(ctx context.Context, t *conform.T) (d *device, end func()) {
	d = b.device(ctx, t)
	p := b.takeIn(ctx, t, d)
	d.wantRequest(ctx, 1)
	return d, func() { p.end(); d.leave() }
}

// delivered is a device that holds EUKey_1 of the set that the server gave.
func (b *Bench) delivered(ctx context.Context, t *conform.T) (d *device, s *set, end func()) {
	d = b.device(ctx, t)
	p := b.takeIn(ctx, t, d)
	end = func() { p.end(); d.leave() }
	d.wantRequest(ctx, 1)
	d.holds(ctx, wire.Hello{}, 1)
	p.settled(ctx, b) // the gateway may take a moment over the acknowledgement
	return d, d.newest(), end
}

// holds has the device notified and acknowledge EUKey_index of the newest set.
func (d *device) holds(ctx context.Context, h wire.Hello, index uint64) {
	hello, m := d.notified(ctx, h)
	s := d.newest()
	if s == nil {
		d.t.Fail("no notification: the server has given no set", m.String())
	}
	if m.epoch != s.epoch || m.index != index {
		d.t.Fail(fmt.Sprintf("a notification of epoch %d, index %d", s.epoch, index), m.String())
	}
	d.acknowledge(ctx, s.keys[index-1], hello, m)
}

func opened(key []byte, ok bool) string {
	if !ok {
		return "a notification that does not open"
	}
	return fmt.Sprintf("another key, SHA-256 %x", wire.Hash(key))
}

// wantNext says that the device has lost its key, and wants the one of that index: so it
// shows what the gateway believes was proved.
func (d *device) wantNext(ctx context.Context, index uint64, why string) {
	d.forget()
	_, m := d.notified(ctx, wire.Hello{})
	if s := d.newest(); m.epoch != s.epoch || m.index != index {
		d.t.Fail(fmt.Sprintf("a notification of epoch %d, index %d: %s", s.epoch, index, why), m.String())
	}
}

// challenge says hello with a key, and is challenged.
func (d *device) challenge(ctx context.Context, epoch, index uint64) *down {
	d.hello(ctx, epoch, index)
	m := d.want(ctx, wire.TypeAuthChallenge, fmt.Sprintf("a hello that says epoch %d, index %d", epoch, index))
	if len(m.rand) != 16 {
		d.t.Fail("a rand-gw of 16 bytes", fmt.Sprintf("%d bytes", len(m.rand)))
	}
	return m
}

// respond proves that the device holds key, EUKey_index, and gives rand-pne.
func (d *device) respond(ctx context.Context, c *down, key []byte, epoch, index uint64) (randPNE []byte) {
	randPNE = random(16)
	d.say(ctx, "auth-response", wire.AuthResponse(key, d.entity, d.b.GatewayID, c.rand, randPNE, epoch, index))
	return randPNE
}

// updated wants an eukey-update that opens for who holds key.
func (d *device) updated(ctx context.Context, c *down, key, randPNE []byte) (m *down, next []byte) {
	m = d.want(ctx, wire.TypeEUKeyUpdate, "an auth-response that proves the key")
	next, ok := d.openUpdate(m, key, c.rand, randPNE)
	if !ok {
		d.t.Fail("an eukey-update that opens under TK and the key held", "one that does not")
	}
	d.say(ctx, "acknowledgement", wire.Acknowledgement(d.keyAfter(key, next), append(bytes.Clone(c.rand), randPNE...), d.entity, d.b.GatewayID, m.epoch, m.index, wire.TypeEUKeyUpdate))
	return m, next
}

func (d *device) keyAfter(held, next []byte) []byte {
	if len(next) == 0 {
		return held
	}
	return next
}

// refused has the gateway ask for a device, and get answers that it must not take: then
// no key goes out. Afterwards it gets a good one, and goes on.
func (b *Bench) refused(ctx context.Context, t *conform.T, what string, bad answer) {
	t.Note("%s", what)
	d := b.device(ctx, t)
	defer d.leave()
	d.script(bad)
	p := b.takeIn(ctx, t, d)
	d.wantRequest(ctx, 1)
	p.settled(ctx, b)
	d.hello(ctx, 0, 0)
	d.silence(ctx, "the server's answer was not to be taken: "+what)
	p.end()
	d.script(nil)
	b.recovers(ctx, t, d)
}

// recovers has the device taken in after all: the gateway was right to refuse, and is not
// merely dead.
func (b *Bench) recovers(ctx context.Context, t *conform.T, d *device) {
	asked := len(d.asked())
	p := b.takeIn(ctx, t, d)
	defer p.end()
	d.wantRequest(ctx, asked+1)
	d.holds(ctx, wire.Hello{}, 1)
}
