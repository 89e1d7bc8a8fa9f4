package life

import "time"

// maxRepeats is how often the same bytes are sent again before a PNE is left
// pending (protocol, Links).
const maxRepeats = 5

// repeat is a message that waits for its answer. The zero value is none.
type repeat struct {
	Outgoing
	times int
	wait  time.Duration
	due   time.Time
}

func startRepeat(m Outgoing, w World) repeat {
	wait := w.Wait(m.Link)
	return repeat{Outgoing: m, wait: wait, due: w.Now.Add(wait)}
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
