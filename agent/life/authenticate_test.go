package life

import (
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

const period = 24 * time.Hour

// A person's command has a device prove its key and moves it on, once.
func TestAuthentication(t *testing.T) {
	s := newSet(1, 3)
	b := newBench(t, s)
	h := b.hello(0, 0)
	ack, _ := take(t, b.one(h), s, h)
	b.none(ack)
	for _, want := range []cpns.Index{2, 3, 3} { // the last one finds the set used up
		held := b.p.View().Index
		c := b.asked(Authenticate{})
		r, mine := responds(s, c, held)
		u := b.one(r).(*cpns.EUKeyUpdate)
		b.told(Present)
		b.none(b.takeUpdate(s, u, c, mine, held))
		b.told(Authenticated)
		key := s.key(want)
		if session := cpns.DeriveSessionKey(&key, &c.RandGW, &mine, testEntity, testGateway); *b.tells[0].Key != session || b.tells[0].Index != want {
			t.Errorf("told %+v", b.tells[0])
		}
	}
	b.wantState(StateUsedUp, 1, 3)
}

// What a hello began is complete, with a session key each time, and moves the
// device on only where the schedule is due.
func TestStays(t *testing.T) {
	s := provedSet(1, 64, 1)
	b := newBench(t, s)
	for range 50 { // without a schedule it never is
		b.w.Now = b.w.Now.Add(100 * 24 * time.Hour)
		b.authenticates(s, b.asked(b.hello(1, 1)), 1)
		b.told(Authenticated)
		if b.tells[0].Key == nil {
			t.Fatal("no session key")
		}
	}
	b.wantState(StateDelivered, 1, 1)
	b.w.Reauth = period
	held := b.authenticates(s, b.asked(b.hello(1, 1)), 1)
	b.wantState(StateDelivered, 1, 2)
	for range 23 {
		b.w.Now = b.w.Now.Add(time.Hour)
		held = b.authenticates(s, b.asked(b.hello(1, held)), held)
	}
	b.wantState(StateDelivered, 1, 2)
	b.w.Now = b.w.Now.Add(time.Hour)
	b.authenticates(s, b.asked(b.hello(1, held)), held)
	b.wantState(StateDelivered, 1, 3)
}

// The schedule counts from when an update with a key is first sent, so that
// nobody who holds back acknowledgements hurries it: the gateway's restart helps
// them no further.
func TestLostAcknowledgementsUseNothingUp(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		s := provedSet(1, 64, 1)
		b := newBench(t, s)
		b.w.Reauth = period
		b.w.Now = b.w.Now.Add(period)
		held := cpns.Index(1)
		for range 500 {
			b.w.Now = b.w.Now.Add(beginPace)
			c := b.asked(b.hello(1, held))
			r, mine := responds(s, c, held)
			u := b.one(r).(*cpns.EUKeyUpdate)
			b.takeUpdate(s, u, c, mine, held) // its acknowledgement is lost
			held = u.Index
			if restarts {
				value, err := b.p.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				if b.p, err = Parse(string(testEntity), value); err != nil {
					t.Fatal(err)
				}
				b.step(Started{})
			}
		}
		if held != 2 {
			t.Errorf("restarts %v: 500 authentications in 2500 s moved the device to key %d, want 2", restarts, held)
		}
	}
}

// Leave to move on ends with the key that it was for.
func TestPermissionEnds(t *testing.T) {
	s := provedSet(1, 64, 1)
	b := newBench(t, s)
	// Given to a device that has taken the next key already, unknown to us.
	c := b.asked(Authenticate{})
	if held := b.authenticates(s, c, 2); held != 2 {
		t.Errorf("moved on to key %d by leave for key 1", held)
	}
	// The update is lost: leave is still there, for the same key only.
	c = b.asked(Authenticate{})
	r, _ := responds(s, c, 2)
	if u := b.one(r).(*cpns.EUKeyUpdate); u.Index != 3 {
		t.Fatalf("update of key %d", u.Index)
	}
	c = b.asked(b.hello(1, 2))
	if held := b.authenticates(s, c, 2); held != 3 {
		t.Errorf("key 3 was sent and is not sent again: %d", held)
	}
	if held := b.authenticates(s, b.asked(b.hello(1, 3)), 3); held != 3 {
		t.Errorf("moved on to key %d by leave for key 2", held)
	}
	// Nobody answers: it ends with that.
	b.asked(Authenticate{})
	for b.p.mem.challenge.open() {
		b.w.Now = b.p.Due()
		b.step(Timeout{})
	}
	b.told(Unanswered)
	if held := b.authenticates(s, b.asked(b.hello(1, 3)), 3); held != 3 {
		t.Errorf("moved on to key %d by a command that found nobody", held)
	}
}

// A device whose acknowledgement was lost is one ahead: its proof alone counts.
func TestOneAhead(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	r, _ := responds(s, b.asked(b.hello(1, 1)), 1)
	b.one(r)
	b.told(Delivered)
	b.wantState(StateDelivered, 1, 1)
}

func TestRolledBack(t *testing.T) {
	s := provedSet(1, 8, 5)
	b := newBench(t, s)
	r, _ := responds(s, b.asked(b.hello(1, 3)), 3)
	b.none(r)
	b.told(Alarmed)
	b.wantState(StateAlarm, 1, 5)
	b.none(b.hello(0, 0))
	b.none(b.hello(1, 5))
	b.none(Authenticate{})
	b.none(r)
}

// Without a proof there is no alarm: a hello can be a copy of an old one.
func TestClaimIsNoProof(t *testing.T) {
	s := provedSet(1, 8, 5)
	b := newBench(t, s)
	c := b.asked(b.hello(1, 3))
	wrong, _ := responds(newSet(1, 8), c, 3)
	b.none(wrong)
	b.told(Unproved)
	b.wantState(StateDelivered, 1, 5)
	b.authenticates(s, c, 5) // the challenge is still open for the device
}

// A response to a challenge that has ended proves nothing, a rollback least of
// all: it may have been under way while the device was moved on.
func TestEndedChallenge(t *testing.T) {
	s := provedSet(1, 8, 1)
	other := func(b *bench) *cpns.AuthChallenge { return b.asked(b.hello(1, 1)) }
	t.Run("by its first response", func(t *testing.T) {
		b := newBench(t, s)
		c := other(b)
		r, _ := responds(s, c, 1)
		b.one(r)
		again, _ := responds(s, c, 2)
		b.none(again)
		b.told(Unproved)
		b.wantState(StateDelivered, 1, 1)
	})
	t.Run("by an update", func(t *testing.T) {
		b := newBench(t, s)
		c := b.asked(Authenticate{})
		r, mine := responds(s, c, 1)
		u := b.one(r).(*cpns.EUKeyUpdate)
		second := other(b)
		late, _ := responds(s, second, 1)
		b.none(b.takeUpdate(s, u, c, mine, 1))
		b.wantState(StateDelivered, 1, 2)
		b.none(late)
		b.told(Unproved)
		b.wantState(StateDelivered, 1, 2)
	})
	t.Run("by a notification", func(t *testing.T) {
		b := newBench(t, s)
		h := b.hello(0, 0)
		ack, _ := take(t, b.one(h), s, h)
		late, _ := responds(s, other(b), 1)
		b.none(ack)
		b.wantState(StateDelivered, 1, 2)
		b.none(late)
		b.told(Unproved)
		b.wantState(StateDelivered, 1, 2)
	})
	t.Run("by nobody", func(t *testing.T) {
		b := newBench(t, s)
		r, _ := responds(s, other(b), 1)
		for b.p.mem.challenge.open() {
			b.w.Now = b.p.Due()
			b.step(Timeout{})
		}
		b.none(r)
		b.told(Unproved)
	})
}

// The acknowledgement of an update counts also where a hello has opened another
// challenge meanwhile.
func TestUpdateCountsBesideAChallenge(t *testing.T) {
	s := provedSet(1, 8, 1)
	b := newBench(t, s)
	c := b.asked(b.hello(1, 1))
	r, mine := responds(s, c, 1)
	u := b.one(r).(*cpns.EUKeyUpdate)
	b.asked(b.hello(1, 1))
	b.none(b.takeUpdate(s, u, c, mine, 1))
	b.told(Authenticated)
}

// A readmitted device gets its next key by notification. If its acknowledgement is
// lost it is not stranded, and no authentication before that alarms again.
func TestReadmitted(t *testing.T) {
	alarmed := func(t *testing.T) (*bench, *Set) {
		s := provedSet(1, 8, 5)
		b := newBench(t, s)
		r, _ := responds(s, b.asked(b.hello(1, 3)), 3)
		b.none(r)
		if m := b.one(Readmit{}); m.MessageType() != cpns.TypeIdentify {
			t.Fatalf("readmitted by a %v", m.MessageType())
		}
		b.wantState(StateDelivered, 1, 5)
		if !b.p.View().Pending {
			t.Error("no key is said to wait")
		}
		return b, s
	}
	t.Run("acknowledged", func(t *testing.T) {
		b, s := alarmed(t)
		h := b.hello(1, 3)
		ack, _ := take(t, b.one(h), s, h)
		b.none(ack)
		b.told(Delivered)
		b.wantState(StateDelivered, 1, 6)
		b.asked(b.hello(1, 6))
		if b.p.View().Pending {
			t.Error("a key is said to wait")
		}
	})
	t.Run("its acknowledgement is lost", func(t *testing.T) {
		b, s := alarmed(t)
		b.one(b.hello(1, 3))
		b.w.Now = b.w.Now.Add(time.Minute)
		if held := b.authenticates(s, b.asked(b.hello(1, 6)), 6); held != 6 {
			t.Errorf("moved on to %d", held)
		}
		b.wantState(StateDelivered, 1, 6)
	})
	t.Run("authenticated before", func(t *testing.T) {
		b, s := alarmed(t)
		if m := b.one(Authenticate{}); m.MessageType() != cpns.TypeIdentify {
			t.Fatalf("asked by a %v", m.MessageType())
		}
		c := b.asked(b.hello(1, 6)) // a copy, from before it was rolled back
		for _, held := range []cpns.Index{3, 5} {
			b.p.mem.own()
			b.p.mem.challenge.randGW = c.RandGW
			r, _ := responds(s, c, held)
			if m := b.one(r); m.MessageType() != cpns.TypeIdentify {
				t.Errorf("answered by a %v", m.MessageType())
			}
			b.told(Present)
			b.wantState(StateDelivered, 1, 5)
			c = b.asked(b.hello(1, 6))
		}
	})
	t.Run("asked for until it comes", func(t *testing.T) {
		b, _ := alarmed(t)
		if b.p.mem.poll.due.IsZero() {
			t.Error("nothing is sent any more")
		}
	})
}

// One copy of a hello on another link does not lead the schedule's challenges
// there: the link of the last proof counts, and repeats go to all.
func TestLinkOfTheLastProof(t *testing.T) {
	s := provedSet(1, 8, 1)
	b := newBench(t, s)
	b.w.Reauth = period
	if out := b.step(Authenticate{}); out[0].Link != "" {
		t.Errorf("to a device that was not heard yet: %q", out[0].Link)
	}
	b.authenticates(s, b.asked(b.hello(1, 1)), 1)
	b.w.Link = "elsewhere"
	b.w.Now = b.w.Now.Add(time.Hour)
	if out := b.step(b.hello(1, 1)); out[0].Link != "elsewhere" {
		t.Errorf("a hello is answered on %q", out[0].Link)
	}
	for b.p.mem.challenge.open() {
		b.w.Now = b.p.mem.challenge.due
		for _, m := range b.step(Timeout{}) {
			if m.Link != "" {
				t.Errorf("a repeat goes to %q only", m.Link)
			}
		}
	}
	b.w.Link = ""
	if out := b.step(Authenticate{}); out[0].Link != "wire" {
		t.Errorf("the command asks on %q", out[0].Link)
	}
}

// The schedule asks each device once a period, no two in step, and not at all
// where it is off.
func TestSchedule(t *testing.T) {
	s := provedSet(1, 64, 1)
	b := newBench(t, s)
	b.step(Started{})
	if due := b.p.Due(); !due.IsZero() {
		t.Fatalf("without a schedule something is due at %v", due)
	}
	b.w.Reauth = period
	b.step(Started{})
	if first := b.p.Due().Sub(b.w.Now); first != period/2 {
		t.Errorf("first after %v, want half of the period, which is drawn", first)
	}
	held := cpns.Index(1)
	for turn := range 3 {
		b.w.Now = b.p.mem.reauth
		begin := b.w.Now
		c := b.asked(Timeout{})
		if next := b.p.mem.reauth.Sub(begin); next != period {
			t.Errorf("turn %d: the next is %v later, want a period, which is drawn", turn, next)
		}
		if turn == 1 { // it answers, and is moved on
			held = b.authenticates(s, c, held)
			continue
		}
		for b.p.mem.challenge.open() {
			b.w.Now = b.p.Due()
			b.step(Timeout{})
		}
		b.told(Unanswered)
	}
	b.wantState(StateDelivered, 1, 2)
}

// A clock that was in the future and came back blocks nothing for years.
func TestClockFromTheFuture(t *testing.T) {
	s := provedSet(1, 64, 1)
	b := newBench(t, s)
	b.w.Reauth = period
	real := b.w.Now.Add(period)
	b.w.Now = real.Add(10 * 365 * period)
	b.authenticates(s, b.asked(b.hello(1, 1)), 1)
	b.wantState(StateDelivered, 1, 2)
	value, err := b.p.Marshal() // restarted, and the clock is right again
	if err != nil {
		t.Fatal(err)
	}
	if b.p, err = Parse(string(testEntity), value); err != nil {
		t.Fatal(err)
	}
	b.w.Now = real
	b.authenticates(s, b.asked(b.hello(1, 2)), 2)
	b.wantState(StateDelivered, 1, 3)
	b.authenticates(s, b.asked(b.hello(1, 3)), 3)
	b.wantState(StateDelivered, 1, 3)
}

// Without a clock nobody knows whether the schedule is due: it is not.
func TestClockNotSet(t *testing.T) {
	s := provedSet(1, 64, 1)
	b := newBench(t, s)
	b.w.Reauth, b.w.ClockSet = period, false
	b.w.Now = b.w.Now.Add(2 * period)
	b.authenticates(s, b.asked(b.hello(1, 1)), 1)
	b.wantState(StateDelivered, 1, 1)
	b.authenticates(s, b.asked(Authenticate{}), 1)
	b.wantState(StateDelivered, 1, 2)
	if b.p.rec.advanced != 0 {
		t.Error("a time that nobody believes is stored")
	}
}

func TestNotes(t *testing.T) {
	b := newBench(t, provedSet(1, 10, 9))
	if n := b.p.View().Note; !strings.Contains(n, "9 of 10 keys are used") {
		t.Errorf("note %q", n)
	}
}
