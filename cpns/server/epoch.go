package server

import (
	"math"
	"time"

	"cpns.example.net/pngw/cpns"
)

// epochStart is when the epochs that follow the clock begin.
var epochStart = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// nextEpoch is the epoch of a new assignment: one more than the last, or the
// minutes since 2020, whichever is more. So a server that was restored from a
// backup does not give out an epoch twice. It says false where none is left.
func nextEpoch(last cpns.Epoch, now time.Time) (cpns.Epoch, bool) {
	next := int64(last) + 1
	// Not Sub, which ends at 292 years. A clock that is off the scale, on either
	// side, says nothing.
	if minutes := floorDiv(now.Unix()-epochStart.Unix(), 60); minutes <= math.MaxUint32 {
		next = max(next, minutes)
	}
	if next > math.MaxUint32 {
		return 0, false
	}
	return cpns.Epoch(next), true
}

func floorDiv(a, b int64) int64 {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}
