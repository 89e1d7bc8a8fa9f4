package life

import "time"

// budget is a token bucket: burst at once, one more each pace. The zero value
// is full.
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

// Answers to the hellos of one PNE: a flood in its name must not cost the
// others their turn. The PNE's own hellos are seconds apart. What was answered
// before has a budget of its own, so that copies of one hello, which anybody can
// say, leave room for the PNE's next.
const (
	helloBurst = 16
	helloPace  = 20 * time.Millisecond
)

// Authentications that the hellos of one PNE begin: whoever has copies of them could
// have the two authenticate without end. The PNE begins one when it is switched on,
// and when an application refuses it.
const (
	beginBurst = 8
	beginPace  = 5 * time.Second
)

// Writes of the store because a PNE says that it knows a newer epoch: it does
// so once in its life at another gateway.
const (
	epochBurst = 4
	epochPace  = time.Hour
)
