package device

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// twins is the device in C and the one in Go, and a gateway, or several, that know
// TK and all EUKeys and do with them what they like.
type twins struct {
	*harness
	*sibling
	t      *testing.T
	rnd    *rand.Rand
	link   link
	e      cpns.EntityID
	tk     cpns.TK
	pair   *cpns.X25519Pair
	chains [4][]cpns.EUKey // of epochs 1 to 3; the first is nobody's

	ms      uint64 // the clock
	sent    [][]byte
	heard   [][]byte // what the device said, as messages
	randGW  [16]byte
	randPNE [16]byte
	iv      uint32
	hello   uint64 // when the latest hello was said
	after   int64  // what the latest poll said
	did     []string
	seen    map[string]int // kinds of events, that all of them were
}

const chainLength = 8

func newTwins(t *testing.T, p port, seed uint64, seen map[string]int) *twins {
	tw := &twins{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), seen: seen}
	names := []cpns.EntityID{"e", "meter-0001", "urn:dev:mac:0024befffe804ff1", cpns.EntityID(strings.Repeat("z", 64))}
	tw.e = names[tw.rnd.IntN(len(names))]
	tw.tk = make(cpns.TK, 16+tw.rnd.IntN(49))
	for i := range tw.tk {
		tw.tk[i] = byte(tw.rnd.Uint32())
	}
	tw.link = link(tw.rnd.IntN(3))
	flags := map[rune]bool{}
	switch tw.rnd.IntN(6) {
	case 0, 1:
		flags['x'] = true
	case 2:
		flags['c'] = true
	}
	switch tw.rnd.IntN(5) {
	case 0:
		flags['v'] = true
	case 1:
		flags['e'] = true
	}
	tw.pair = cpns.NewX25519Pair([32]byte{byte(seed), 7})
	for i := range tw.chains {
		tw.chains[i] = make([]cpns.EUKey, chainLength)
		cpns.DeriveSet(tw.chains[i], &[32]byte{byte(seed), byte(i)})
	}
	tw.sibling = newSibling(tw.e, tw.tk, tw.link, flags)
	tw.harness = startHarness(t, p)
	text := ""
	for f := range flags {
		text += string(f)
	}
	tw.configure(string(tw.e), tw.tk, tw.link, text)
	tw.sibling.random = seed*2 + 1
	tw.do("seed %d", tw.sibling.random)
	// A clock of 32 bits wraps in the middle of every other script.
	if seed%2 == 0 {
		tw.ms = 1<<32 - 1 - uint64(tw.rnd.IntN(100_000))
	}
	tw.did = append(tw.did, fmt.Sprintf("link %d, flags %q, e %q", tw.link, text, tw.e))
	return tw
}

func (tw *twins) clock() uint32 { return uint32(tw.ms) }

// both runs the step of one device and of the other, and compares what came of it.
func (tw *twins) both(what string, c func() answer, g func()) {
	tw.t.Helper()
	tw.did = append(tw.did, fmt.Sprintf("%d ms: %s", tw.ms, what))
	tw.sibling.begin(tw.ms)
	g()
	tw.compare(what, c())
}

func (tw *twins) compare(what string, a answer) {
	tw.t.Helper()
	a.events = slices.DeleteFunc(a.events, func(e event) bool { return e.kind == kindSlotFailed })
	for i := range a.events {
		e := &a.events[i]
		tw.seen[fmt.Sprintf("kind %d status %d", e.kind, e.status)]++
		e.why = 0
		if e.kind != kindIgnored {
			e.typ = 0
		}
	}
	said := func(list [][]byte) string {
		text := ""
		for _, m := range list {
			text += hex.EncodeToString(m) + "\n"
		}
		return text
	}
	if got, want := said(a.said), said(tw.sibling.said); got != want {
		tw.differ(what, "said", got, want)
	}
	if got, want := fmt.Sprint(a.events), fmt.Sprint(tw.sibling.events); got != want {
		tw.differ(what, "events {kind why status type everybody epoch index}", got, want)
	}
	if got, want := tw.harness.held(), tw.sibling.held(); got != want {
		tw.differ(what, "held", got, want)
	}
	for _, m := range a.said {
		if tw.link != messages {
			var d transport.Deframer
			d.Feed(m, func(msg []byte) { m = bytes.Clone(msg) })
		}
		tw.learn(m)
	}
}

// learn is what the gateway keeps of what a device said.
func (tw *twins) learn(msg []byte) {
	tw.heard = append(tw.heard, msg)
	m, err := cpns.ParseMessage(msg)
	if err != nil {
		tw.t.Fatalf("it said %x: %v", msg, err)
	}
	switch m := m.(type) {
	case *cpns.Hello:
		tw.hello = tw.ms
		if err := m.Verify(tw.tk); err != nil {
			tw.t.Fatal(err)
		}
	case *cpns.AuthResponse:
		tw.randPNE = m.RandPNE
	}
}

func (tw *twins) differ(what, which, got, want string) {
	tw.t.Helper()
	tw.t.Fatalf("after %q: %s\n C  %s\n Go %s\nthe script:\n%s", what, which, got, want, strings.Join(tw.did, "\n"))
}

func (tw *twins) poll() {
	tw.t.Helper()
	var after int64
	var got string
	tw.both("poll", func() answer {
		a := tw.do("poll %d", tw.clock())
		got = a.result[0]
		return a
	}, func() { after = tw.sibling.poll() })
	tw.after = after
	want := strconv.FormatUint(uint64(uint32(after)), 10)
	if got != want {
		tw.differ("poll", "when to look again", got, want)
	}
}

// message gives both a message, as it comes on the link.
func (tw *twins) message(what string, msg []byte) {
	tw.t.Helper()
	tw.sent = append(tw.sent, msg)
	if tw.link == messages {
		tw.both(what, func() answer { return tw.harness.message(tw.clock(), msg) }, func() { tw.sibling.handle(msg) })
		return
	}
	stream := transport.EncodeFrame(nil, msg)
	switch tw.rnd.IntN(8) {
	case 0: // noise before it, and half of it
		stream = slices.Concat([]byte{0x55, 0xaa, 9}, stream[:tw.rnd.IntN(len(stream)-1)], stream)
	case 1:
		stream = append(stream, 0, 0, 0)
	case 2: // more than fits
		stream = slices.Concat(bytes.Repeat([]byte{0xa5}, 300), stream)
	}
	step := []int{1, 7, len(stream)}[tw.rnd.IntN(3)]
	tw.both(what, func() answer { return tw.do("feed %d %x %d", tw.clock(), stream, step) }, func() {
		tw.sibling.heard = tw.sibling.now
		tw.sibling.handle(msg)
	})
}

func (tw *twins) marshal(m cpns.Message, err error) []byte {
	tw.t.Helper()
	if err != nil {
		tw.t.Fatal(err)
	}
	b, err := m.Marshal()
	if err != nil {
		tw.t.Fatal(err)
	}
	return b
}

func (tw *twins) nextIV() (iv [12]byte) {
	tw.iv++
	iv[0], iv[1] = byte(tw.iv>>8), byte(tw.iv)
	return iv
}

// mostly is true in n-1 of n cases.
func (tw *twins) mostly(n int) bool { return tw.rnd.IntN(n) != 0 }

func (tw *twins) gateway() cpns.GatewayID {
	if tw.mostly(6) {
		return "gw-0001"
	}
	return "gw-0002"
}

// lastHello is the latest hello, or sometimes an older one.
func (tw *twins) lastHello() *cpns.Hello {
	for _, msg := range slices.Backward(tw.heard) {
		if m, _ := cpns.ParseMessage(msg); m.MessageType() == cpns.TypeHello && tw.mostly(8) {
			return m.(*cpns.Hello)
		}
	}
	return nil
}

func (tw *twins) notification() (string, []byte) {
	h := tw.lastHello()
	if h == nil {
		return "", nil
	}
	tk, epoch := tw.tk, cpns.Epoch(1+tw.rnd.IntN(3))
	_, heldEpoch, heldIndex := tw.sibling.device.Held()
	index := cpns.Index(1 + tw.rnd.IntN(chainLength))
	if tw.mostly(3) && heldEpoch != 0 { // what a gateway would do
		epoch, index = heldEpoch, min(heldIndex+1, chainLength)
	}
	chain := tw.chains[epoch]
	what := "notification"
	switch tw.rnd.IntN(12) {
	case 0:
		what, tk = "notification under another TK", make(cpns.TK, 16)
	case 1:
		what, chain = "notification of another chain", tw.chains[0]
	case 2:
		what = "notification without, or with, X25519"
		other := *h
		if other.X25519 == nil {
			public := tw.pair.Public()
			other.X25519 = &public
		} else {
			other.X25519 = nil
		}
		h = &other
	}
	m, err := cpns.SealNotification(tk, h, tw.pair, tw.gateway(), epoch, index, &chain[index-1], tw.nextIV())
	msg := tw.marshal(m, err)
	if m.X25519 != nil && tw.rnd.IntN(12) == 0 {
		what = "notification with a point of small order"
		clear(msg[len(msg)-32:])
	}
	return fmt.Sprintf("%s, epoch %d index %d", what, epoch, index), msg
}

func (tw *twins) challenge() (string, []byte) {
	what := "challenge again"
	if tw.mostly(4) {
		what = "challenge"
		tw.randGW = [16]byte{byte(tw.rnd.Uint32()), byte(tw.rnd.Uint32())}
	}
	return what, tw.marshal(&cpns.AuthChallenge{Entity: tw.e, Gateway: tw.gateway(), RandGW: tw.randGW}, nil)
}

func (tw *twins) update() (string, []byte) {
	g, epoch, index := tw.sibling.device.Held()
	if index == 0 {
		return "", nil
	}
	held := tw.chains[epoch][index-1]
	var next *cpns.EUKey
	what, at := "update without a key", index
	if index < chainLength && tw.mostly(3) {
		what, at, next = "update", index+1, &tw.chains[epoch][index]
	}
	switch tw.rnd.IntN(10) {
	case 0:
		what, epoch = what+" of another epoch", epoch+1
	case 1:
		what, at = what+" of another index", at+1
	case 2:
		if next != nil {
			what, next = what+" of another chain", &tw.chains[0][index]
		}
	case 3:
		what, g = what+" of another gateway", "gw-0003"
	}
	m, err := cpns.SealEUKeyUpdate(tw.tk, &held, g, &tw.randGW, &tw.randPNE, tw.e, epoch, at, next, tw.nextIV())
	return what, tw.marshal(m, err)
}

// others is what is said on a line between others.
func (tw *twins) others() (string, []byte) {
	const other = "another-0002"
	switch tw.rnd.IntN(6) {
	case 0:
		return "identify for another", tw.marshal(&cpns.Identify{Entity: other}, nil)
	case 1:
		return "challenge for another", tw.marshal(&cpns.AuthChallenge{Entity: other, Gateway: "gw-0001"}, nil)
	case 2:
		h, err := cpns.NewHello(tw.tk, cpns.Hello{Entity: other, Algs: []int64{-7, 24, 1 << 40}})
		return "another's hello", tw.marshal(h, err)
	case 3:
		return "another's acknowledgement", tw.marshal(cpns.NewFailedAcknowledgement(cpns.AckStale, other, 1, 1), nil)
	case 4:
		return "a third one's acknowledgement", tw.marshal(cpns.NewFailedAcknowledgement(cpns.AckStale, "third", 1, 1), nil)
	}
	if len(tw.heard) == 0 {
		return "", nil
	}
	return "an echo", tw.heard[len(tw.heard)-1]
}

// broken is something that was sent before, with a mistake in it.
func (tw *twins) broken() (string, []byte) {
	if len(tw.sent) == 0 {
		return "", nil
	}
	msg := bytes.Clone(tw.sent[tw.rnd.IntN(len(tw.sent))])
	if len(msg) == 0 {
		return "", nil
	}
	switch tw.rnd.IntN(3) {
	case 0:
		msg[tw.rnd.IntN(len(msg))] ^= 1 << tw.rnd.IntN(8)
	case 1:
		msg = msg[:tw.rnd.IntN(len(msg))]
	case 2:
		msg = append(msg, byte(tw.rnd.Uint32()))
	}
	return "broken", msg
}

var pauses = []uint64{0, 0, 1, 19, 20, 21, 100, 250, 599, 600, 999, 1000, 1001, 4999, 5000, 9999, 10000, 60_000, 600_000}

// wait lets time pass: up to an edge of the schedule, more often than not.
func (tw *twins) wait() {
	switch tw.rnd.IntN(4) {
	case 0:
		tw.ms += pauses[tw.rnd.IntN(len(pauses))]
	case 1:
		tw.ms += uint64(tw.rnd.IntN(3000))
	case 2: // when a hello is due, or just before
		if tw.after > 0 {
			tw.ms += uint64(tw.after) - uint64(tw.rnd.IntN(2))
		}
	case 3: // so long after the latest hello
		at := tw.hello + []uint64{999, 1000, 9999, 10000}[tw.rnd.IntN(4)]
		tw.ms = max(tw.ms, at)
	}
}

// step is one thing that happens.
func (tw *twins) step() {
	tw.wait()
	var what string
	var msg []byte
	switch tw.rnd.IntN(20) {
	case 0:
		what, msg = "identify", tw.marshal(&cpns.Identify{Entity: tw.e}, nil)
	case 1:
		what, msg = "identify for all", tw.marshal(&cpns.Identify{}, nil)
	case 2, 3, 4, 5:
		what, msg = tw.notification()
	case 6, 7, 8:
		what, msg = tw.challenge()
	case 9, 10, 11:
		what, msg = tw.update()
	case 12, 13:
		what, msg = tw.others()
	case 14:
		what, msg = tw.broken()
	case 15:
		if len(tw.sent) > 0 {
			what, msg = "the last again", tw.sent[len(tw.sent)-1]
		}
	case 16:
		if len(tw.sent) > 0 {
			what, msg = "an older one again", tw.sent[tw.rnd.IntN(len(tw.sent))]
		}
	case 17:
		tw.faults()
	case 18:
		tw.both("link up", func() answer { return tw.do("up %d", tw.clock()) }, tw.sibling.up)
	case 19:
		if tw.rnd.IntN(4) == 0 {
			tw.boot()
		}
	}
	if what != "" {
		tw.message(what, msg)
	}
	tw.poll()
}

// faults begins one, or ends all.
func (tw *twins) faults() {
	tw.sibling.randomFails, tw.sibling.sendFails, tw.sibling.storeFails = false, false, false
	store := "o"
	switch tw.rnd.IntN(8) {
	case 0:
		tw.sibling.randomFails = true
	case 1:
		tw.sibling.sendFails = true
	case 2, 3, 4:
		tw.sibling.storeFails = true
		store = []string{"f", "l", "w"}[tw.rnd.IntN(3)]
	}
	number := map[bool]int{true: 1}
	tw.do("randomfails %d", number[tw.sibling.randomFails])
	tw.do("sendfails %d", number[tw.sibling.sendFails])
	tw.do("store %s", store)
	tw.did = append(tw.did, fmt.Sprintf("random fails %v, send fails %v, storage %s", tw.sibling.randomFails, tw.sibling.sendFails, store))
}

// boot takes the power away from both.
func (tw *twins) boot() {
	tw.both("power cut", func() answer { tw.harness.boot(tw.clock()); return answer{} }, func() {
		if err := tw.sibling.boot(); err != nil {
			tw.t.Fatal(err)
		}
	})
	tw.both("link up", func() answer { return tw.do("up %d", tw.clock()) }, tw.sibling.up)
}

// TestTwins drives the device in C and the one in Go by the same scripts, drawn at
// random, and compares everything that they say, hold, tell and wait for, step by
// step. CPNS_DEVICE_SCRIPTS is how many, from CPNS_DEVICE_SEED on.
func TestTwins(t *testing.T) {
	scripts, from := number(t, "CPNS_DEVICE_SCRIPTS", 60), number(t, "CPNS_DEVICE_SEED", 1)
	for _, p := range ports {
		t.Run(p.name, func(t *testing.T) {
			seen := make(map[string]int)
			for seed := range uint64(scripts) {
				tw := newTwins(t, p, from+seed, seen)
				tw.did = append(tw.did, fmt.Sprint("seed ", from+seed))
				tw.boot()
				for range 60 {
					tw.step()
				}
				tw.end()
			}
			for _, kind := range []string{
				"kind 0 status 0", "kind 1 status 0", "kind 2 status 0", "kind 3 status 0", "kind 4 status 0", "kind 5 status 0", "kind 6 status 0",
				"kind 7 status 0", "kind 7 status 1", "kind 7 status 2", "kind 7 status 3", "kind 7 status 4", "kind 8 status 0", "kind 9 status 0",
			} {
				if seen[kind] == 0 {
					t.Errorf("nothing of %s happened in %d scripts", kind, scripts)
				}
			}
			t.Log(seen)
		})
	}
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
