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
		c.synchronised = func() bool { return false }
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

		c.start = time.Now()
		c.Raise(build.Add(24 * time.Hour))
		check("after the floor rose", false)
		c.Raise(build)
		check("after an earlier floor", false)
	})
}

// A floor that came of a clock in the future does not hold back a right one: not once a time server has set
// it, and without one not for long. What was built later than now stays impossible.
func TestClockFloorInTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		synced := false
		c := NewClock(time.Now())
		c.synchronised = func() bool { return synced }
		c.Raise(time.Now().AddDate(30, 0, 0))
		check := func(what string, want bool) {
			t.Helper()
			if _, set := c.Now(); set != want {
				t.Errorf("%s: set is %v", what, set)
			}
		}
		check("at the start", false)
		synced = true
		check("once a time server has answered", true)
		synced = false
		check("when it does no more", false)
		time.Sleep(clockPatience)
		check("after a while without one", true)

		c = NewClock(time.Now().Add(24 * time.Hour))
		c.synchronised = func() bool { return true }
		time.Sleep(2 * clockPatience)
		check("before the program was built", false)
	})
}

// The clock may be set while the program waits, by a person say, and only the monotonic clock tells how long
// that has been.
func TestClockPatienceIsMonotonic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := NewClock(start)
		c.synchronised = func() bool { return false }
		c.Raise(start.AddDate(30, 0, 0))
		c.now = func() time.Time { return time.Now().AddDate(1, 0, 0) }
		if _, set := c.Now(); set {
			t.Error("a jump of the clock was taken for patience")
		}
	})
}

func TestClockSystem(t *testing.T) {
	if _, set := NewClock(time.Time{}).Now(); !set {
		t.Error("without a floor the clock is not set")
	}
	if _, set := NewClock(time.Now().Add(time.Hour)).Now(); set {
		t.Error("before its floor the clock is set")
	}
	kernelSynchronised() // whatever it says here, it says it
}
