package agent

import "time"

// noise asks who is there when something came in on a byte stream that was no message.
// PNEs on one line that were switched on together may have said their first hellos at
// once, and neither they nor their schedule know that nobody understood; the next
// ones would come seconds later. It is one goroutine's, the port's.
type noise struct {
	at   time.Time     // when to ask, zero for not at all
	last time.Time     // when it last did
	gap  time.Duration // the least time from that until the next
}

// Gaps between two questions that noise leads to. A line that is never without does not
// lead to more than one each ten minutes in the long run.
const (
	noiseGap    = waitEverybody
	maxNoiseGap = 10 * time.Minute
)

// heard notes noise. The question waits for a moment, in which the longest frame ends
// that may be under way: a part of the link's first wait.
func (n *noise) heard(now time.Time, first time.Duration) {
	if !n.at.IsZero() {
		return
	}
	if now.Sub(n.last) > 2*maxNoiseGap {
		n.gap = 0
	}
	n.at = now.Add(first / 4)
	if earliest := n.last.Add(n.gap); n.at.Before(earliest) {
		n.at = earliest
	}
}

// due tells whether to ask now, and counts that as done.
func (n *noise) due(now time.Time) bool {
	if n.at.IsZero() || now.Before(n.at) {
		return false
	}
	n.at, n.last = time.Time{}, now
	n.gap = min(max(noiseGap, 2*n.gap), maxNoiseGap)
	return true
}

// pause is how long until due has something to say, an hour where it will not.
func (n *noise) pause(now time.Time) time.Duration {
	if n.at.IsZero() {
		return time.Hour
	}
	return max(0, n.at.Sub(now))
}
