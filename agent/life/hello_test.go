package life

import (
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// What a hello says decides what it gets: section 4's table of hellos.
func TestHelloTable(t *testing.T) {
	type says struct {
		epoch cpns.Epoch
		index cpns.Index
	}
	for _, tc := range []struct {
		name       string
		proved     cpns.Index
		readmitted bool
		says       says
		want       cpns.MessageType
		none       bool
		note       string
	}{
		{name: "nothing", says: says{0, 0}, proved: 3, want: cpns.TypeNotification},
		{name: "nothing, none proved", says: says{0, 0}, want: cpns.TypeNotification},
		{name: "nothing, used up", says: says{0, 0}, proved: 6, none: true, note: "used up"},
		{name: "this epoch, the key proved", says: says{2, 3}, proved: 3, want: cpns.TypeAuthChallenge},
		{name: "this epoch, an older key", says: says{2, 1}, proved: 3, want: cpns.TypeAuthChallenge},
		{name: "this epoch, the last key", says: says{2, 6}, proved: 3, want: cpns.TypeAuthChallenge},
		{name: "this epoch, none proved", says: says{2, 1}, want: cpns.TypeAuthChallenge},
		{name: "this epoch, used up", says: says{2, 6}, proved: 6, want: cpns.TypeAuthChallenge},
		{name: "this epoch, above n", says: says{2, 7}, proved: 3, none: true, note: "elsewhere since"},
		{name: "an older epoch", says: says{1, 9}, proved: 3, want: cpns.TypeNotification},
		{name: "an older epoch, used up", says: says{1, 9}, proved: 6, none: true, note: "used up"},
		{name: "a newer epoch", says: says{3, 1}, proved: 3, none: true, note: "elsewhere since"},
		{name: "readmitted, an older key", readmitted: true, says: says{2, 1}, proved: 3, want: cpns.TypeNotification},
		{name: "readmitted, the key proved", readmitted: true, says: says{2, 3}, proved: 3, want: cpns.TypeNotification},
		{name: "readmitted, a later key", readmitted: true, says: says{2, 4}, proved: 3, want: cpns.TypeAuthChallenge},
		{name: "readmitted, nothing", readmitted: true, says: says{0, 0}, proved: 3, want: cpns.TypeNotification},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, provedSet(2, 6, tc.proved))
			if tc.readmitted {
				rec := *b.p.rec
				rec.readmitted = true
				b.p.rec = &rec
			}
			h := b.hello(tc.says.epoch, tc.says.index)
			if tc.none {
				b.none(h)
				if n := b.p.View().Note; !strings.Contains(n, tc.note) {
					t.Errorf("the note is %q", n)
				}
				return
			}
			m := b.one(h)
			if m.MessageType() != tc.want {
				t.Fatalf("got %v, want %v", m.MessageType(), tc.want)
			}
			if n, ok := m.(*cpns.Notification); ok && (n.Epoch != 2 || n.Index != tc.proved+1) {
				t.Errorf("notified key %d of epoch %d", n.Index, n.Epoch)
			}
			if b.p.View().TagFault != "" {
				t.Error("a right TK is blamed")
			}
		})
	}
}

// A hello whose tag does not verify gets no answer and moves nothing. That is told
// once, as one of two facts.
func TestTagFails(t *testing.T) {
	other := make(cpns.TK, 16)
	t.Run("never good", func(t *testing.T) {
		b := newBench(t, newSet(1, 4))
		b.w.Link = "radio"
		b.none(b.helloUnder(other, 0, 0))
		b.told(TagFails)
		v := b.p.View()
		if b.tells[0].Fault != TagNeverGood || v.TagFault != TagNeverGood || !strings.Contains(v.Note, "another Temporary Key") || !strings.Contains(v.Note, "radio") {
			t.Errorf("told %+v, shown %+v", b.tells[0], v)
		}
		if v.LastSeen != "" || v.Link != "" {
			t.Error("somebody without TK counts as the device")
		}
		for range 1000 {
			b.w.Now = b.w.Now.Add(10 * time.Minute)
			b.none(b.helloUnder(other, 0, 0))
			b.told()
		}
		b.one(b.hello(0, 0)) // the device after all
		if v := b.p.View(); v.TagFault != "" {
			t.Errorf("still shown: %q", v.Note)
		}
	})
	t.Run("good before", func(t *testing.T) {
		s := newSet(1, 4)
		b := newBench(t, s)
		h := b.hello(0, 0)
		ack, _ := take(t, b.one(h), s, h)
		b.none(b.helloUnder(other, 0, 0))
		b.told(TagFails)
		if b.tells[0].Fault != TagForeign || b.p.View().TagFault != TagForeign {
			t.Errorf("told %+v, shown %+v", b.tells[0], b.p.View())
		}
		b.none(ack) // its own key reaches it all the same
		b.wantState(StateDelivered, 1, 1)
		if v := b.p.View(); v.TagFault != "" {
			t.Errorf("after a proof still shown: %q", v.Note)
		}
		b.none(b.helloUnder(other, 1, 1)) // within the hour: shown, not told
		b.told()
		if b.p.View().TagFault != TagForeign {
			t.Error("not shown")
		}
	})
	t.Run("proved before the start", func(t *testing.T) {
		b := newBench(t, provedSet(1, 4, 2))
		b.none(b.helloUnder(other, 0, 0))
		if b.tells[0].Fault != TagForeign {
			t.Errorf("told %+v", b.tells[0])
		}
	})
	t.Run("no TK yet", func(t *testing.T) {
		b := newBench(t)
		b.step(Requested{&Request{User: "alice"}})
		b.none(b.helloUnder(other, 0, 0))
		b.told()
		if b.p.View().TagFault != "" {
			t.Error("without a TK something is said of one")
		}
	})
	t.Run("forged ones take nobody's place", func(t *testing.T) {
		b := newBench(t, newSet(1, 4))
		for range 1000 {
			b.none(b.helloUnder(other, 0, 0))
		}
		b.one(b.hello(0, 0))
	})
}

// The device is not to blame for what it refuses to whom, and its Temporary Key
// never is: that a hello verifies says that it is right.
func TestMovedElsewhere(t *testing.T) {
	b := newBench(t, provedSet(1, 4, 2))
	b.none(b.hello(7, 1))
	v := b.p.View()
	if v.TagFault != "" || !strings.Contains(v.Note, "elsewhere since") {
		t.Errorf("shown %+v", v)
	}
	// The server counts on from there, or it has lost data.
	for epoch, refused := range map[cpns.Epoch]bool{2: true, 7: true, 8: false} {
		if err := b.p.Refuses(newSet(epoch, 4)); (err != nil) != refused {
			t.Errorf("a set of epoch %d: %v", epoch, err)
		}
	}
	if err := b.p.Refuses(b.p.rec.current); err != nil {
		t.Errorf("the same set again: %v", err)
	}
	value, err := b.p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(string(testEntity), value)
	if err != nil {
		t.Fatal(err)
	}
	if again.Refuses(newSet(7, 4)) == nil {
		t.Error("a restart forgets what epoch the device is at")
	}
}

// Somebody who holds TK cannot wear the flash out by hellos.
func TestEpochsAreStoredSlowly(t *testing.T) {
	b := newBench(t, newSet(1, 4))
	writes := 0
	for i := range 1000 {
		b.w.Now = b.w.Now.Add(time.Second)
		was := b.p
		b.none(b.hello(cpns.Epoch(i+2), 1))
		if !b.p.SameRecord(was) {
			writes++
		}
	}
	if writes != epochBurst {
		t.Errorf("%d writes in 1000 s, want %d", writes, epochBurst)
	}
	if b.p.Refuses(newSet(1001, 4)) == nil {
		t.Error("the highest epoch is not known")
	}
}

// A hello without the one algorithm gets no answer.
func TestHelloWithoutTheAlgorithm(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	h, err := cpns.NewHello(s.TK, cpns.Hello{Entity: testEntity, Algs: []int64{1, -7, 1}})
	if err != nil {
		t.Fatal(err)
	}
	b.none(h)
	if !strings.Contains(b.p.View().Note, "ChaCha20") {
		t.Errorf("the note is %q", b.p.View().Note)
	}
	h, err = cpns.NewHello(s.TK, cpns.Hello{Entity: testEntity, Algs: []int64{-9223372036854775808, 24, 24}}) // with an all-zero nonce, too
	if err != nil {
		t.Fatal(err)
	}
	ack, _ := take(t, b.one(h), s, h)
	b.none(ack)
	b.wantState(StateDelivered, 1, 1)
}

// Copies of hellos cost answers, at most so many, and use nothing up.
func TestHelloFlood(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	mine := b.hello(0, 0)
	ack, _ := take(t, b.one(mine), s, mine)
	answered := 0
	for range 1000 {
		for _, m := range b.step(b.hello(0, 0)) {
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
	if n := len(b.p.mem.notify.answers); n > maxAnswers {
		t.Errorf("%d answers are remembered", n)
	}
	b.none(ack) // overtaken by more hellos than are remembered
	b.told(Unproved)
	b.w.Now = b.w.Now.Add(time.Second)
	// The device holds the key, says so, and is believed.
	b.authenticates(s, b.asked(b.hello(1, 1)), 1)
	b.wantState(StateDelivered, 1, 1)
}

// The same hello again gets the same answer, before the key is proved and after,
// and while a challenge is open that one.
func TestSameHelloAgain(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	h := b.hello(0, 0)
	first := b.step(h)
	again := b.step(h)
	if len(again) != 1 || string(again[0].Wire) != string(first[0].Wire) {
		t.Fatal("another answer to the same hello")
	}
	m, _ := cpns.ParseMessage(first[0].Wire)
	ack, _ := take(t, m, s, h)
	b.none(ack)
	late := b.step(h)
	if len(late) != 1 || string(late[0].Wire) != string(first[0].Wire) || b.p.mem.notify.open() {
		t.Error("a copy of the hello that has had its key is answered otherwise, or with repeats")
	}
	b.wantState(StateDelivered, 1, 1)

	c := b.asked(b.hello(1, 1))
	if other := b.asked(b.hello(1, 1)); other.RandGW != c.RandGW {
		t.Error("another hello opens another challenge while one is open")
	}
	b.authenticates(s, c, 1)
	if other := b.asked(b.hello(1, 1)); other.RandGW == c.RandGW {
		t.Error("a challenge that was answered is sent again")
	}
}

// The hello that began an authentication may come again while its update is on
// its way: that begins no other.
func TestHelloAgainDuringUpdate(t *testing.T) {
	s := provedSet(1, 4, 1)
	b := newBench(t, s)
	h := b.hello(1, 1)
	c := b.asked(h)
	r, mine := responds(s, c, 1)
	u := b.one(r).(*cpns.EUKeyUpdate)
	b.none(h)
	b.none(b.takeUpdate(s, u, c, mine, 1))
	b.told(Authenticated)
}

// A copy of a device's hello, said again and again by somebody else, does not keep
// the two authenticating all day: each is a line in the log and a run of the hooks.
func TestCopiedHellos(t *testing.T) {
	s := provedSet(1, 4, 1)
	b := newBench(t, s)
	copied := b.hello(1, 1)
	authenticated := 0
	for range 10 * 60 * 10 { // ten a second for ten minutes
		b.w.Now = b.w.Now.Add(100 * time.Millisecond)
		for _, m := range b.step(copied) {
			n, err := cpns.ParseMessage(m.Wire)
			if err != nil {
				t.Fatal(err)
			}
			b.authenticates(s, n.(*cpns.AuthChallenge), 1)
			authenticated++
		}
	}
	if most := beginBurst + int(10*time.Minute/beginPace); authenticated > most {
		t.Errorf("%d authentications, at most %d", authenticated, most)
	}
	// A person who wants one, and a device that has lost its key, need not wait.
	b.authenticates(s, b.asked(Authenticate{}), 1)
	if n, ok := b.one(b.hello(0, 0)).(*cpns.Notification); !ok || n.Index != 3 {
		t.Errorf("a device without a key gets %+v", n)
	}
}

// Copies of one hello, however many, do not keep the device's own next one from
// being answered.
func TestCopiesBlockNoHello(t *testing.T) {
	for _, held := range []cpns.Index{0, 1} {
		s := provedSet(1, 4, 1)
		b := newBench(t, s)
		said := func() *cpns.Hello {
			if held == 0 {
				return b.hello(0, 0)
			}
			return b.hello(1, held)
		}
		copied := said()
		for i := range 20 {
			for range 5000 { // a thousand a second
				b.w.Now = b.w.Now.Add(time.Millisecond)
				b.step(copied)
			}
			if len(b.step(said())) == 0 {
				t.Fatalf("hello %d of a device that holds key %d got no answer", i, held)
			}
			for range 6 { // nobody answers what it got
				b.w.Now = b.w.Now.Add(20 * time.Second)
				b.step(Timeout{})
			}
		}
	}
}
