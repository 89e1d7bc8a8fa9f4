package server

import (
	"time"

	"cpns.example.net/pngw/cpns"
)

// A request may be repeated: the answer to it may have been lost. The record of
// its assignment tells it again by its RAND_PNGW, which no two assignments share,
// and by its tag, which covers the gateway and everything in the request.
//
// A request is accepted until its time lies TimeWindow in the past; its record
// is kept this much longer, so that even a server whose clock is set back by
// less finds it. The newest assignment of a PNE is kept for good.
const replayKept = cpns.TimeWindow + 2*time.Hour

// A repeat says how a request stands to those answered before.
type repeat int

const (
	unseen       repeat = iota
	sameRequest         // its assignment is to be given again
	randomReused        // RAND_PNGW was seen with a different request
)

// repeatOf says how the request stands to the assignment that was made under its
// RAND_PNGW, if there is one.
func (p *procedure) repeatOf(a *Assignment) repeat {
	switch {
	case a.Entity == "":
		return unseen
	case !p.vault.isTag(a.RequestTag, p.content), len(a.RandSVR) == 0:
		// Also where the PNE was released since: the set is gone, and the
		// gateway has to ask for a new one.
		return randomReused
	}
	return sameRequest
}

// inWindow reports whether the gateway's time is near enough to the server's.
func inWindow(requestTime uint64, now time.Time) bool {
	window := uint64(cpns.TimeWindow / time.Second)
	serverTime := uint64(now.Unix())
	if requestTime > serverTime {
		return requestTime-serverTime <= window
	}
	return serverTime-requestTime <= window
}
