package agent

import (
	"sync"
	"time"

	"cpns.example.net/pngw/cpns"
)

// Requests says what has become of requests to the server since the start.
type Requests struct {
	Ended map[string]int64 `json:"ended"` // by reason: one of RequestReasons
	Trips []int64          `json:"trips"` // answers by how long they took, up to each of TripBounds and longer
	Took  time.Duration    `json:"took_ns"`
}

// RequestReasons are all that a request can come to.
var RequestReasons = [...]string{"assigned", "user_authentication_failed", "time_out_of_window", "unknown_pne", "owned_by_another_user", "user_locked", "random_reused", "refused", "unreachable", "failed"}

// TripBounds are the times by which round trips to the server are sorted, in seconds.
var TripBounds = [...]float64{0.1, 0.3, 1, 3, 10, 30}

// tally counts requests. The zero value is at 0.
type tally struct {
	mu    sync.Mutex
	ended [len(RequestReasons)]int64
	trips [len(TripBounds) + 1]int64
	took  time.Duration
}

// end counts how a device's request ended.
func (t *tally) end(o *Outcome) {
	at := len(RequestReasons) - 1
	switch {
	case o.Result == ResultAssigned:
		at = 0
	case o.Result == ResultRefused && o.Status >= cpns.UserAuthenticationFailed && o.Status <= cpns.RandomReused:
		at = int(o.Status)
	case o.Result == ResultRefused:
		at = len(RequestReasons) - 3
	case o.Result == ResultUnreachable:
		at = len(RequestReasons) - 2
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended[at]++
}

// trip counts an answer, and how long it took.
func (t *tally) trip(d time.Duration) {
	at := 0
	for at < len(TripBounds) && d.Seconds() > TripBounds[at] {
		at++
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trips[at]++
	t.took += d
}

func (t *tally) view() Requests {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Requests{Ended: map[string]int64{}, Trips: append([]int64(nil), t.trips[:]...), Took: t.took}
	for i, reason := range RequestReasons {
		r.Ended[reason] = t.ended[i]
	}
	return r
}
