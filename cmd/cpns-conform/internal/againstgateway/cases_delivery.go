package againstgateway

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
	"cpns.example.net/pngw/transport"
)

// deliveries are how a key gets to a device, and when it counts as there.
var deliveries = []testCase{
	{Name: "hello-stranger", Clause: "4, What a gateway does", Says: "a device that nobody has asked for gets no key",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d := b.device(ctx, t)
			defer d.leave()
			for range 3 {
				d.hello(ctx, 0, 0)
			}
			d.silence(ctx, "nobody has asked the gateway to take the device in")
		}},
	{Name: "notification-form", Clause: "4, notification", Says: "a hello is answered by a notification in canonical CBOR, of at most 247 bytes, with the device's and the gateway's ID and no X25519 key",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, end := b.assigned(ctx, t)
			defer end()
			_, m := d.notified(ctx, wire.Hello{})
			if !m.canonical || m.g != b.GatewayID || len(m.raw) > 247 || len(m.iv) != 12 || len(m.sealed) != 48 || m.x25519 != nil {
				t.Fail(fmt.Sprintf("[2, %q, %q, epoch, 1, [<< {1: 24} >>, {5: IV}, 48 bytes]]", d.entity, b.GatewayID), fmt.Sprintf("%x", m.raw))
			}
		}},
	{Name: "notification-key", Clause: "4, notification", Says: "the notification opens under the TK, in answer to this hello, and has EUKey_1 of the set that the server gave",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, end := b.assigned(ctx, t)
			defer end()
			hello, m := d.notified(ctx, wire.Hello{})
			s := d.newest()
			if m.epoch != s.epoch || m.index != 1 {
				t.Fail(fmt.Sprintf("epoch %d, index 1", s.epoch), m.String())
			}
			if key, ok := d.open(m, hello, nil); !ok || !bytes.Equal(key, s.keys[0]) {
				t.Fail("EUKey_1", opened(key, ok))
			}
		}},
	{Name: "notification-x25519", Clause: "4, X25519", Says: "a hello with an X25519 key is answered by a notification with the gateway's, sealed under what the two share",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, end := b.assigned(ctx, t)
			defer end()
			pair, err := ecdh.X25519().GenerateKey(rand.Reader)
			if err != nil {
				t.Undecided("making a key pair: %v", err)
			}
			hello, m := d.notified(ctx, wire.Hello{X25519: pair.PublicKey().Bytes()})
			public, err := ecdh.X25519().NewPublicKey(m.x25519)
			if err != nil {
				t.Fail("an X25519 key of 32 bytes", fmt.Sprintf("%d bytes", len(m.x25519)))
			}
			z, err := pair.ECDH(public)
			if err != nil {
				t.Fail("an X25519 key that is of use", fmt.Sprintf("%x", m.x25519))
			}
			key, ok := d.open(m, hello, z)
			if !ok || !bytes.Equal(key, d.newest().keys[0]) {
				t.Fail("EUKey_1 under TK | Z", opened(key, ok))
			}
			d.acknowledge(ctx, key, hello, m)
		}},
	{Name: "notification-repeats", Clause: "5, The gateway drives", Limit: 4 * time.Minute, Says: "a notification without an answer is sent five times in all, the same bytes, after waits that double from the link's first within ±25 %",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.quietLine(ctx, t)
			d, end := b.assigned(ctx, t)
			defer end()
			_, first := d.notified(ctx, wire.Hello{})
			d.repeated(ctx, first)
		}},
	{Name: "identify-later", Clause: "4, To a PNE that is assigned", Limit: 4 * time.Minute, Says: "a device that is assigned and says nothing is asked by an identify about a minute later, and served when it answers",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, end := b.assigned(ctx, t)
			defer end()
			sleep.For(ctx, 20*time.Second) // what a gateway asks at once is over then
			d.forget()
			if d.take(ctx, 80*time.Second, kind(wire.TypeIdentify)) == nil {
				t.Fail("an identify, for the device or for all, within 100 s", "none after the first 20 s")
			}
			d.holds(ctx, wire.Hello{}, 1)
		}},
	{Name: "hello-again", Clause: "4, The same hello again", Says: "the same hello again gets the same answer",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, end := b.assigned(ctx, t)
			defer end()
			hello, m := d.notified(ctx, wire.Hello{})
			for range 3 {
				d.say(ctx, "the same hello", hello)
				if again := d.take(ctx, b.Patience, kind(wire.TypeNotification)); again == nil || !bytes.Equal(again.raw, m.raw) {
					t.Fail("the same notification", fmt.Sprint(again))
				}
			}
		}},
	{Name: "hello-another", Clause: "4, notification", Says: "another hello gets a notification that is bound to it, of the same key: asking uses nothing up",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, end := b.assigned(ctx, t)
			defer end()
			d.notified(ctx, wire.Hello{})
			d.forget()
			hello := d.hello(ctx, 0, 0)
			m := d.want(ctx, wire.TypeNotification, "another hello")
			if key, ok := d.open(m, hello, nil); m.index != 1 || !ok || !bytes.Equal(key, d.newest().keys[0]) {
				t.Fail("EUKey_1, bound to the second hello", m.String()+": "+opened(key, ok))
			}
		}},
	quietHello("hello-tag", "4, hello", "a hello whose tag does not verify gets no answer", func(d *device) []byte {
		h := wire.Hello{E: d.entity, Nonce: random(16), Algs: []int64{24}}
		return h.Bytes(random(16))
	}),
	quietHello("hello-algs", "4, alg", "a hello that does not offer algorithm 24 gets no answer", func(d *device) []byte {
		h := wire.Hello{E: d.entity, Nonce: random(16), Algs: []int64{1, -7}}
		return h.Bytes(d.tk)
	}),
	quietHello("hello-zero", "4, X25519", "a hello whose X25519 key makes a shared secret of zero gets no answer", func(d *device) []byte {
		h := wire.Hello{E: d.entity, Nonce: random(16), Algs: []int64{24}, X25519: make([]byte, 32)}
		return h.Bytes(d.tk)
	}),
	quietHello("hello-newer", "4, a hello that says", "a hello of a newer epoch gets no answer", func(d *device) []byte {
		h := wire.Hello{E: d.entity, Nonce: random(16), Algs: []int64{24}, Epoch: d.newest().epoch + 1000, Index: 1}
		return h.Bytes(d.tk)
	}),
	quietHello("hello-beyond", "4, a hello that says", "a hello of an index that the set does not have gets no answer", func(d *device) []byte {
		h := wire.Hello{E: d.entity, Nonce: random(16), Algs: []int64{24}, Epoch: d.newest().epoch, Index: setLength + 1}
		return h.Bytes(d.tk)
	}),
	falseAck("ack-mac", "an acknowledgement whose MAC is wrong does not count", func(d *device, m *down, hello, key []byte) map[string][]byte {
		return map[string][]byte{"another key's": d.ack(random(32), wire.Hash(hello), m, wire.TypeNotification)}
	}),
	falseAck("ack-hello", "an acknowledgement that is bound to another hello does not count", func(d *device, m *down, hello, key []byte) map[string][]byte {
		return map[string][]byte{"another hello": d.ack(key, random(32), m, wire.TypeNotification), "no hello": d.ack(key, nil, m, wire.TypeNotification)}
	}),
	falseAck("ack-gateway", "an acknowledgement to another gateway does not count", func(d *device, m *down, hello, key []byte) map[string][]byte {
		return map[string][]byte{"another gateway": wire.Acknowledgement(key, wire.Hash(hello), d.entity, "somebody-else", m.epoch, m.index, wire.TypeNotification)}
	}),
	falseAck("ack-type", "an acknowledgement of an eukey-update does not count for a notification", func(d *device, m *down, hello, key []byte) map[string][]byte {
		return map[string][]byte{"of an eukey-update": d.ack(key, wire.Hash(hello), m, wire.TypeEUKeyUpdate)}
	}),
	falseAck("ack-refusal", "a status 1 to 4 moves nothing: anybody can say it", func(d *device, m *down, hello, key []byte) map[string][]byte {
		all := map[string][]byte{}
		for status := uint64(1); status <= 4; status++ {
			all[fmt.Sprintf("status %d", status)] = wire.Refusal(d.entity, status, m.epoch, m.index)
		}
		return all
	}),
	{Name: "ack-counts", Clause: "4, What a gateway does", Says: "after a valid acknowledgement a device that lost its key gets the next one, without a word to the server",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, s, end := b.delivered(ctx, t)
			defer end()
			asked := len(d.asked())
			d.forget()
			d.holds(ctx, wire.Hello{}, 2)
			d.forget()
			d.holds(ctx, wire.Hello{}, 3)
			sleep.For(ctx, b.Quiet)
			if n := len(d.asked()); n > asked {
				t.Fail("no further request", fmt.Sprint(n-asked))
			}
			if d.newest() != s {
				t.Fail("one set", "two")
			}
		}},
	{Name: "set-used-up", Clause: "4, a hello that says", Says: "a device that lost the last key of its set gets nothing; one that holds it is authenticated, and stays on it",
		Run: usedUp},
	{Name: "set-newer", Clause: "4, a hello that says", Says: "a device that holds a key of an older epoch is notified of EUKey_1 of the newest set",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, s, end := b.delivered(ctx, t)
			defer end()
			p := b.takeIn(ctx, t, d)
			defer p.end()
			d.wantRequest(ctx, 2)
			d.forget()
			d.holds(ctx, wire.Hello{Epoch: s.epoch, Index: 1}, 1)
		}},
}

func (d *device) ack(key, context []byte, m *down, answered uint64) []byte {
	return wire.Acknowledgement(key, context, d.entity, d.b.GatewayID, m.epoch, m.index, answered)
}

func usedUp(ctx context.Context, t *conform.T, b *Bench) {
	d := b.device(ctx, t)
	defer d.leave()
	d.length = 2
	p := b.takeIn(ctx, t, d)
	defer p.end()
	d.wantRequest(ctx, 1)
	for index := range uint64(2) {
		d.forget()
		d.holds(ctx, wire.Hello{}, index+1)
	}
	s := d.newest()
	d.forget()
	for range 2 {
		d.hello(ctx, 0, 0)
		d.silence(ctx, "the set is used up")
	}
	c := d.challenge(ctx, s.epoch, 2)
	m, next := d.updated(ctx, c, s.keys[1], d.respond(ctx, c, s.keys[1], s.epoch, 2))
	if m.index != 2 || len(next) != 0 {
		t.Fail("an update of index 2 with nothing in it", fmt.Sprintf("%s, %d bytes in it", m, len(next)))
	}
}

// quietHello is a case of a hello that gets no answer; the device's next one does.
func quietHello(name, clause, says string, hello func(*device) []byte) testCase {
	return testCase{Name: name, Clause: clause, Says: says, Run: func(ctx context.Context, t *conform.T, b *Bench) {
		d, _, end := b.delivered(ctx, t)
		defer end()
		d.forget()
		for range 2 {
			d.say(ctx, "hello", hello(d))
			d.silence(ctx, says)
		}
		d.wantNext(ctx, 2, "the device lost its key")
	}}
}

// falseAck is a case of acknowledgements that do not count: the device goes on being
// given the same key.
func falseAck(name, says string, acks func(d *device, m *down, hello, key []byte) map[string][]byte) testCase {
	return testCase{Name: name, Clause: "4, acknowledgement", Says: says, Run: func(ctx context.Context, t *conform.T, b *Bench) {
		d, end := b.assigned(ctx, t)
		defer end()
		hello, m := d.notified(ctx, wire.Hello{})
		for what, ack := range acks(d, m, hello, d.newest().keys[0]) {
			d.say(ctx, "acknowledgement: "+what, ack)
			d.wantNext(ctx, 1, "nothing has been proved; the acknowledgement was "+what)
		}
	}}
}

// quietLine waits until nothing has been sent on a shared line for a while: a gateway has
// one exchange under way at a time, and an earlier case may have left one.
func (b *Bench) quietLine(ctx context.Context, t *conform.T) {
	heard := make(chan struct{}, 1)
	seat, err := b.Medium.Join(ctx, name(), func([]byte) { wake(heard) })
	if err != nil {
		t.Undecided("no way to the gateway: %v", err)
	}
	defer seat.Leave()
	over := time.After(time.Minute)
	for {
		select {
		case <-heard:
		case <-time.After(10 * b.Medium.Retry()):
			return
		case <-over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// repeated wants a message that has come for the first time to come again as section 5 has
// it: the device says nothing.
func (d *device) repeated(ctx context.Context, first *down) {
	b, t := d.b, d.t
	wait := b.Medium.Retry()
	at := []time.Time{first.at}
	for over := time.Now().Add(40 * wait); time.Now().Before(over) && ctx.Err() == nil; {
		m := d.take(ctx, time.Until(over), func(m *down) bool { return m.kind != wire.TypeIdentify })
		if m == nil {
			break
		}
		if !bytes.Equal(m.raw, first.raw) {
			t.Fail("the same bytes", fmt.Sprintf("%x, then %x", first.raw, m.raw))
		}
		at = append(at, m.at)
	}
	var gaps []time.Duration
	for n := 1; n < len(at); n++ {
		gaps = append(gaps, at[n].Sub(at[n-1]).Round(time.Millisecond))
	}
	if len(at) != 5 {
		t.Fail("five sends in all", fmt.Sprintf("%d, after %v", len(at), gaps))
	}
	early, late := 80*time.Millisecond, 500*time.Millisecond // of two programs that are scheduled
	if _, shared := b.Medium.(Stream); shared {
		late += wait - transport.RetryStream // a slow line's own time, which does not double
		wait = transport.RetryStream
		late += 1500 * time.Millisecond // another exchange may have its turn first: an identify with null, say
	}
	for n, gap := range gaps {
		want := wait << n
		if gap < want*3/4-early || gap > want*5/4+late {
			t.Fail(fmt.Sprintf("waits of about %v, %v, %v and %v", wait, 2*wait, 4*wait, 8*wait), fmt.Sprint(gaps))
		}
	}
	t.Note("waits: %v", gaps)
}
