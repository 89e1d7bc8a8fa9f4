package agent

import (
	"bytes"
	"slices"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// exchanges keeps order on a byte stream, which PNEs may share (docs/protocol.md,
// section 5): the gateway has one exchange under way at a time, a message to a PNE
// and its answer, and begins the next when that has ended or its first wait is over.
// It is one goroutine's, the port's.
type exchanges struct {
	waiting []life.Outgoing // at most outLength; what a PNE is waiting for comes first
	answers int             // how many of them answer a PNE
	inRow   int             // how many answers were sent since something else was

	to        cpns.EntityID // of the exchange under way
	everybody bool          // it is an identify for all
	until     time.Time     // when its first wait is over, zero where there is none under way
}

// maxInRow is how many answers are sent before what the gateway has begun itself has
// its turn: whoever says copies of one PNE's hellos must not keep the others waiting.
// A line seldom has more PNEs than that, all switched on at once.
const maxInRow = 32

// answer queues what a message of a PNE has led to: it goes before what the gateway
// begins by itself, and in the place of what of that waits for the same PNE. It returns
// the message that does not leave because of that, the zero value for none.
func (x *exchanges) answer(m life.Outgoing) (dropped life.Outgoing) {
	switch i := x.find(m); {
	case i < 0:
	case newer(x.waiting[i], m):
		return m
	case i < x.answers:
		return x.replace(i, m)
	default:
		dropped = x.replace(i, m)
		m = x.waiting[i]
		x.waiting = slices.Delete(x.waiting, i, i+1)
	}
	if len(x.waiting) == outLength {
		return m
	}
	x.waiting = slices.Insert(x.waiting, x.answers, m)
	x.answers++
	return dropped
}

// begin queues what the gateway begins by itself. It returns what answer does.
func (x *exchanges) begin(m life.Outgoing) (dropped life.Outgoing) {
	switch i := x.find(m); {
	case i >= 0 && !newer(x.waiting[i], m):
		return x.replace(i, m)
	case i < 0 && len(x.waiting) < outLength:
		x.waiting = append(x.waiting, m)
		return dropped
	}
	return m
}

// replace puts m in the place of what waits there, and returns that. An answer that is
// given once more to a hello that came again is the same message.
func (x *exchanges) replace(i int, m life.Outgoing) life.Outgoing {
	was := x.waiting[i]
	if m.Ticket == 0 && bytes.Equal(m.Wire, was.Wire) {
		return m
	}
	x.waiting[i] = m
	return was
}

// find is where the message waits that m is to take the place of, -1 where there is
// none. A PNE has one message waiting, the latest; what is for all has one of a kind.
// Where there is no room for one more it is dropped, and repeated later.
func (x *exchanges) find(m life.Outgoing) int {
	return slices.IndexFunc(x.waiting, func(w life.Outgoing) bool {
		return w.To == m.To && (m.To != "" || bytes.Equal(w.Wire, m.Wire))
	})
}

// newer reports whether w was made after m, which is a repeat that was due before.
func newer(w, m life.Outgoing) bool { return m.Ticket != 0 && m.Ticket < w.Ticket }

// heard ends the exchange that a message of e answers.
func (x *exchanges) heard(e cpns.EntityID) {
	if !x.everybody && x.to == e {
		x.until = time.Time{}
	}
}

// next is what may be sent now, with whom an exchange is then under way; ok is
// false where nothing may. After an identify for all the PNEs that have said
// hello are served at once: they listen before they speak.
func (x *exchanges) next(now time.Time) (m life.Outgoing, ok bool) {
	open := !x.until.IsZero() && now.Before(x.until)
	if len(x.waiting) == 0 || open && (!x.everybody || x.answers == 0) {
		return m, false
	}
	place := 0
	switch {
	case x.answers == 0:
		x.inRow = 0
	case !open && x.inRow >= maxInRow && len(x.waiting) > x.answers:
		place, x.inRow = x.answers, 0
	default:
		x.answers--
		x.inRow++
	}
	m = x.waiting[place]
	x.waiting = slices.Delete(x.waiting, place, place+1)
	return m, true
}

// sent opens the exchange that m begins; first is the link's first wait.
func (x *exchanges) sent(m life.Outgoing, now time.Time, first time.Duration) {
	x.to, x.everybody = m.To, m.To == ""
	x.until = now.Add(firstWait(m.Wire, first))
}

// crowded reports whether enough is waiting for its turn.
func (x *exchanges) crowded() bool { return len(x.waiting) >= outLength/2 }

// pause is how long until there is something to do without anything coming in, an
// hour where there is not.
func (x *exchanges) pause(now time.Time) time.Duration {
	if len(x.waiting) == 0 || x.until.IsZero() {
		return time.Hour
	}
	return max(0, x.until.Sub(now))
}

// waitEverybody is the first wait after an identify for all, which is answered within
// a second, on any link (docs/protocol.md, section 5).
const waitEverybody = 1500 * time.Millisecond

// firstWait is the first wait for the answer to a message that we made.
func firstWait(wire []byte, link time.Duration) time.Duration {
	m, err := cpns.ParseMessage(wire)
	if err != nil {
		panic("agent: sending what is no message: " + err.Error())
	}
	switch m := m.(type) {
	case *cpns.Identify:
		if m.Entity == "" {
			return waitEverybody
		}
	case *cpns.Notification:
		if m.X25519 != nil {
			return max(link, life.X25519Wait)
		}
	}
	return link
}
