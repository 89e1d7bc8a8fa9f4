package life

import (
	"bytes"
	"math"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// The same bytes are sent five times in all, after waits that double and are drawn
// within 25 %; the first goes where the hello came from, the others to all links.
func TestRepeats(t *testing.T) {
	b := newBench(t, provedSet(1, 4, 1))
	b.random = true
	for range 200 {
		b.w.Now = b.w.Now.Add(time.Hour)
		first := b.step(b.hello(0, 0))
		if first[0].Link != "wire" || first[0].To != testEntity {
			t.Fatalf("sent %+v", first)
		}
		sent, last := 1, b.w.Now
		for base := time.Second; b.p.mem.notify.open(); base *= 2 {
			due := b.p.Due()
			if wait := due.Sub(last); wait < base*3/4 || wait > base*5/4 {
				t.Fatalf("wait %d is %v, want %v ± 25%%", sent, wait, base)
			}
			b.w.Now = due.Add(-1)
			b.none(Timeout{})
			b.w.Now, last = due, due
			for _, m := range b.step(Timeout{}) {
				if !bytes.Equal(m.Wire, first[0].Wire) || m.To != testEntity || m.Link != "" {
					t.Error("a repeat is not the same message to the same device on all links")
				}
				sent++
			}
		}
		if sent != 5 {
			t.Fatalf("sent %d times, want 5", sent)
		}
	}
	if !b.p.Due().IsZero() {
		t.Error("it never gives up")
	}
}

// Waits differ from one device to the next, and from one repeat to the next.
func TestWaitsAreDrawn(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range uint64(1000) {
		seen[drawn(time.Second, i)] = true
	}
	if len(seen) < 900 {
		t.Errorf("%d waits of 1000 differ", len(seen))
	}
}

// A wait begins when the last byte has left: in a queue or on a slow line that is
// later than the message was made.
func TestSent(t *testing.T) {
	b := newBench(t, newSet(1, 4))
	m := b.step(b.hello(0, 0))[0]
	if m.Ticket == 0 {
		t.Fatal("no ticket")
	}
	wait := b.p.mem.notify.due.Sub(b.w.Now)
	b.w.Now = b.w.Now.Add(4 * time.Second)
	b.none(Sent{m.Ticket + 7})
	b.none(Sent{m.Ticket})
	if got := b.p.mem.notify.due.Sub(b.w.Now); got != wait {
		t.Errorf("waits %v from when it has left, want %v", got, wait)
	}
	b.w.Now = b.w.Now.Add(-time.Second)
	b.none(Sent{m.Ticket}) // on another link it left sooner
	if got := b.p.mem.notify.due.Sub(b.w.Now); got != wait+time.Second {
		t.Errorf("waits %v", got)
	}
}

// A message that waits for its turn on a busy line is not made again: the five sends
// are five that leave, and the doubled wait begins when the last has.
func TestQueued(t *testing.T) {
	b := newBench(t, provedSet(1, 4, 1))
	waits := uint64(0)
	b.w.Queued = func(ticket uint64) bool { return ticket == waits }
	m := b.step(b.hello(0, 0))[0]
	left, base := 0, time.Second
	for {
		waits = m.Ticket
		for range 20 { // far longer than all repeats would take
			b.w.Now = b.p.Due()
			b.none(Timeout{})
		}
		waits = 0
		b.none(Sent{m.Ticket})
		left++
		wait := b.p.Due().Sub(b.w.Now)
		if wait < base*3/4 || wait > base*5/4 {
			t.Fatalf("after send %d the wait is %v, want %v ± 25%%", left, wait, base)
		}
		base *= 2
		b.w.Now = b.p.Due()
		if b.w.Now.IsZero() {
			t.Fatal("nothing is due")
		}
		again := b.step(Timeout{})
		if len(again) == 0 {
			break
		}
		m = again[0]
	}
	if left != 5 || !b.p.Due().IsZero() {
		t.Errorf("%d have left, want 5; the next is due at %v", left, b.p.Due())
	}
}

// Of the wait on a slow line only what is not the line's own time doubles, and is drawn at
// random: at 9600 baud the fifth send would come twelve seconds later.
func TestWaitOnASlowLine(t *testing.T) {
	const base, line = 500 * time.Millisecond, 1080 * time.Millisecond
	b := newBench(t, provedSet(1, 4, 1))
	b.w.Wait = func(string) time.Duration { return base }
	b.w.Line = func(string) time.Duration { return line }
	b.step(b.hello(0, 0))
	for n := range 4 {
		want, wait := base<<n, b.p.Due().Sub(b.w.Now)
		if wait < line+want*3/4 || wait > line+want*5/4 {
			t.Errorf("after send %d the wait is %v, want %v ± 25%% and %v", n+1, wait, want, line)
		}
		b.w.Now = b.p.Due()
		b.step(Timeout{})
	}
}

// Each link has its own wait, also for what a command sends.
func TestWaitOfTheLink(t *testing.T) {
	s := provedSet(1, 8, 1)
	b := newBench(t, s)
	b.w.Wait = func(link string) time.Duration {
		return map[string]time.Duration{"serial": 500 * time.Millisecond, "": 2 * time.Second}[link]
	}
	within := func(d, want time.Duration) {
		t.Helper()
		if d < want*3/4 || d > want*5/4 {
			t.Errorf("waits %v, want about %v", d, want)
		}
	}
	b.asked(Authenticate{})
	within(b.p.Due().Sub(b.w.Now), 2*time.Second)
	b.w.Link = "serial"
	b.authenticates(s, b.asked(b.hello(1, 1)), 1)
	b.w.Link = ""
	b.asked(Authenticate{})
	within(b.p.Due().Sub(b.w.Now), 500*time.Millisecond)
}

// Identifies go on to a device for which a key waits, from the assignment and
// again from each start, until it has proved it.
func TestPolls(t *testing.T) {
	s := newSet(1, 4)
	b := newBench(t, s)
	polled := func() []time.Duration {
		t.Helper()
		var at []time.Duration
		begin := b.w.Now
		for len(at) < 8 {
			due := b.p.Due()
			if due.IsZero() {
				t.Fatalf("nothing is due after %v", at)
			}
			b.w.Now = due
			for _, m := range b.step(Timeout{}) {
				msg, err := cpns.ParseMessage(m.Wire)
				if err != nil {
					t.Fatal(err)
				}
				if i, ok := msg.(*cpns.Identify); !ok || i.Entity != testEntity || m.To != testEntity || !m.Poll || m.Link != "" {
					t.Fatalf("sent %+v", m)
				}
				at = append(at, b.w.Now.Sub(begin))
			}
		}
		return at
	}
	for range 2 {
		want := time.Duration(0)
		for i, at := range polled() {
			want += []time.Duration{1, 2, 4, 8, 15, 15, 15, 15}[i] * time.Minute
			if d := (at - want).Abs(); d > want/8 {
				t.Errorf("poll %d after %v, want about %v", i, at, want)
			}
		}
		b.step(Started{}) // after a restart it begins anew
	}
	h := b.hello(0, 0)
	ack, _ := take(t, b.one(h), s, h)
	for b.p.mem.notify.open() { // its acknowledgement is lost: it is asked again
		b.w.Now = b.p.mem.notify.due
		b.step(Timeout{})
	}
	polled()
	b.none(ack)
	b.wantState(StateDelivered, 1, 1)
	if due := b.p.Due(); !due.IsZero() {
		t.Errorf("something is due at %v", due)
	}
}

// Budgets count on after 500 days: 2^31 paces of 20 ms.
func TestBudgetAfterYears(t *testing.T) {
	for _, later := range []time.Duration{500 * 24 * time.Hour, 5000 * 24 * time.Hour} {
		var b budget
		now := time.Unix(1763800000, 0)
		for range 16 {
			b.take(now, 16, 20*time.Millisecond)
		}
		if b.take(now, 16, 20*time.Millisecond) {
			t.Fatal("a 17th")
		}
		if int64(later/(20*time.Millisecond)) < math.MaxInt32 {
			t.Fatal("this would show nothing")
		}
		now = now.Add(later)
		for i := range 16 {
			if !b.take(now, 16, 20*time.Millisecond) {
				t.Fatalf("%v later only %d", later, i)
			}
		}
	}
}

// A clock that is set back stops no budget.
func TestBudgetWhenTheClockGoesBack(t *testing.T) {
	var b budget
	now := time.Unix(1763800000, 0)
	for range 16 {
		b.take(now, 16, 20*time.Millisecond)
	}
	now = now.Add(-10 * 365 * 24 * time.Hour)
	b.take(now, 16, 20*time.Millisecond)
	if now = now.Add(time.Second); !b.take(now, 16, 20*time.Millisecond) {
		t.Error("nothing is taken for years")
	}
}
