package agent

import (
	"fmt"
	"testing"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

func identifyOf(t *testing.T, e cpns.EntityID) life.Outgoing {
	t.Helper()
	wire, err := (&cpns.Identify{Entity: e}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return life.Outgoing{To: e, Wire: wire}
}

// TestExchanges: one exchange at a time on a byte stream; who answers is served
// before the gateway begins anything, and the next begins when the answer has come
// or the first wait is over.
func TestExchanges(t *testing.T) {
	const wait = 500 * time.Millisecond
	now := time.Unix(1e9, 0)
	var x exchanges
	send := func(want cpns.EntityID) {
		t.Helper()
		m, ok := x.next(now)
		if !ok || m.To != want {
			t.Fatalf("sent %q, %v, want %q", m.To, ok, want)
		}
		x.sent(m, now, wait)
	}
	none := func() {
		t.Helper()
		if m, ok := x.next(now); ok {
			t.Fatalf("%q is sent over another's exchange", m.To)
		}
	}
	none()
	x.begin(identifyOf(t, "a"))
	x.begin(identifyOf(t, "b"))
	x.begin(identifyOf(t, "c"))
	send("a")
	none()
	x.heard("b") // somebody else
	none()
	x.heard("a")
	x.answer(identifyOf(t, "a")) // before what waits
	send("a")
	none()
	now = now.Add(wait - 1)
	none()
	if got := x.pause(now); got != 1 {
		t.Errorf("the next pause is %v", got)
	}
	now = now.Add(1)
	send("b")
	x.heard("b")
	send("c")

	// After an identify for everybody those who answer are served; what the gateway
	// would begin waits until all have had their time.
	x.heard("c")
	x.begin(whoIsThere)
	x.begin(identifyOf(t, "d"))
	send("")
	none()
	x.answer(identifyOf(t, "e"))
	send("e")
	none()
	x.heard("e")
	send("d")

	// Also a PNE that was to be asked for itself, next: it is answered, not asked.
	x.heard("d")
	x.begin(identifyOf(t, "f"))
	x.begin(whoIsThere)
	send("f")
	x.begin(identifyOf(t, "g"))
	x.heard("f")
	send("")
	x.answer(identifyOf(t, "g"))
	send("g")
	x.heard("g")
	none()

	// One message for each PNE waits, the latest, and no more than there is room for.
	x = exchanges{}
	for i := range 3 * outLength {
		x.begin(identifyOf(t, cpns.EntityID(fmt.Sprint("pne-", i%40))))
	}
	if len(x.waiting) != 40 || !x.crowded() {
		t.Errorf("%d wait", len(x.waiting))
	}
	for i := range 3 * outLength {
		x.begin(identifyOf(t, cpns.EntityID(fmt.Sprint("pne-", i))))
	}
	if len(x.waiting) != outLength {
		t.Errorf("%d wait, at most %d", len(x.waiting), outLength)
	}
	if got := firstWait(whoIsThere.Wire, wait); got != waitEverybody {
		t.Errorf("after an identify for everybody the first wait is %v", got)
	}
}

// TestPollsAreOneForAll: on a byte stream one identify asks all whose keys wait.
func TestPollsAreOneForAll(t *testing.T) {
	gw, _ := transport.NewPair("wire", "device")
	a := &Agent{ports: []*port{newPort(gw), newPort(newHub(1))}}
	var polls []life.Outgoing
	for i := range 10 {
		m := identifyOf(t, cpns.EntityID(fmt.Sprint("pne-", i)))
		m.Poll = true
		polls = append(polls, m)
	}
	a.dispatch(polls)
	if stream, broker := len(a.ports[0].out), len(a.ports[1].out); stream != 1 || broker != 10 {
		t.Errorf("%d on the stream, want 1 for all; %d on the broker, want each its own", stream, broker)
	}
	if m := <-a.ports[0].out; m.To != "" {
		t.Errorf("on the stream it is for %q", m.To)
	}
}

// TestExchangesKeepTheLatest: a repeat that was due before a PNE answered does not
// take the place of what its answer led to.
func TestExchangesKeepTheLatest(t *testing.T) {
	message := func(ticket uint64) life.Outgoing {
		m := identifyOf(t, "a")
		m.Ticket = ticket
		return m
	}
	var x exchanges
	dropped := func(got life.Outgoing, want uint64) {
		t.Helper()
		if got.Ticket != want {
			t.Errorf("message %d is said not to leave, want %d", got.Ticket, want)
		}
	}
	waits := func(want uint64) {
		t.Helper()
		if len(x.waiting) != 1 || x.waiting[0].Ticket != want {
			t.Errorf("%+v wait, want message %d", x.waiting, want)
		}
	}
	dropped(x.answer(message(7)), 0)
	dropped(x.begin(message(6)), 6)
	waits(7)
	dropped(x.begin(message(8)), 7)
	waits(8)
	dropped(x.answer(message(7)), 7)
	dropped(x.answer(message(9)), 8)
	waits(9)
	dropped(x.answer(message(0)), 0) // the same once more, which nobody waits for
	waits(9)
	x = exchanges{}
	x.begin(message(1))
	dropped(x.answer(message(2)), 1)
	waits(2)
	if x.answers != 1 {
		t.Errorf("%d answers wait", x.answers)
	}
	for i := range outLength - 1 {
		x.begin(identifyOf(t, cpns.EntityID(fmt.Sprint("b", i))))
	}
	late := message(3)
	late.To = "late"
	dropped(x.begin(late), 3)
	dropped(x.answer(late), 3)
}

// TestExchangesTakeTurns: copies of one PNE's hellos, whose answers go first, do not
// keep the gateway from what it has begun with another.
func TestExchangesTakeTurns(t *testing.T) {
	now := time.Unix(1e9, 0)
	var x exchanges
	x.begin(identifyOf(t, "b"))
	for range 100 {
		x.answer(identifyOf(t, "a"))
		m, ok := x.next(now)
		if !ok {
			t.Fatal("nothing is sent")
		}
		x.sent(m, now, time.Second)
		if m.To == "b" {
			return
		}
		x.heard("a")
		now = now.Add(10 * time.Millisecond)
	}
	t.Error("what was begun waits behind a hundred answers")
}
