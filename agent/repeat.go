package agent

import "time"

// maxRepeats is how often the same bytes are sent again before a PNE is left
// pending (protocol, Links).
const maxRepeats = 5

// repeat is a message that waits for its answer. The zero value is none.
type repeat struct {
	send
	times int
	wait  time.Duration
	due   time.Time
}

func startRepeat(m send, w around) repeat {
	return repeat{send: m, wait: w.retry, due: w.now.Add(w.retry)}
}

// again says whether the message is to be sent once more now, and sets the
// next, doubled, deadline.
func (r *repeat) again(now time.Time) bool {
	if r.times == maxRepeats {
		return false
	}
	r.times++
	r.wait *= 2
	r.due = now.Add(r.wait)
	return true
}

// budget is a token bucket: helloBurst answers at once, one more each
// helloPace. It bounds what a flood of hellos in one PNE's name can cost the
// others; the PNE's own hellos are seconds apart.
type budget struct {
	spent int
	since time.Time
}

const (
	helloBurst = 16
	helloPace  = 20 * time.Millisecond
)

func (b *budget) take(now time.Time) bool {
	if back := int(now.Sub(b.since) / helloPace); back >= b.spent {
		b.spent, b.since = 0, now
	} else if back > 0 {
		b.spent -= back
		b.since = b.since.Add(time.Duration(back) * helloPace)
	}
	if b.spent == helloBurst {
		return false
	}
	b.spent++
	return true
}
