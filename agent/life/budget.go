package life

import "time"

// budget is a token bucket: burst at once, one more each pace. The zero value
// is full.
type budget struct {
	spent int
	since time.Time
}

func (b *budget) take(now time.Time, burst int, pace time.Duration) bool {
	if back := int(now.Sub(b.since) / pace); back >= b.spent {
		b.spent, b.since = 0, now
	} else if back > 0 {
		b.spent -= back
		b.since = b.since.Add(time.Duration(back) * pace)
	}
	if b.spent == burst {
		return false
	}
	b.spent++
	return true
}

// Answers to the hellos of one PNE: a flood in its name must not cost the
// others their turn. The PNE's own hellos are seconds apart.
const (
	helloBurst = 16
	helloPace  = 20 * time.Millisecond
)

// Keys that hellos may use up. A PNE that keeps only TK takes the next key each
// time that its power comes back, and nobody else can acknowledge one. But who
// sits on its link can have it say hello (by an identify), claim in its name
// that it holds nothing, and so have it take one key after the other. What a
// person or the schedule asks for is not counted.
const (
	lossBurst = 16
	lossPace  = time.Hour
)
