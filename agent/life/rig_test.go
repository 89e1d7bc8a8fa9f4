package life

import (
	"crypto/rand"
	mrand "math/rand/v2"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

const (
	testEntity  = cpns.EntityID("urn:dev:mac:0024befffe804ff1")
	testGateway = cpns.GatewayID("gw-0001")
)

// middle is chance in the middle: what is drawn is what it is drawn about, when no
// ticket has been given out yet.
const middle = 1 << 63

// bench drives one PNE's state by hand: it plays the device with nothing but
// what the device would know.
type bench struct {
	t     *testing.T
	p     PNE
	w     World
	tells []News

	random bool // chance is drawn
}

func newBench(t *testing.T, sets ...*Set) *bench {
	b := &bench{t: t, w: World{
		Now: time.Unix(1763800000, 0), ClockSet: true, Gateway: testGateway, Link: "wire", Chance: middle,
		Wait: func(string) time.Duration { return time.Second },
		Pair: func() *cpns.X25519Pair { return gatewayPair },
	}}
	b.p = New(testEntity, "alice")
	for _, s := range sets {
		b.assign(s)
	}
	return b
}

// gatewayPair is a gateway's X25519 pair.
var gatewayPair = cpns.NewX25519Pair([32]byte{1})

// assign has a set assigned. Where keys of it are proved it is as if it had been
// so for long.
func (b *bench) assign(s *Set) {
	b.step(Requested{&Request{User: "alice"}})
	b.step(Assigned{User: "alice", Set: s})
}

func newSet(epoch cpns.Epoch, n cpns.Index) *Set {
	s := &Set{Epoch: epoch, Length: n, TK: make(cpns.TK, 16), Taken: 1763800000}
	rand.Read(s.Last[:])
	rand.Read(s.TK)
	return s
}

// step moves the state and returns what is sent.
func (b *bench) step(ev Event) []Outgoing {
	b.t.Helper()
	rand.Read(b.w.RandGW[:])
	rand.Read(b.w.IV[:])
	if b.random {
		b.w.Chance = mrand.Uint64()
	}
	was := b.p.rec
	keep := *was
	var effects []Effect
	b.p, effects = Apply(b.p, ev, b.w)
	if *was != keep {
		b.t.Fatalf("%T changed a record in place", ev)
	}
	b.tells = nil
	var sends []Outgoing
	for _, e := range effects {
		switch e := e.(type) {
		case Outgoing:
			sends = append(sends, e)
		case News:
			b.tells = append(b.tells, e)
		}
	}
	return sends
}

// one is step where exactly one message is expected.
func (b *bench) one(ev Event) cpns.Message {
	b.t.Helper()
	sends := b.step(ev)
	if len(sends) != 1 {
		b.t.Fatalf("%T led to %d messages, want 1", ev, len(sends))
	}
	m, err := cpns.ParseMessage(sends[0].Wire)
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

func (b *bench) none(ev Event) {
	b.t.Helper()
	if sends := b.step(ev); len(sends) != 0 {
		b.t.Fatalf("%T led to %d messages, want none", ev, len(sends))
	}
}

func (b *bench) told(kinds ...Kind) {
	b.t.Helper()
	if len(b.tells) != len(kinds) {
		b.t.Fatalf("told %v, want %v", b.tells, kinds)
	}
	for i, k := range kinds {
		if b.tells[i].Kind != k {
			b.t.Fatalf("told %v, want %v", b.tells, kinds)
		}
	}
}

// hello is a hello that the device says, under the TK of the newest set.
func (b *bench) hello(e cpns.Epoch, i cpns.Index) *cpns.Hello {
	b.t.Helper()
	tk := make(cpns.TK, 16)
	if t := b.p.rec.target(); t != nil {
		tk = t.TK
	}
	return b.helloUnder(tk, e, i)
}

func (b *bench) helloUnder(tk cpns.TK, e cpns.Epoch, i cpns.Index) *cpns.Hello {
	b.t.Helper()
	h := cpns.Hello{Entity: testEntity, Epoch: e, Index: i, Algs: []int64{cpns.AlgChaCha20Poly1305}}
	rand.Read(h.Nonce[:])
	m, err := cpns.NewHello(tk, h)
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// answers is the context of an acknowledgement of the answer to a hello.
func answers(t testing.TB, h *cpns.Hello) cpns.AckContext {
	t.Helper()
	sum, err := h.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return cpns.NotificationContext(&sum)
}

// take is the device taking a notification.
func take(t *testing.T, m cpns.Message, s *Set, h *cpns.Hello) (*cpns.Acknowledgement, cpns.EUKey) {
	t.Helper()
	n, ok := m.(*cpns.Notification)
	if !ok {
		t.Fatalf("got a %T, want a notification", m)
	}
	sum, err := h.Hash()
	if err != nil {
		t.Fatal(err)
	}
	key, err := n.Open(s.TK, &sum, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cpns.NewAcknowledgement(&key, cpns.NotificationContext(&sum), testEntity, n.Gateway, n.Epoch, n.Index), key
}

func (b *bench) wantState(want State, e cpns.Epoch, i cpns.Index) {
	b.t.Helper()
	if v := b.p.View(); v.State != want || v.Epoch != e || v.Index != i {
		b.t.Fatalf("state is %s epoch %d index %d (%s), want %s %d %d", v.State, v.Epoch, v.Index, v.Note, want, e, i)
	}
}

// asked is the challenge among what is sent, and nothing else may be.
func (b *bench) asked(ev Event) *cpns.AuthChallenge {
	b.t.Helper()
	c, ok := b.one(ev).(*cpns.AuthChallenge)
	if !ok {
		b.t.Fatalf("%T led to another message than a challenge", ev)
	}
	return c
}

// responds is the device answering a challenge with key i of s.
func responds(s *Set, c *cpns.AuthChallenge, i cpns.Index) (*cpns.AuthResponse, [16]byte) {
	key := s.key(i)
	var mine [16]byte
	rand.Read(mine[:])
	return cpns.NewAuthResponse(&key, c.Gateway, &c.RandGW, &mine, testEntity, s.Epoch, i), mine
}

// authenticates is the device answering a challenge and taking the update that
// follows; it gives the key that it then holds.
func (b *bench) authenticates(s *Set, c *cpns.AuthChallenge, held cpns.Index) cpns.Index {
	b.t.Helper()
	r, mine := responds(s, c, held)
	u, ok := b.one(r).(*cpns.EUKeyUpdate)
	if !ok {
		b.t.Fatal("a response led to no update")
	}
	b.none(r) // repeated while the update is on its way
	ack := b.takeUpdate(s, u, c, mine, held)
	b.none(ack)
	return u.Index
}

// takeUpdate is the device taking an update.
func (b *bench) takeUpdate(s *Set, u *cpns.EUKeyUpdate, c *cpns.AuthChallenge, mine [16]byte, held cpns.Index) *cpns.Acknowledgement {
	b.t.Helper()
	key := s.key(held)
	next, err := u.Open(s.TK, &key, c.Gateway, &c.RandGW, &mine)
	if err != nil {
		b.t.Fatal(err)
	}
	switch {
	case next == nil && u.Index != held:
		b.t.Fatalf("an empty update of index %d for a device that holds %d", u.Index, held)
	case next == nil:
		next = &key
	case u.Index != held+1 || !key.Precedes(next):
		b.t.Fatalf("an update of index %d for a device that holds %d", u.Index, held)
	}
	return cpns.NewAcknowledgement(next, cpns.UpdateContext(&c.RandGW, &mine), testEntity, c.Gateway, u.Epoch, u.Index)
}

// holds brings a device to key i of s by what the set says is proved.
func provedSet(epoch cpns.Epoch, n, proved cpns.Index) *Set {
	s := newSet(epoch, n)
	s.Proved = proved
	return s
}
