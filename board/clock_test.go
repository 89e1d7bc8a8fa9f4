package board

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	// A bubble's clock starts in 2000, as that of a router without a battery may.
	synctest.Test(t, func(t *testing.T) {
		build := time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)
		c := NewClock(build)
		check := func(what string, want bool) {
			t.Helper()
			now, set := c.Now()
			if set != want || !now.Equal(time.Now()) {
				t.Errorf("%s: got %v %v, want %v %v", what, now, set, time.Now(), want)
			}
		}
		check("before the build", false)
		time.Sleep(time.Hour - ClockSlack - time.Second)
		check("a second before the slack", false)
		time.Sleep(time.Second)
		check("within the slack", true)

		c.Raise(build.Add(24 * time.Hour))
		check("after the floor rose", false)
		c.Raise(build)
		check("after an earlier floor", false)
		time.Sleep(24 * time.Hour)
		check("a day later", true)
	})
}

func TestClockSystem(t *testing.T) {
	if _, set := NewClock(time.Time{}).Now(); !set {
		t.Error("without a floor the clock is not set")
	}
	if _, set := NewClock(time.Now().Add(time.Hour)).Now(); set {
		t.Error("before its floor the clock is set")
	}
}
