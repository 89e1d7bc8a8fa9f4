package pne_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// least and most are randomness at its ends.
func least(time.Duration) time.Duration  { return 0 }
func most(n time.Duration) time.Duration { return n - 1 }

// A clockwork is a device with its schedule, and with time that the test makes.
type clockwork struct {
	*rig
	*pne.Schedule
	now  time.Time
	said [][]byte
	at   []time.Duration // when, since the beginning
}

var beginning = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newClockwork(t *testing.T, held pne.State, random func(time.Duration) time.Duration) *clockwork {
	v := vectors(t)[0]
	r := newRig(t, &v, held)
	for i := range 1 << 12 {
		r.rand.Write(binary.BigEndian.AppendUint64(nil, uint64(i))) // no two nonces are the same
	}
	return &clockwork{rig: r, Schedule: pne.NewSchedule(r.Device, pne.FirstPause, random), now: beginning}
}

// until says every hello that is due before or at that time, as a driver does.
func (c *clockwork) until(at time.Duration) {
	c.t.Helper()
	end := beginning.Add(at)
	for due, ok := c.Due(); ok && !due.After(end); due, ok = c.Due() {
		if due.After(c.now) {
			c.now = due
		}
		msg, err := c.Schedule.Hello(c.now)
		if err != nil {
			c.t.Fatal(err)
		}
		c.said, c.at = append(c.said, msg), append(c.at, c.now.Sub(beginning))
	}
	c.now = end
}

// hear gives the device a message.
func (c *clockwork) hear(msg []byte) pne.Event {
	_, ev := c.Handle(msg)
	c.Heard(c.now, ev)
	return ev
}

func (c *clockwork) wantSaid(want ...time.Duration) {
	c.t.Helper()
	if !slices.Equal(c.at, want) {
		c.t.Errorf("hellos at\n%v, want\n%v", c.at, want)
	}
}

const s = time.Second

// TestScheduleDoubles: at once, after 5 s, 10 s, doubling to 10 min; each shortened by
// up to half.
func TestScheduleDoubles(t *testing.T) {
	pauses := []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 320 * s, 600 * s, 600 * s, 600 * s}
	for _, tt := range []struct {
		name   string
		random func(time.Duration) time.Duration
		pause  func(time.Duration) time.Duration
	}{
		{"in full", least, func(p time.Duration) time.Duration { return p }},
		{"by half", most, func(p time.Duration) time.Duration { return p - p/2 + 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClockwork(t, pne.State{}, tt.random)
			c.Begin(c.now)
			want := []time.Duration{0}
			for _, p := range pauses {
				want = append(want, want[len(want)-1]+tt.pause(p))
			}
			c.until(want[len(want)-1])
			c.wantSaid(want...)
			for i := range c.said[1:] {
				if bytes.Equal(c.said[i], c.said[i+1]) {
					t.Error("the same hello twice")
				}
			}
		})
	}
}

// TestScheduleEnds: when a notification or an update has opened, whatever became of
// it, and a key is held; by nothing else.
func TestScheduleEnds(t *testing.T) {
	v := vectors(t)[0]
	full := errors.New("no space left on device")
	tests := []struct {
		name string
		held pne.State
		do   func(c *clockwork)
		ends bool
	}{
		{"nothing", v.holding(1), func(*clockwork) {}, false},
		{"taken", pne.State{}, func(c *clockwork) { c.hear(c.notify(c.said[0], offer{index: 1})) }, true},
		{"taken, held before", v.holding(1), func(c *clockwork) { c.hear(c.notify(c.said[0], offer{index: 2})) }, true},
		{"stale", v.holding(1), func(c *clockwork) { c.hear(c.notify(c.said[0], offer{index: 1})) }, true},
		{"chain broken", v.holding(1), func(c *clockwork) { c.hear(c.notify(c.said[0], offer{index: 2, key: &cpns.EUKey{}})) }, true},
		{"not stored", v.holding(1), func(c *clockwork) { c.storage.err = full; c.hear(c.notify(c.said[0], offer{index: 2})) }, true},
		{"not stored, none held", pne.State{}, func(c *clockwork) { c.storage.err = full; c.hear(c.notify(c.said[0], offer{index: 1})) }, false},
		{"stale, key lost", pne.State{Epoch: v.Epoch}, func(c *clockwork) { c.hear(c.notify(c.said[0], offer{epoch: v.Epoch - 1, index: 1})) }, false},
		{"does not open", v.holding(1), func(c *clockwork) { c.hear(c.notify(c.said[0], offer{index: 2, tk: make(hexBytes, 16)})) }, false},
		{"challenged only", v.holding(1), func(c *clockwork) { c.hear(v.AuthChallenge) }, false},
		{"update", v.holding(1), func(c *clockwork) { c.authenticate(1, nil) }, true},
		{"update refused", v.holding(1), func(c *clockwork) { c.authenticate(2, &cpns.EUKey{}) }, true},
		{"asked", v.holding(1), func(c *clockwork) { c.hear(v.Identify) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClockwork(t, tt.held, least)
			c.Begin(c.now)
			c.until(0)
			tt.do(c)
			c.until(2 * s)
			n := len(c.said)
			c.until(time.Hour)
			if ended := len(c.said) == n; ended != tt.ends {
				t.Errorf("%d hellos in the hour after", len(c.said)-n)
			}
		})
	}
}

// authenticate has the gateway authenticate the device, with an update of that
// index and key.
func (c *clockwork) authenticate(index cpns.Index, key *cpns.EUKey) {
	v := c.vector
	reply, _ := c.Handle(v.AuthChallenge)
	response := parse[*cpns.AuthResponse](c.t, reply)
	m, err := cpns.SealEUKeyUpdate(cpns.TK(v.TK), v.key(1), v.Gateway, v.randGW(), &response.RandPNE, v.Entity, v.Epoch, index, key, c.nextIV())
	if err != nil {
		c.t.Fatal(err)
	}
	c.hear(marshal(c.t, m))
}

// TestScheduleBegins: each time that the link comes up a hello is said, and the
// pauses begin anew; also where an old message opens before it has been said.
func TestScheduleBegins(t *testing.T) {
	c := newClockwork(t, pne.State{}, least)
	c.Begin(c.now)
	c.until(0)
	c.until(100 * s)
	c.Begin(c.now)
	c.until(106 * s)
	c.wantSaid(0, 5*s, 15*s, 35*s, 75*s, 100*s, 105*s)

	c = newClockwork(t, pne.State{}, least)
	c.Begin(c.now)
	c.until(0)
	late := c.notify(c.said[0], offer{index: 1})
	c.now = c.now.Add(2 * s)
	c.Begin(c.now)
	if ev := c.hear(late); ev.Kind != pne.Stored {
		t.Fatalf("%v (%v)", ev.Kind, ev.Err)
	}
	c.until(time.Minute)
	c.wantSaid(0, 2*s, 7*s, 17*s, 37*s)
}

// TestIdentifyAnswers: at once to its own name, after up to a second to null, and
// with the same bytes for 10 s.
func TestIdentifyAnswers(t *testing.T) {
	v := vectors(t)[0]
	tests := []struct {
		name string
		msg  []byte
		made time.Duration // before the identify, a hello was made
		wait time.Duration // until the answer, at most random
		do   func(c *clockwork)
		same bool
	}{
		{"own name", v.Identify, 9 * s, 0, nil, true},
		{"own name, just now", v.Identify, 0, 0, nil, true},
		{"own name, after 10 s", v.Identify, 10 * s, 0, nil, false},
		{"null", v.IdentifyAny, 5 * s, s - 1, nil, true},
		{"null, 10 s old when it is said", v.IdentifyAny, 9*s + 1, s - 1, nil, false},
		{"spent", v.Identify, 2 * s, 0, func(c *clockwork) { c.hear(c.notify(c.said[0], offer{index: 2})) }, false},
		{"spent, just now", v.Identify, 300 * time.Millisecond, 700 * time.Millisecond, func(c *clockwork) { c.hear(c.notify(c.said[0], offer{index: 2})) }, false},
		{"says another key", v.Identify, 2 * s, 0, func(c *clockwork) { c.authenticate(2, v.key(2)) }, false},
		{"stayed", v.Identify, 2 * s, 0, func(c *clockwork) { c.authenticate(1, nil) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClockwork(t, v.holding(1), most)
			c.hear(v.Identify)
			c.until(0)
			c.now = beginning.Add(tt.made)
			if tt.do != nil {
				tt.do(c)
			}
			c.hear(tt.msg)
			c.until(time.Hour)
			c.wantSaid(0, tt.made+tt.wait)
			if same := bytes.Equal(c.said[0], c.said[1]); same != tt.same {
				t.Errorf("the same bytes: %v, want %v", same, tt.same)
			}
		})
	}
}

// TestIdentifiesInARow: the same bytes go out as often as they are asked for, a new
// hello is made at most once a second, and one answer serves for several that are
// waiting.
func TestIdentifiesInARow(t *testing.T) {
	v := vectors(t)[0]
	c := newClockwork(t, v.holding(1), most)
	for range 3 {
		c.hear(v.Identify)
		c.until(0)
	}
	c.wantSaid(0, 0, 0)
	c.hear(c.notify(c.said[0], offer{index: 2}))
	for range 50 {
		c.hear(v.Identify)
		c.hear(v.IdentifyAny)
		c.until(10 * time.Millisecond)
	}
	c.until(time.Hour)
	c.wantSaid(0, 0, 0, s)
}

// TestAskedWhileWaiting: asked by its name while its answer to everybody waits, a
// device answers at once, and once.
func TestAskedWhileWaiting(t *testing.T) {
	v := vectors(t)[0]
	c := newClockwork(t, v.holding(1), most)
	c.hear(v.IdentifyAny)
	c.hear(v.Identify)
	c.until(time.Hour)
	c.wantSaid(0)
}

// TestSameHelloIsNotOlder: a hello that could not be made does not make the one before
// any younger.
func TestSameHelloIsNotOlder(t *testing.T) {
	v := vectors(t)[0]
	c := newClockwork(t, v.holding(1), least)
	c.hear(v.Identify)
	c.until(0)
	full := c.rand.Bytes()
	c.rand.Reset()
	c.now = c.now.Add(11 * s)
	c.hear(v.Identify)
	if _, err := c.Schedule.Hello(c.now); err == nil {
		t.Fatal("a hello without randomness")
	}
	c.rand.Write(full)
	c.hear(v.Identify)
	c.until(12 * s)
	if c.wantSaid(0, 11*s); bytes.Equal(c.said[0], c.said[1]) {
		t.Error("the same hello, 11 s old")
	}
}

// TestIdentifyOfAnother is not answered.
func TestIdentifyOfAnother(t *testing.T) {
	c := newClockwork(t, pne.State{}, least)
	c.hear(marshal(t, &cpns.Identify{Entity: "pne-2"}))
	c.until(time.Hour)
	c.wantSaid()
}

// TestOneNewHelloASecond: a hello of the schedule is put off behind an answer.
func TestOneNewHelloASecond(t *testing.T) {
	v := vectors(t)[0]
	c := newClockwork(t, pne.State{}, least)
	c.Begin(c.now)
	c.until(4500 * time.Millisecond)
	c.hear(c.notify(c.said[0], offer{index: 1}))
	c.Begin(c.now.Add(100 * time.Millisecond))
	c.hear(v.Identify)
	c.until(9 * s)
	c.wantSaid(0, 4500*time.Millisecond, 5500*time.Millisecond)
}

// TestUnsent: a hello that was not sent is said again later, also while a key is
// held; the answer to an identify too.
func TestUnsent(t *testing.T) {
	v := vectors(t)[0]
	c := newClockwork(t, v.holding(1), least)
	c.hear(v.Identify)
	c.until(0)
	c.Unsent(c.now)
	c.until(s)
	c.Unsent(c.now) // changes nothing: one is coming
	c.until(6 * s)
	c.wantSaid(0, 5*s)
	c.hear(c.notify(c.said[1], offer{index: 1}))
	c.until(time.Hour)
	c.wantSaid(0, 5*s)

	c.Begin(c.now) // the link is down again while that is said, and comes up at once
	c.until(time.Hour)
	c.Unsent(c.now)
	c.Begin(c.now.Add(s / 10))
	c.until(time.Hour + s/2)
	c.wantSaid(0, 5*s, time.Hour, time.Hour+s/10)

	c.rand.Reset()
	c.now = c.now.Add(2 * s)
	c.Begin(c.now)
	if _, err := c.Schedule.Hello(c.now); err == nil {
		t.Fatal("a hello without randomness")
	}
	if due, ok := c.Due(); !ok || due.Sub(c.now) != 5*s {
		t.Errorf("due in %v, %v; want 5 s", due.Sub(c.now), ok)
	}
}

// TestScheduleSpreads: 100 devices that were switched on together do not stay in step.
func TestScheduleSpreads(t *testing.T) {
	times := map[time.Duration]bool{}
	for range 100 {
		c := newClockwork(t, pne.State{}, rand.N[time.Duration])
		c.Begin(c.now)
		c.until(5 * s)
		if pause := c.at[1]; pause < 5*s/2 || pause > 5*s {
			t.Errorf("the first pause is %v", pause)
		}
		times[c.at[1]/time.Millisecond] = true
	}
	if len(times) < 50 {
		t.Errorf("100 devices at only %d times", len(times))
	}
}
