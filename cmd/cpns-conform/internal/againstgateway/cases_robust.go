package againstgateway

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
	"cpns.example.net/pngw/transport"
)

// robust is what holds whatever comes in, and whenever the power goes.
var robust = []testCase{
	{Name: "link-noise", Clause: "5, serial", Says: "after noise, half a frame, a giant one and one with a wrong FCS the next hello is understood",
		Run: noise},
	{Name: "link-malformed", Clause: "4", Says: "what is no message, or is not canonical, is dropped, and changes nothing",
		Run: malformed},
	{Name: "link-topic", Clause: "5, MQTT", Says: "at a broker, a message on another device's topic than the one that it names is dropped",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			if _, shared := b.Medium.(Stream); shared {
				t.NotApplicable("a line has no topics")
			}
			d, _, end := b.delivered(ctx, t)
			defer end()
			other := b.device(ctx, t)
			defer other.leave()
			d.forget()
			if err := other.seat.Send(ctx, d.makeHello(wire.Hello{})); err != nil {
				t.Undecided("the way to the gateway has gone: %v", err)
			}
			d.silence(ctx, "its hello came on another device's topic")
			d.wantNext(ctx, 2, "the device lost its key")
		}},
	{Name: "link-strangers", Clause: "5, Nothing that a PNE without TK", Limit: time.Minute, Says: "a flood of hellos in invented names keeps no device waiting",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, _, end := b.delivered(ctx, t)
			defer end()
			for range 500 {
				h := wire.Hello{E: name(), Nonce: random(16), Algs: []int64{24}}
				if err := d.seat.Send(ctx, h.Bytes(random(16))); err != nil {
					break // a broker may hold a device to its own topic
				}
			}
			d.wantNext(ctx, 2, "the device lost its key")
		}},
	{Name: "link-copies", Clause: "5, Nothing that a PNE without TK", Limit: time.Minute, Says: "copies of a device's hellos use no key up",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			d, end := b.assigned(ctx, t)
			defer end()
			var hellos [][]byte
			for range 3 {
				hello, _ := d.notified(ctx, wire.Hello{})
				hellos = append(hellos, hello)
			}
			for n := range 100 {
				d.say(ctx, "a copy of a hello", hellos[n%len(hellos)])
			}
			sleep.For(ctx, b.Quiet) // a gateway may have a pace for these
			d.wantNext(ctx, 1, "nothing has been proved")
		}},
	{Name: "restart-stored", Clause: "4, What a gateway does", Limit: 3 * time.Minute, Says: "a key that was sent is in the store: a gateway that ends at that moment goes on with the same set, without a word to the server",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			if b.Restart == nil {
				t.NotApplicable("needs --restart CMD")
			}
			d, end := b.assigned(ctx, t)
			defer end()
			d.notified(ctx, wire.Hello{})
			b.restart(ctx, t)
			asked := len(d.asked())
			d.forget()
			d.holds(ctx, wire.Hello{}, 1)
			if n := len(d.asked()); n > asked {
				t.Fail("no further request", fmt.Sprint(n-asked))
			}
		}},
	{Name: "restart-proved", Clause: "4, What a gateway does", Limit: 3 * time.Minute, Says: "a key that the user was told is delivered stays so through a restart: it is not given a second time",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			if b.Restart == nil {
				t.NotApplicable("needs --restart CMD")
			}
			d := b.device(ctx, t)
			defer d.leave()
			p := b.takeIn(ctx, t, d)
			d.wantRequest(ctx, 1)
			d.holds(ctx, wire.Hello{}, 1)
			p.settled(ctx, b)
			sleep.For(ctx, b.Quiet) // the command may not have waited for the device
			p.end()
			b.restart(ctx, t)
			d.wantNext(ctx, 2, "EUKey_1 has been proved")
		}},
	{Name: "restart-alarm", Clause: "4, One challenge is open", Limit: 3 * time.Minute, Says: "an alarm lasts through a restart",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			if b.Restart == nil {
				t.NotApplicable("needs --restart CMD")
			}
			d, s, end := b.delivered(ctx, t)
			defer end()
			d.forget()
			d.holds(ctx, wire.Hello{}, 2)
			d.forget()
			c := d.challenge(ctx, s.epoch, 1)
			d.respond(ctx, c, s.keys[0], s.epoch, 1)
			d.silence(ctx, "the key is older than the one that was proved")
			b.restart(ctx, t)
			d.forget()
			for range 3 {
				d.hello(ctx, 0, 0)
				d.silence(ctx, "the device is under alarm")
			}
		}},
}

func noise(ctx context.Context, t *conform.T, b *Bench) {
	line, ok := b.Medium.(Stream)
	if !ok {
		t.NotApplicable("the link carries messages, not bytes")
	}
	d, _, end := b.delivered(ctx, t)
	defer end()
	h := wire.Hello{E: d.entity, Nonce: random(16), Algs: []int64{24}}
	frame := transport.EncodeFrame(nil, h.Bytes(d.tk))
	broken := slices.Clone(frame)
	broken[len(broken)/2] ^= 0x40
	for what, junk := range map[string][]byte{
		"noise":         bytes.ReplaceAll(random(300), []byte{0}, []byte{1}),
		"half a frame":  frame[:len(frame)/2],
		"a giant frame": append(bytes.Repeat([]byte{0x55}, 5000), 0),
		"a wrong FCS":   broken,
		"zeros":         make([]byte, 2000),
	} {
		t.Sent(what, junk)
		if err := line.Write(ctx, junk); err != nil {
			t.Undecided("the line has gone: %v", err)
		}
		d.forget()
		d.hello(ctx, 0, 0)
		if m := d.take(ctx, b.Patience, d.anything); m == nil {
			t.Fail("an answer to the hello behind this: "+what, fmt.Sprintf("none within %v", b.Patience))
		}
	}
}

func malformed(ctx context.Context, t *conform.T, b *Bench) {
	d, s, end := b.delivered(ctx, t)
	defer end()
	d.forget()
	h := wire.Hello{E: d.entity, Nonce: random(16), Algs: []int64{24}}
	good := h.Bytes(d.tk)
	long := slices.Concat([]byte{0x98, good[0] & 0x1f}, good[1:])
	indefinite := slices.Concat([]byte{0x9f}, good[1:], []byte{0xff})
	version := slices.Clone(good)
	version[2] = 2
	for what, msg := range map[string][]byte{
		"no byte": {}, "text": []byte("hello"), "half a hello": good[:len(good)/2], "a byte more": append(slices.Clone(good), 0),
		"a long length": long, "an indefinite length": indefinite, "version 2": version,
		"a message of type 9":   wire.Array(wire.Uint(9), wire.Text(d.entity)),
		"a notification":        wire.Array(wire.Uint(2), wire.Text(d.entity), wire.Text(b.GatewayID), wire.Uint(s.epoch), wire.Uint(2), wire.Encrypt0(random(12), random(48))),
		"nested arrays":         bytes.Repeat([]byte{0x81}, 500),
		"an array of 2^64":      append([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, good...),
		"nothing but a big str": append([]byte{0x5a, 0xff, 0xff, 0xff, 0xff}, random(100)...),
	} {
		d.say(ctx, what, msg)
	}
	d.silence(ctx, "none of these is a message")
	d.wantNext(ctx, 2, "the device lost its key")
}
