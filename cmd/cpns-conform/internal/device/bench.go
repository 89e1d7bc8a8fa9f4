// Package device has the cases for a PNE: the kit plays a gateway, good and hostile, on
// the device's own link. cmd/cpns-conform makes a [Bench] and runs [Suite] on it.
//
// Where to read on:
//
//   - carrier.go takes bytes and messages to the device
//   - look.go looks whether it is there at all, before the first case
//   - bench.go speaks with it, and knows what it has been given; steps.go has what most
//     cases begin with, such as a key that is delivered
//   - the other files are the cases, in the order of docs/protocol.md, section 4
//
// What the device says is compared with bytes made by hand (package wire). The steps
// that lead a case to where it begins look only at what they need, so that a device
// that does one thing wrong fails one case.
package device

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

// Config says which device is tried, and how it is reached.
type Config struct {
	Entity  string // its Entity ID
	Gateway string // what the kit calls itself, a gateway ID
	TK      []byte
	Carrier Carrier
	Ask     string // what to look at where no hello comes: "is it on?"

	// PowerCycle takes the device's power away and gives it back; nil where nobody can.
	PowerCycle func(ctx context.Context) error
}

// A Bench is a device on the table, with the gateway's end of its link in hand. It is
// for one goroutine, the one that runs the cases.
type Bench struct {
	Config
	stream Stream // nil where the link carries messages only

	in     chan arrival
	cancel context.CancelFunc
	ended  chan error

	hello  *wire.Heard     // the latest that was heard, nil before the first
	madeAt time.Time       // when that was heard first
	nonces map[string]bool // of all hellos
	deaf   bool            // it did not answer the last identify
	opened bool            // a notification or an update has opened since it was switched on

	set   keySet // what the device was given last
	top   uint64 // the highest epoch that it was offered or said
	clean bool   // the case before came to its end: set is right
}

// A keySet is EUKeys that the kit has made up, and how far the device has come.
type keySet struct {
	gateway string
	epoch   uint64
	keys    [][]byte // EUKey_1 first
	index   uint64   // of the key that the device holds; 0 where it holds none of these
}

// key is EUKey_index.
func (s *keySet) key(index uint64) []byte { return s.keys[index-1] }

// An arrival is a message that came in.
type arrival struct {
	msg []byte
	at  time.Time
}

// maxWaiting is how many messages wait for the case to look at them. A device has no
// reason to say more than a few at a time.
const maxWaiting = 256

// New makes a Bench, and starts its carrier. Close ends it.
func New(ctx context.Context, c Config) *Bench {
	ctx, cancel := context.WithCancel(ctx)
	b := &Bench{
		Config: c, in: make(chan arrival, maxWaiting), cancel: cancel, ended: make(chan error, 1),
		nonces: map[string]bool{},
	}
	b.stream, _ = c.Carrier.(Stream)
	go func() { b.ended <- c.Carrier.Run(ctx, b.heard) }()
	return b
}

// heard is called by the carrier. What there is no room for is lost: a flood fails the
// case by what is there.
func (b *Bench) heard(msg []byte) {
	select {
	case b.in <- arrival{msg, time.Now()}:
	default:
	}
}

// Close ends the carrier.
func (b *Bench) Close() {
	b.cancel()
	<-b.ended
}

// WaitUp returns once the carrier can carry messages.
func (b *Bench) WaitUp(ctx context.Context, limit time.Duration) error {
	until := time.Now().Add(limit)
	for {
		up, detail := b.Carrier.Up()
		switch {
		case up:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(until):
			return errors.New(detail)
		}
		sleep.For(ctx, 20*time.Millisecond)
	}
}

// say sends a message to the device.
func (b *Bench) say(ctx context.Context, t *conform.T, what string, msg []byte) {
	b.send(ctx, t, what, false, msg)
}

// cast sends a message to a device that may just have no power: over USB the link is then
// down, and over a serial line nobody hears it.
func (b *Bench) cast(ctx context.Context, t *conform.T, what string, msg []byte) {
	t.Sent(what, msg)
	if err := b.Carrier.Send(ctx, false, msg); err != nil {
		t.Note("that was not sent: %v", err)
	}
}

func (b *Bench) send(ctx context.Context, t *conform.T, what string, everybody bool, msg []byte) {
	t.Sent(what, msg)
	if err := b.Carrier.Send(ctx, everybody, msg); err != nil && ctx.Err() == nil {
		t.Undecided("sending: %v", err)
	}
}

// write sends bytes as they are.
func (b *Bench) write(ctx context.Context, t *conform.T, what string, data []byte) {
	t.Sent(what, data)
	if err := b.stream.Write(ctx, data); err != nil && ctx.Err() == nil {
		t.Undecided("sending: %v", err)
	}
}

// hear waits for the next message, nil where none comes in time.
func (b *Bench) hear(ctx context.Context, t *conform.T, wait time.Duration) *heard {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case a := <-b.in:
		return b.note(t, a)
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return nil
	}
}

// A heard is a message that came in, as far as it can be read.
type heard struct {
	*wire.Heard
	raw      []byte
	readable bool
	at       time.Time
	repeated bool // a new hello with the nonce of another
}

// note reads a message, and keeps in mind what every later step has to know.
func (b *Bench) note(t *conform.T, a arrival) *heard {
	m, ok := wire.Read(a.msg)
	if m == nil {
		m = &wire.Heard{Raw: a.msg, Type: ^uint64(0)}
	}
	h := &heard{Heard: m, raw: a.msg, readable: ok, at: a.at}
	t.Heard(h.String(), a.msg)
	if !ok {
		return h
	}
	if m.Type == wire.TypeHello && (b.hello == nil || string(b.hello.Raw) != string(a.msg)) {
		h.repeated = b.nonces[string(m.Nonce)]
		b.nonces[string(m.Nonce)] = true
		b.hello, b.madeAt = m, a.at
	}
	return h
}

var typeNames = [...]string{"identify", "hello", "notification", "acknowledgement", "auth-challenge", "auth-response", "eukey-update"}

// String says what was heard, in a few words.
func (h *heard) String() string {
	if h == nil {
		return "nothing"
	}
	switch {
	case !h.readable:
		return fmt.Sprintf("%d bytes that are no message a PNE says: %s", len(h.raw), short(h.raw))
	case h.Type == wire.TypeAcknowledgement:
		return fmt.Sprintf("acknowledgement with status %d, epoch %d, index %d", h.Status, h.Epoch, h.Index)
	case h.Type == wire.TypeHello, h.Type == wire.TypeAuthResponse:
		return fmt.Sprintf("%s with epoch %d, index %d", typeNames[h.Type], h.Epoch, h.Index)
	}
	return typeNames[h.Type]
}

// nothing says that no message came, and whether bytes did since the last that was sent.
func (b *Bench) nothing() string {
	if b.stream != nil {
		if n := b.stream.Stray(); n > 0 {
			return fmt.Sprintf("%d bytes that are no frame: is --baud right?", n)
		}
	}
	return "nothing"
}

// short is the beginning of bytes, in hex.
func short(b []byte) string {
	const most = 48
	if len(b) <= most {
		return hex.EncodeToString(b)
	}
	return hex.EncodeToString(b[:most]) + "…"
}

// random is n random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
