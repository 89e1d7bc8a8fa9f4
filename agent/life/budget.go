package life

import "time"

// budget is a token bucket: it holds up to burst tokens and gains one every pace. The
// zero value is full.
type budget struct {
	spent int
	since time.Time
}

// take takes one, and says whether there was one. It counts in Durations, which
// have 64 bits everywhere: in an int of 32 bits the paces of 500 days of 20 ms
// do not fit.
func (b *budget) take(now time.Time, burst int, pace time.Duration) bool {
	if now.Before(b.since) {
		b.since = now
	}
	if back := now.Sub(b.since) / pace; back >= time.Duration(b.spent) {
		b.spent, b.since = 0, now
	} else if back > 0 {
		b.spent -= int(back)
		b.since = b.since.Add(back * pace)
	}
	if b.spent == burst {
		return false
	}
	b.spent++
	return true
}

// Limits for answers to the hellos of one PNE, so that a flood of hellos in its name
// does not delay other PNEs. The PNE's own hellos are seconds apart. Hellos that were
// answered before have a budget of their own, because anybody can send copies of one;
// they must not use up the budget for the PNE's next hello.
const (
	helloBurst = 16
	helloPace  = 20 * time.Millisecond
)

// Limits for authentications that the hellos of one PNE begin: somebody who sends copies
// of them could otherwise make PNE and gateway authenticate without end. The PNE itself
// begins one when it is switched on, and when an application refuses it.
const (
	beginBurst = 8
	beginPace  = 5 * time.Second
)

// Limits for writes to the store because a PNE's hello names a newer epoch, which happens
// once each time that it was assigned at another gateway.
const (
	epochBurst = 4
	epochPace  = time.Hour
)
