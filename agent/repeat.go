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
