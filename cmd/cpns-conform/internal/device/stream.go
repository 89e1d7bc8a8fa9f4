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

const streamClause = "5: in step again at the next 0x00"

// On a byte stream: frames, and what is none.
var streamCases = []conform.Case[*Bench]{
	{
		Name: "stream-frame", Clause: "5: 0x00 COBS(message | FCS) 0x00",
		Says: "what the device sends is a frame that begins and ends with 0x00, with its FCS low byte first",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.ask(ctx, t)
			b.drain(t)
			raw := b.stream.Listen()
			h := b.ask(ctx, t)
			same(t, "a frame", raw(), wire.Frame(h.raw))
		},
	},
	{
		Name: "stream-bytewise", Clause: "5: a byte stream",
		Says: "a frame may come in one byte at a time",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.held(ctx, t)
			b.answers(ctx, t, "a challenge, one byte at a time", func(frame []byte) {
				for i := range frame {
					b.write(ctx, t, "a byte", frame[i:i+1])
					sleep.For(ctx, 2*time.Millisecond)
				}
			})
		},
	},
	{
		Name: "stream-half-frame", Clause: "5: every frame begins with a 0x00 of its own, so that noise before it costs nothing",
		Says: "half a frame does not harm the frame after it",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.held(ctx, t)
			for _, size := range []int{1, 2, 5, 30} {
				b.answers(ctx, t, fmt.Sprintf("the first %d bytes of a challenge, and a whole one", size), func(frame []byte) {
					b.write(ctx, t, "half a frame", frame[:size])
					b.write(ctx, t, "a frame", frame)
				})
			}
		},
	},
	{
		Name: "stream-noise", Clause: streamClause,
		Says: "noise before a frame costs nothing",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.held(ctx, t)
			for _, noise := range [][]byte{random(300), bytes.Repeat([]byte{0xff}, 40), {0x55}, {0, 1, 0, 2, 0, 0xff, 0}} {
				b.answers(ctx, t, "noise, and a challenge", func(frame []byte) {
					b.write(ctx, t, "noise", noise)
					b.write(ctx, t, "a frame", frame)
				})
			}
		},
	},
	{
		Name: "stream-giant", Clause: "5: at most 517 bytes between the zeros", Limit: time.Minute,
		Says: "4 KiB without a 0x00 do not harm the frame after them",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.held(ctx, t)
			// QEMU's UARTs take less than a thousand bytes a second.
			const digest = 40 * time.Second
			giant := append([]byte{0}, bytes.Repeat([]byte{0xff, 0x41, 0x01}, 4<<10/3)...)
			b.answersWithin(ctx, t, digest, "4 KiB in one frame, and a challenge", func(frame []byte) {
				b.write(ctx, t, "a giant frame", giant)
				b.write(ctx, t, "a frame", frame)
			})
		},
	},
	{
		Name: "stream-fcs", Clause: streamClause,
		Says: "a frame with a wrong FCS is dropped",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.ready(ctx, t)
			msg := wire.Identify(b.Entity)
			fcs := wire.FCS(msg)
			b.drain(t)
			for _, wrong := range []uint16{fcs ^ 1, fcs ^ 0x8000, fcs<<8 | fcs>>8, ^fcs} {
				if wrong != fcs {
					b.write(ctx, t, "an identify with a wrong FCS", wire.FrameWith(msg, wrong))
				}
			}
			if h := b.hear(ctx, t, quiet); h != nil {
				t.Fail("silence after an identify with a wrong FCS", h.String())
			}
		},
	},
	{
		Name: "stream-cobs", Clause: streamClause,
		Says: "a frame whose COBS goes beyond its end is dropped",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.ready(ctx, t)
			frame := wire.Frame(wire.Identify(b.Entity))
			b.drain(t)
			for _, more := range []byte{1, 2, 100} {
				broken := bytes.Clone(frame)
				broken[1] += more // one block less, or past the end
				b.write(ctx, t, "an identify whose first block is too long", broken)
			}
			if h := b.hear(ctx, t, quiet); h != nil {
				t.Fail("silence after a frame whose blocks go beyond its end", h.String())
			}
		},
	},
	{
		Name: "stream-empty", Clause: "5: an empty frame is ignored",
		Says: "any number of 0x00 between two frames means nothing",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.held(ctx, t)
			b.answers(ctx, t, "a thousand 0x00, and a challenge", func(frame []byte) {
				b.write(ctx, t, "zeros", make([]byte, 1000))
				b.write(ctx, t, "a frame", frame)
			})
		},
	},
	{
		Name: "stream-together", Clause: "5: a byte stream",
		Says: "two frames in one go are two messages",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.held(ctx, t)
			c := wire.AuthChallenge(b.Entity, b.set.gateway, random(16))
			both := append(wire.Frame(wire.Identify("somebody-else")), wire.Frame(c)...)
			const expected = "an auth-response to the second of two frames in one go"
			b.write(ctx, t, "an identify for another and a challenge", both)
			if b.await(ctx, t, answerWait, expected, isResponse) == nil {
				t.Fail(expected, b.nothing())
			}
		},
	},
}

// needsStream ends a case that is about bytes where the link carries messages.
func (b *Bench) needsStream(t *conform.T) {
	if b.stream == nil {
		t.NotApplicable("needs --serial")
	}
}

// answers fails the case where what send sends, with a challenge in a frame, does not
// bring a response, at the first try.
func (b *Bench) answers(ctx context.Context, t *conform.T, what string, send func(frame []byte)) {
	b.answersWithin(ctx, t, answerWait, what, send)
}

func (b *Bench) answersWithin(ctx context.Context, t *conform.T, wait time.Duration, what string, send func(frame []byte)) {
	expected := "an auth-response after " + what
	send(wire.Frame(wire.AuthChallenge(b.Entity, b.set.gateway, random(16))))
	if b.await(ctx, t, wait, expected, isResponse) == nil {
		t.Fail(expected, b.nothing())
	}
}

const lineClause = "5: a serial line may be shared"

// On a serial line that several devices share.
var lineCases = []conform.Case[*Bench]{
	{
		Name: "line-turn", Clause: lineClause,
		Says: "a hello of its own waits for another's turn: 600 ms after what was said to that",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.ready(ctx, t)
			for again := 0; ; again++ {
				early, late := b.another(ctx, t)
				if late <= 550*time.Millisecond || ctx.Err() != nil {
					if early != nil {
						t.Fail("nothing while another is asked", early.String())
					}
					break
				}
				if again == 2 {
					t.Undecided("this machine is too slow: %v between two messages", late)
				}
				sleep.For(ctx, 2*time.Second) // until what was put off has been said
			}
			const expected = "the hello that was put off, within 2 s of the other's turn"
			if b.await(ctx, t, 2*time.Second, expected, isHello) == nil {
				t.Fail(expected, b.nothing())
			}
		},
	},
	{
		Name: "line-answered", Clause: lineClause,
		Says: "once the other has answered, a hello that was put off follows",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.ready(ctx, t)
			b.drain(t)
			b.send(ctx, t, "identify for everybody", true, wire.Identify(""))
			other := wire.Hello{E: "somebody-else", Nonce: random(16), Algs: []int64{24}}
			b.say(ctx, t, "identify for another", wire.Identify(other.E))
			b.say(ctx, t, "the other's answer", other.Bytes(random(16)))
			const expected = "the hello that was put off, within 2 s of the other's answer"
			if b.await(ctx, t, 2*time.Second, expected, isHello) == nil {
				t.Fail(expected, b.nothing())
			}
		},
	},
	{
		Name: "line-silence", Clause: lineClause, Limit: time.Minute,
		Says: "a hello of its own waits until the line was silent for 20 ms",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.ready(ctx, t)
			// Who does not wait speaks each time; who does may once find a gap that this
			// machine, or an adapter on the way, has made.
			slow := false
			for again := 0; ; again++ {
				var early *heard
				var gap time.Duration
				stall := stalled(func() { early, gap = b.busy(ctx, t) })
				gap = max(gap, stall)
				slow = slow || gap >= 10*time.Millisecond
				switch {
				case early == nil:
					return
				case again < 2, again < 8 && slow:
				case slow:
					t.Undecided("this machine is too slow to keep a line busy: a gap of %v", gap)
				default:
					t.Fail("nothing while bytes come in", early.String()+", each time")
				}
			}
		},
	},
	{
		Name: "line-spoken-to", Clause: "5: a PNE speaks when spoken to",
		Says: "an identify with its own Entity ID is answered at once, also when another was asked just before",
		Run: func(ctx context.Context, t *conform.T, b *Bench) {
			b.needsStream(t)
			b.ready(ctx, t)
			b.inTime(ctx, t, b.Carrier.Retry(), "a hello within "+b.Carrier.Retry().String(), func() time.Duration {
				b.ask(ctx, t)
				b.say(ctx, t, "identify for another", wire.Identify("somebody-else"))
				b.drain(t)
				sent := time.Now()
				return b.ask(ctx, t).at.Sub(sent)
			})
		},
	},
}

// another asks everybody, and then somebody else, for longer than an answer may be put off.
// It returns what was said meanwhile, and the longest time in which nobody was asked.
func (b *Bench) another(ctx context.Context, t *conform.T) (early *heard, late time.Duration) {
	b.drain(t)
	b.send(ctx, t, "identify for everybody", true, wire.Identify(""))
	last := time.Now()
	for range 4 {
		b.say(ctx, t, "identify for another", wire.Identify("somebody-else"))
		late = max(late, time.Since(last))
		last = time.Now()
		if h := b.hear(ctx, t, 400*time.Millisecond); h != nil {
			return h, max(late, h.at.Sub(last))
		}
	}
	return nil, late
}

// busy asks everybody, and keeps the line busy for as long as an answer may be put off.
// It returns what was said before the end of that, and the longest gap.
func (b *Bench) busy(ctx context.Context, t *conform.T) (early *heard, gap time.Duration) {
	b.drain(t)
	b.send(ctx, t, "identify for everybody", true, wire.Identify(""))
	t.Note("0x00 in a row for 1.2 s")
	begun := time.Now()
	for last := begun; time.Since(begun) < 1200*time.Millisecond && ctx.Err() == nil; {
		// A byte at a time: QEMU's UARTs take some hundred a second.
		if err := b.stream.Write(ctx, []byte{0}); err != nil {
			t.Undecided("sending: %v", err)
		}
		gap = max(gap, time.Since(last))
		last = time.Now()
		if early = b.hear(ctx, t, 4*time.Millisecond); early != nil {
			break
		}
	}
	const expected = "the hello that was put off, within 2 s"
	if early == nil && b.await(ctx, t, 2*time.Second, expected, isHello) == nil {
		t.Fail(expected, b.nothing())
	}
	return early, gap
}
