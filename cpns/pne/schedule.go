package pne

import "time"

// When a hello is said, by section 4.
const (
	// FirstPause is how long after the hello at switching on the next one comes.
	// Each further pause is twice the one before, up to MaxPause, and each is shortened at
	// random by up to half, so that the devices of a building that lost power do
	// not stay in step.
	FirstPause = 5 * time.Second
	MaxPause   = 10 * time.Minute

	// MaxIdentifyDelay bounds the random time before the answer to an identify
	// for everybody.
	MaxIdentifyDelay = time.Second

	// helloSpacing is the least time between two new hellos: each makes the answer
	// to the one before worthless.
	helloSpacing = time.Second

	// sameHelloFor is how long an identify is answered with the same hello.
	sameHelloFor = 10 * time.Second
)

// A Schedule says when a device is to say hello, and makes the hello. It has no
// clock: the driver tells the time, waits until [Schedule.Due], calls
// [Schedule.Hello] then, and sends what that returns.
type Schedule struct {
	device *Device
	first  time.Duration                     // the first pause
	random func(time.Duration) time.Duration // at least 0, less than its argument

	next   time.Time     // of the hello that nobody asked for; zero where none is due
	pause  time.Duration // before next; 0 where next is the first
	answer time.Time     // of the answer to an identify; zero where none is due
	made   time.Time     // when the latest new hello was made
}

// NewSchedule returns the schedule of d. first is FirstPause, or another where a
// test is in a hurry. random spreads the devices over the time, and guards nothing:
// math/rand/v2's N will do.
func NewSchedule(d *Device, first time.Duration, random func(time.Duration) time.Duration) *Schedule {
	return &Schedule{device: d, first: first, random: random}
}

// Begin is called when the device was switched on, and each time that its link
// has come up: a hello is due, and then further ones until the gateway has
// answered.
func (s *Schedule) Begin(now time.Time) { s.next, s.pause = now, 0 }

// Heard is called with what each message did.
func (s *Schedule) Heard(now time.Time, ev Event) {
	if ev.Kind == Identify {
		at := now
		if ev.Everybody {
			at = at.Add(s.random(MaxIdentifyDelay))
		}
		if s.answer.IsZero() || at.Before(s.answer) {
			s.answer = at
		}
	}
	begun := s.pause != 0 // the first hello is said whatever was heard before it
	if begun && ev.Opened() && s.device.held.holds() {
		s.next = time.Time{}
	}
}

// Due is when the next hello is to be said; ok is false where none is due. It
// changes with every call of another method, and of the device's Handle.
func (s *Schedule) Due() (at time.Time, ok bool) {
	earliest := s.made.Add(helloSpacing) // for a new one
	if !s.next.IsZero() {
		at, ok = later(s.next, earliest), true
	}
	if s.answer.IsZero() {
		return at, ok
	}
	answer := s.answer
	if !s.same(answer) {
		answer = later(answer, earliest)
	}
	if !ok || answer.Before(at) {
		at = answer
	}
	return at, true
}

// Hello makes the hello that is due now. After an error there is nothing to say,
// and Unsent is to be called, as where the link did not take it.
func (s *Schedule) Hello(now time.Time) ([]byte, error) {
	unasked := !s.next.IsZero() && !now.Before(s.next)
	s.answer = time.Time{}
	if !unasked && s.same(now) {
		return s.device.SameHello(), nil
	}
	if unasked {
		s.goOn(now)
	}
	msg, err := s.device.Hello()
	if err == nil {
		s.made = now
	}
	return msg, err
}

// Unsent is called where a hello could not be made or sent. It is said again
// later, also by a device that holds an EUKey.
func (s *Schedule) Unsent(now time.Time) {
	s.made = time.Time{} // nobody has heard it, so the next need not wait for an answer to it
	if s.next.IsZero() {
		s.pause = 0
		s.goOn(now)
	}
}

// goOn has the next hello that nobody asks for come after the next pause.
func (s *Schedule) goOn(now time.Time) {
	switch {
	case s.pause == 0:
		s.pause = s.first
	case s.pause < MaxPause:
		s.pause = min(2*s.pause, MaxPause)
	}
	s.next = now.Add(s.pause - s.random(s.pause/2))
}

// same tells whether an identify that is answered at that time gets the same hello
// as before.
func (s *Schedule) same(at time.Time) bool {
	return at.Sub(s.made) < sameHelloFor && s.device.SameHello() != nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
