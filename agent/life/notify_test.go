package life

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

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
	if n := b.tells[0]; n.Epoch != 1 || n.Index != 1 || n.Length != 4 {
		t.Errorf("told of %+v", n)
	}
	b.wantState(StateDelivered, 1, 1)
	b.none(ack) // replayed
	b.told(Unproved)
	b.wantState(StateDelivered, 1, 1)
	if !b.p.Due().IsZero() {
		t.Error("a deadline is left after delivery")
	}
}

// An acknowledgement counts only under the key, the hello and the gateway that it
// answers, and for the message that it answers.
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
		{"another hello", func(h *cpns.Hello) *cpns.Acknowledgement {
			another := *h
			another.Nonce[0]++
			return cpns.NewAcknowledgement(&good, answers(t, &another), testEntity, testGateway, 1, 1)
		}, Unproved},
		{"another gateway", func(h *cpns.Hello) *cpns.Acknowledgement {
			return cpns.NewAcknowledgement(&good, answers(t, h), testEntity, "gw-0002", 1, 1)
		}, Unproved},
		{"an update", func(h *cpns.Hello) *cpns.Acknowledgement {
			return cpns.NewAcknowledgement(&good, cpns.UpdateContext(&h.Nonce, &h.Nonce), testEntity, testGateway, 1, 1)
		}, Unproved},
		{"a later index", func(h *cpns.Hello) *cpns.Acknowledgement {
			k := s.key(2)
			return cpns.NewAcknowledgement(&k, answers(t, h), testEntity, testGateway, 1, 2)
		}, Unproved},
		{"another epoch", func(h *cpns.Hello) *cpns.Acknowledgement {
			return cpns.NewAcknowledgement(&good, answers(t, h), testEntity, testGateway, 2, 1)
		}, Unproved},
		{"a failure", func(h *cpns.Hello) *cpns.Acknowledgement {
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

// That a device could not open its key is believed of what it was sent last, and
// only while it has not said hello since: 300 devices over a broker that is slow
// say so of answers to hellos that they have said anew meanwhile.
func TestStatusIsBelieved(t *testing.T) {
	cannot := func(i cpns.Index) *cpns.Acknowledgement {
		return cpns.NewFailedAcknowledgement(cpns.AckCannotDecrypt, testEntity, 1, i)
	}
	blamed := func(b *bench) bool { return strings.Contains(b.p.View().Note, "Temporary Key") }
	s := newSet(1, 4)
	b := newBench(t, s)
	b.none(cannot(1)) // nothing was offered
	b.told(Unproved)
	first, second := b.hello(0, 0), b.hello(0, 0)
	b.one(first)
	b.none(cannot(2)) // another key
	b.told(Unproved)
	b.none(cannot(1))
	b.told(Refused)
	if b.p.View().Note == "" || blamed(b) {
		t.Errorf("the note is %q", b.p.View().Note)
	}
	ack, _ := take(t, b.one(second), s, second)
	b.none(ack)
	if n := b.p.View().Note; n != "" {
		t.Errorf("the note stays: %q", n)
	}
	b.none(cannot(1)) // of the first, late
	b.told(Unproved)

	c := b.asked(b.hello(1, 1)) // a newer hello than what was offered
	b.none(cannot(1))
	b.told(Unproved)
	r, _ := responds(s, c, 1)
	b.one(r)
	b.none(cannot(1)) // of the update
	b.told(Refused)
	if blamed(b) {
		t.Errorf("the note is %q", b.p.View().Note)
	}
	b.asked(b.hello(1, 1)) // it has said hello since: it opens no update of before
	b.none(cannot(1))
	b.told(Unproved)
	for _, status := range []cpns.AckStatus{cpns.AckStale, cpns.AckChainBroken, cpns.AckNotStored} {
		b.none(cpns.NewFailedAcknowledgement(status, testEntity, 1, 1))
		b.told(Refused)
		b.none(cpns.NewFailedAcknowledgement(status, testEntity, 9, 1))
		b.told(Unproved)
	}
	b.wantState(StateDelivered, 1, 1)
}

// A device that keeps only TK gets the next key each time that its power comes
// back, as often as that may be.
func TestPowerCuts(t *testing.T) {
	s := newSet(1, 64)
	b := newBench(t, s)
	for i := range cpns.Index(64) {
		b.w.Now = b.w.Now.Add(time.Second)
		h := b.hello(0, 0)
		ack, key := take(t, b.one(h), s, h)
		if want := s.key(i + 1); key != want {
			t.Fatalf("not key %d", i+1)
		}
		b.none(ack)
	}
	b.wantState(StateUsedUp, 1, 64)
	b.none(b.hello(0, 0))
	if b.p.View().Note == "" {
		t.Error("nobody is told that the set is used up")
	}
}

// A new set never strands a device: until it has proved the new one it can
// prove the old, and a hello of any kind brings it the new.
func TestNewEpoch(t *testing.T) {
	old, s := provedSet(1, 4, 2), newSet(2, 4)
	b := newBench(t, old)
	c := b.asked(b.hello(1, 2))
	b.assign(s)
	b.told(Superseded)
	b.wantState(StateAssigned, 2, 0)
	if !b.p.rec.current.same(old) {
		t.Fatal("the set that the device holds is gone before it has the new one")
	}
	r, _ := responds(old, c, 1) // rolled back, it says; but the challenge has ended
	b.none(r)
	b.told(Unproved)
	h := b.hello(1, 2)
	ack, _ := take(t, b.one(h), s, h)
	b.none(ack)
	b.wantState(StateDelivered, 2, 1)
	if b.p.rec.setOf(1) != nil {
		t.Error("the old set is kept after the new one is proved")
	}
}

// A gateway that was renamed goes on under its old name for the devices that it
// has: they answer no other.
func TestRenamed(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	b.w.Gateway = "renamed"
	h := b.hello(0, 0)
	m := b.one(h)
	if g := m.(*cpns.Notification).Gateway; g != testGateway {
		t.Fatalf("the notification names %s", g)
	}
	ack, _ := take(t, m, s, h)
	b.none(ack)
	value, err := b.p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if b.p, err = Parse(string(testEntity), value); err != nil {
		t.Fatal(err)
	}
	c := b.asked(Authenticate{})
	if c.Gateway != testGateway {
		t.Fatalf("the challenge names %s", c.Gateway)
	}
	b.authenticates(s, c, 1)
	b.wantState(StateDelivered, 1, 2)
	next := newSet(2, 4)
	b.assign(next)
	h = b.hello(1, 2)
	if g := b.one(h).(*cpns.Notification).Gateway; g != "renamed" {
		t.Errorf("a new set comes from %s", g)
	}
}

// With X25519 a notification opens with both sides' keys only; whether the key in
// use came so is known over a restart, and carried on by updates.
func TestX25519(t *testing.T) {
	s := newSet(1, 8)
	b := newBench(t, s)
	pair := cpns.NewX25519Pair([32]byte{2})
	say := func(public [32]byte, e cpns.Epoch, i cpns.Index) *cpns.Hello {
		h := cpns.Hello{Entity: testEntity, Epoch: e, Index: i, Algs: []int64{24}, X25519: &public}
		rand.Read(h.Nonce[:])
		m, err := cpns.NewHello(s.TK, h)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	shown := func(want bool) {
		t.Helper()
		value, err := b.p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(string(testEntity), value)
		if err != nil || again.View().X25519 != want || b.p.View().X25519 != want {
			t.Errorf("shown as %v, after a restart %v, want %v (%v)", b.p.View().X25519, again.View().X25519, want, err)
		}
	}
	b.none(say([32]byte{}, 0, 0)) // of small order: everybody would know the secret
	if b.p.View().Note == "" || b.p.mem.notify.open() {
		t.Error("a key of small order is answered, or not shown")
	}
	h := say(pair.Public(), 0, 0)
	sends := b.step(h)
	if len(sends) != 1 {
		t.Fatalf("%d messages", len(sends))
	}
	if wait := b.p.Due().Sub(b.w.Now); wait < X25519Wait*3/4 {
		t.Errorf("repeated after %v", wait)
	}
	m, _ := cpns.ParseMessage(sends[0].Wire)
	n := m.(*cpns.Notification)
	sum, _ := h.Hash()
	if _, err := n.Open(s.TK, &sum, nil); err == nil {
		t.Fatal("it opens without the device's private key")
	}
	key, err := n.Open(s.TK, &sum, pair)
	if err != nil {
		t.Fatal(err)
	}
	b.none(cpns.NewAcknowledgement(&key, cpns.NotificationContext(&sum), testEntity, testGateway, 1, 1))
	b.wantState(StateDelivered, 1, 1)
	shown(true)
	b.authenticates(s, b.asked(Authenticate{}), 1)
	b.wantState(StateDelivered, 1, 2)
	shown(true)

	plain := b.hello(0, 0)
	ack, _ := take(t, b.one(plain), s, plain)
	b.none(ack)
	shown(false)

	// An acknowledgement that is lost: what is proved later says it, if anything can.
	b.step(say(pair.Public(), 0, 0))
	b.authenticates(s, b.asked(b.hello(1, 4)), 4)
	shown(true)
	b.step(b.hello(0, 0))
	b.step(say(pair.Public(), 0, 0)) // one of the two it took
	b.authenticates(s, b.asked(b.hello(1, 5)), 5)
	shown(false)
}

// The tag is looked at before the gateway spends an X25519 on anybody.
func TestTagBeforeX25519(t *testing.T) {
	b := newBench(t, newSet(1, 4))
	b.w.Pair = func() *cpns.X25519Pair { t.Error("the pair was used"); return gatewayPair }
	public := gatewayPair.Public()
	h, err := cpns.NewHello(make(cpns.TK, 16), cpns.Hello{Entity: testEntity, Algs: []int64{24}, X25519: &public})
	if err != nil {
		t.Fatal(err)
	}
	b.none(h)
}
