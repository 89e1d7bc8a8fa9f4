package life

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

const (
	testEntity  = cpns.EntityID("urn:dev:mac:0024befffe804ff1")
	testGateway = cpns.GatewayID("gw-0001")
)

// bench drives one PNE's state by hand: it plays the device with nothing but
// what the device would know.
type bench struct {
	t     *testing.T
	p     PNE
	w     World
	tells []News
}

func newBench(t *testing.T, sets ...*Set) *bench {
	b := &bench{t: t, w: World{Now: time.Unix(1763800000, 0), ClockSet: true, Gateway: testGateway, Link: "wire", Wait: func(string) time.Duration { return time.Second }}}
	b.p = New(testEntity, "alice")
	for _, s := range sets {
		b.step(Requested{&Request{User: "alice"}})
		b.step(Assigned{User: "alice", Set: s})
	}
	return b
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

func TestDelivery(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t)
	b.step(Requested{&Request{User: "alice"}})
	b.wantState(StateRequested, 0, 0)
	b.none(b.hello(0, 0)) // nothing is here to give
	b.step(Assigned{User: "alice", Set: s})
	b.wantState(StateAssigned, 1, 0)

	h := b.hello(0, 0)
	ack, key := take(t, b.one(h), s, h)
	if want := s.key(1); key != want {
		t.Error("the device got another key than EUKey_1")
	}
	b.wantState(StateAssigned, 1, 0) // sent is not delivered
	b.none(ack)
	b.told(Delivered)
	b.wantState(StateDelivered, 1, 1)
	b.none(ack) // replayed
	b.told(Unproved)
	b.wantState(StateDelivered, 1, 1)
	if !b.p.Due().IsZero() {
		t.Error("a deadline is left after delivery")
	}
}

// An acknowledgement counts only under the key and the nonce that it answers.
func TestAcknowledgementRefused(t *testing.T) {
	s, other := newSet(1, 4), newSet(1, 4)
	good, wrong := s.key(1), other.key(1)
	for _, tc := range []struct {
		name string
		ack  func(h *cpns.Hello) *cpns.Acknowledgement
		want Kind
	}{
		{"another key", func(h *cpns.Hello) *cpns.Acknowledgement {
			return cpns.NewAcknowledgement(&wrong, answers(t, h), testEntity, testGateway, 1, 1)
		}, Unproved},
		{"another nonce", func(h *cpns.Hello) *cpns.Acknowledgement {
			another := *h
			another.Nonce[0]++
			return cpns.NewAcknowledgement(&good, answers(t, &another), testEntity, testGateway, 1, 1)
		}, Unproved},
		{"a later index", func(h *cpns.Hello) *cpns.Acknowledgement {
			k := s.key(2)
			return cpns.NewAcknowledgement(&k, answers(t, h), testEntity, testGateway, 1, 2)
		}, Unproved},
		{"another epoch", func(h *cpns.Hello) *cpns.Acknowledgement {
			return cpns.NewAcknowledgement(&good, answers(t, h), testEntity, testGateway, 2, 1)
		}, Unproved},
		{"a failure", func(*cpns.Hello) *cpns.Acknowledgement {
			return cpns.NewFailedAcknowledgement(cpns.AckCannotDecrypt, testEntity, 1, 1)
		}, Refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, s)
			h := b.hello(0, 0)
			ack, _ := take(t, b.one(h), s, h)
			b.none(tc.ack(h))
			b.told(tc.want)
			b.wantState(StateAssigned, 1, 0)
			b.none(ack) // the true one still counts
			b.wantState(StateDelivered, 1, 1)
		})
	}
}

// Asking uses nothing up: however many hellos come, the key is the same, and
// the device's own acknowledgement counts among those of a flood.
func TestHelloFlood(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	mine := b.hello(0, 0)
	ack, _ := take(t, b.one(mine), s, mine)
	answered := 0
	for range 1000 {
		h := b.hello(0, 0)
		for _, m := range b.step(h) {
			n, err := cpns.ParseMessage(m.Wire)
			if err != nil {
				t.Fatal(err)
			}
			if i := n.(*cpns.Notification).Index; i != 1 {
				t.Fatalf("a flood moved the notification to key %d", i)
			}
			answered++
		}
	}
	if answered > helloBurst {
		t.Errorf("%d of 1000 hellos at once were answered, want at most %d", answered, helloBurst)
	}
	b.none(ack)
	b.wantState(StateDelivered, 1, 1)
	b.w.Now = b.w.Now.Add(time.Second)
	b.step(b.hello(0, 0)) // the budget comes back
	b.wantState(StateDelivered, 1, 1)
	if b.p.mem.notify.index != 2 {
		t.Error("a device that lost its key is not offered the next")
	}
}

func TestRepeats(t *testing.T) {
	b := newBench(t, newSet(1, 4))
	first := b.step(b.hello(0, 0))
	start := b.w.Now
	var at []time.Duration
	for range 20 {
		due := b.p.Due()
		if due.IsZero() {
			break
		}
		b.w.Now = due.Add(-1)
		b.none(Timeout{})
		b.w.Now = due
		for _, m := range b.step(Timeout{}) {
			if !bytes.Equal(m.Wire, first[0].Wire) || m.To != testEntity || m.Link != "wire" {
				t.Error("a repeat is not the same message to the same place")
			}
			at = append(at, b.w.Now.Sub(start))
		}
	}
	want := []time.Duration{1, 3, 7, 15, 31}
	if len(at) != len(want) {
		t.Fatalf("repeated at %v, want %v s", at, want)
	}
	for i := range want {
		if at[i] != want[i]*time.Second {
			t.Errorf("repeated at %v, want %v s", at, want)
		}
	}
	if !b.p.Due().IsZero() {
		t.Error("it never gives up")
	}
}

// A device that holds a key is asked to prove it, and moved on.
func TestAuthentication(t *testing.T) {
	s := newSet(1, 3)
	b := newBench(t, s)
	hold := func(i cpns.Index) { // the device says hello with key i and authenticates
		t.Helper()
		b.w.Now = b.w.Now.Add(helloPeriod)
		c := b.one(b.hello(1, i)).(*cpns.AuthChallenge)
		key := s.key(i)
		var mine [16]byte
		rand.Read(mine[:])
		r := cpns.NewAuthResponse(&key, c.Gateway, &c.RandGW, &mine, testEntity, 1, i)
		u := b.one(r).(*cpns.EUKeyUpdate)
		b.none(r) // repeated while the update is on its way
		next, err := u.Open(s.TK, &key, testGateway, &c.RandGW, &mine)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case next == nil && i < s.Length:
			t.Fatal("no key in the update of a set that has more")
		case next == nil:
			next = &key
		case !key.Precedes(next):
			t.Fatal("the update's key does not follow the one held")
		}
		b.none(cpns.NewAcknowledgement(next, cpns.UpdateContext(&c.RandGW, &mine), testEntity, testGateway, 1, u.Index))
		b.told(Authenticated)
		if want := cpns.DeriveSessionKey(next, &c.RandGW, &mine, testEntity, testGateway); *b.tells[0].Key != want {
			t.Error("the session key is not the device's")
		}
	}
	hold(1) // its acknowledgement of the notification had been lost
	b.wantState(StateDelivered, 1, 2)
	hold(2)
	b.wantState(StateUsedUp, 1, 3)
	hold(3)
	b.wantState(StateUsedUp, 1, 3)
}

// A hello proves nothing, so a flood of them must not make the gateway move a
// device along its set, even where the device answers each challenge.
func TestHelloFloodMovesNothing(t *testing.T) {
	s := newSet(1, 64)
	b := newBench(t, s)
	held := cpns.Index(1)
	for range 500 {
		b.w.Now = b.w.Now.Add(time.Second)
		for _, m := range b.step(b.hello(1, held)) {
			c, err := cpns.ParseMessage(m.Wire)
			if err != nil {
				t.Fatal(err)
			}
			ch, ok := c.(*cpns.AuthChallenge)
			if !ok {
				continue
			}
			key := s.key(held)
			var mine [16]byte
			rand.Read(mine[:])
			for _, m := range b.step(cpns.NewAuthResponse(&key, testGateway, &ch.RandGW, &mine, testEntity, 1, held)) {
				u, err := cpns.ParseMessage(m.Wire)
				if err != nil {
					t.Fatal(err)
				}
				next, err := u.(*cpns.EUKeyUpdate).Open(s.TK, &key, testGateway, &ch.RandGW, &mine)
				if err != nil {
					t.Fatal(err)
				}
				held++
				b.step(cpns.NewAcknowledgement(next, cpns.UpdateContext(&ch.RandGW, &mine), testEntity, testGateway, 1, held))
			}
		}
	}
	if held != 2 {
		t.Errorf("500 hellos in 500 s moved the device to key %d, want 2", held)
	}
}

func TestRolledBack(t *testing.T) {
	s := newSet(1, 8)
	s.Proved = 5
	b := newBench(t, s)
	answer := func(i cpns.Index) {
		t.Helper()
		c := b.one(b.hello(1, i)).(*cpns.AuthChallenge)
		key := s.key(i)
		b.none(cpns.NewAuthResponse(&key, testGateway, &c.RandGW, &[16]byte{1}, testEntity, 1, i))
	}
	answer(3)
	b.told(Alarmed)
	b.wantState(StateAlarm, 1, 5)
	b.none(b.hello(0, 0))
	b.none(b.hello(1, 5))
}

// Without a proof there is no alarm: anybody can claim an old index.
func TestClaimIsNoProof(t *testing.T) {
	s := newSet(1, 8)
	s.Proved = 5
	b := newBench(t, s)
	c := b.one(b.hello(1, 3)).(*cpns.AuthChallenge)
	wrong := newSet(1, 8).key(3)
	b.none(cpns.NewAuthResponse(&wrong, testGateway, &c.RandGW, &[16]byte{1}, testEntity, 1, 3))
	b.told(Unproved)
	b.wantState(StateDelivered, 1, 5)
	b.none(b.hello(9, 1)) // another gateway's, it says
	if b.p.View().Note == "" {
		t.Error("nobody is told that the device claims a newer epoch")
	}
}

// A new set never strands a device: until it has proved the new one it can
// prove the old, and a hello of any kind brings it the new.
func TestNewEpoch(t *testing.T) {
	old, s := newSet(1, 4), newSet(2, 4)
	old.Proved = 2
	b := newBench(t, old, s)
	b.wantState(StateAssigned, 2, 0)
	if b.p.rec.current != old {
		t.Fatal("the set that the device holds is gone before it has the new one")
	}
	h := b.hello(1, 2)
	ack, _ := take(t, b.one(h), s, h)
	b.none(ack)
	b.wantState(StateDelivered, 2, 1)
	if b.p.rec.setOf(1) != nil {
		t.Error("the old set is kept after the new one is proved")
	}
}

func TestRecord(t *testing.T) {
	cur, next := newSet(3, 64), newSet(4, 1024)
	cur.Proved = 7
	r := &record{
		entity: "PNE/7+#%~:A", user: "bob@example.net", current: cur, next: next, advanced: 12,
		request: &Request{User: "bob@example.net", Rand: [32]byte{1}, Time: 2, AuthData: [32]byte{3}, Body: []byte{4}},
		alarm:   &alarm{3, 7, 2},
	}
	value, err := PNE{rec: r}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("PNE/7+#%~:A", value)
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(value, again) {
		t.Errorf("read back as\n%s\nwant\n%s", again, value)
	}
	if got.rec.next.key(1000) != next.key(1000) || !bytes.Equal(got.rec.current.TK, cur.TK) {
		t.Error("keys differ after reading back")
	}
	if _, err := Parse("another", value); err == nil {
		t.Error("a record under another's name is taken")
	}
	for _, bad := range []string{"", "{}", `{"v":2}`, `{"v":1,"entity_id":"a","user":"b"}`} {
		if _, err := Parse("a", []byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// A device whose acknowledgement was lost is one ahead: its proof alone counts,
// also where it may not be moved on.
func TestOneAhead(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	rec := *b.p.rec
	rec.advanced = b.w.Now.Unix()
	b.p.rec = &rec
	c := b.one(b.hello(1, 1)).(*cpns.AuthChallenge)
	key := s.key(1)
	b.none(cpns.NewAuthResponse(&key, testGateway, &c.RandGW, &[16]byte{1}, testEntity, 1, 1))
	b.told(Delivered)
	b.wantState(StateDelivered, 1, 1)
}

// A hello in a device's name has it refuse a notification that it did not ask
// for. Its TK is right all the same: it has proved a key.
func TestRefusalOfAProvenDevice(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	b.one(b.hello(0, 0))
	b.none(cpns.NewFailedAcknowledgement(cpns.AckCannotDecrypt, testEntity, 1, 1))
	if b.p.View().Note == "" {
		t.Error("nobody is told that a new device cannot decrypt")
	}
	s.Proved = 1
	b = newBench(t, s)
	b.one(b.hello(0, 0))
	b.none(cpns.NewFailedAcknowledgement(cpns.AckCannotDecrypt, testEntity, 1, 2))
	if n := b.p.View().Note; n != "" {
		t.Errorf("a proven device is said to be wrong: %s", n)
	}
}

// A copy of the hello that a device took its key under brings no further key:
// the device would take it, because that hello is still its latest.
func TestReplayedHello(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	h := b.hello(0, 0)
	ack, _ := take(t, b.one(h), s, h)
	b.none(ack)
	b.none(h)
	b.wantState(StateDelivered, 1, 1)
}

// Hellos that claim a loss use keys up only so fast, whoever says them.
func TestLossesArePaced(t *testing.T) {
	s := newSet(1, 1000)
	b := newBench(t, s)
	for range 500 {
		b.w.Now = b.w.Now.Add(time.Second)
		h := b.hello(0, 0)
		sends := b.step(h)
		if len(sends) == 0 {
			continue
		}
		m, err := cpns.ParseMessage(sends[0].Wire)
		if err != nil {
			t.Fatal(err)
		}
		ack, _ := take(t, m, s, h)
		b.none(ack)
	}
	b.wantState(StateDelivered, 1, 1+lossBurst)
	if b.p.View().Note == "" {
		t.Error("nobody is told why the device gets no key")
	}
	b.w.Now = b.w.Now.Add(lossPace)
	h := b.hello(0, 0)
	ack, _ := take(t, b.one(h), s, h)
	b.none(ack)
	b.wantState(StateDelivered, 1, 2+lossBurst)
}
