package page

import (
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"
)

var office = source(netip.MustParseAddr("192.168.1.20"))

// watchmaker is a clock for tests.
type watchmaker struct {
	mu sync.Mutex
	t  time.Time
}

func (w *watchmaker) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.t }
func (w *watchmaker) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = w.t.Add(d)
}

func newSessions() (*sessions, *watchmaker) {
	w := &watchmaker{t: time.Unix(1e9, 0)}
	return &sessions{now: w.now}, w
}

func wrong() bool { return false }
func right() bool { return true }

// After its tries a source is locked out, also with the right PIN, longer each time, and
// others are not.
func TestLockOut(t *testing.T) {
	s, clock := newSessions()
	for i := range triesOfSource {
		_, wait := s.login(office, wrong)
		if (wait > 0) != (i == triesOfSource-1) {
			t.Fatalf("wrong PIN %d: wait %v", i+1, wait)
		}
	}
	looked := false
	if got, wait := s.login(office, func() bool { looked = true; return true }); got != nil || wait != firstLock || looked {
		t.Fatalf("locked: %v, %v, looked %v", got, wait, looked)
	}
	if got, _ := s.login(source(netip.MustParseAddr("192.168.1.21")), right); got == nil {
		t.Fatal("another source is locked too")
	}
	for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		clock.pass(s.failures[office].locked.Sub(clock.now()))
		if _, wait := s.login(office, wrong); wait != want*time.Minute {
			t.Errorf("locked for %v, want %v min", wait, int(want))
		}
	}
	clock.pass(time.Hour)
	if got, _ := s.login(office, right); got == nil || s.failures[office] != nil {
		t.Error("after the lock the right PIN does not count")
	}
}

// Who has all addresses of a LAN has no more tries than all may have.
func TestLockOutOfAll(t *testing.T) {
	s, clock := newSessions()
	address := netip.MustParseAddr("10.0.0.1")
	tries := 0
	for hours := 0; hours < 3; {
		address = address.Next()
		_, wait := s.login(source(address), func() bool { tries++; return false })
		if wait > 0 && s.failures[source(address)] != nil && s.failures[source(address)].n < triesOfSource {
			clock.pass(wait)
			hours++
		}
		if len(s.failures) > maxSources {
			t.Fatalf("%d sources are remembered", len(s.failures))
		}
	}
	if tries > 3*triesOfAll {
		t.Errorf("%d tries in three hours", tries)
	}
	s.login(source(address), wrong)
	s.forget() // there is a new PIN
	if got, wait := s.login(office, right); got == nil {
		t.Errorf("still locked for %v", wait)
	}
}

// Many at once have as many tries as one after the other.
func TestTriesAtOnce(t *testing.T) {
	s, _ := newSessions()
	var tries sync.WaitGroup
	var mu sync.Mutex
	n := 0
	for range 100 {
		tries.Go(func() {
			s.login(office, func() bool { mu.Lock(); defer mu.Unlock(); n++; return false })
		})
	}
	tries.Wait()
	if n != triesOfSource {
		t.Errorf("%d PINs were looked at", n)
	}
}

func TestSource(t *testing.T) {
	for from, want := range map[string]string{
		"192.168.1.20": "192.168.1.20/32", "::ffff:192.168.1.20": "192.168.1.20/32",
		"fd00::1:2:3:4": "fd00::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := source(netip.MustParseAddr(from)); got.String() != want {
			t.Errorf("%s: %v", from, got)
		}
	}
}

func with(s *session) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: cookieName, Value: s.id})
	return r
}

// A session ends when its technician does nothing, however often the page asks by
// itself, and at last in any case.
func TestExpiry(t *testing.T) {
	s, clock := newSessions()
	idle, _ := s.login(office, right)
	busy, _ := s.login(office, right)
	if idle.id == busy.id || idle.token == busy.token || len(idle.id) < 43 {
		t.Fatal("sessions are not told apart")
	}
	for range 59 {
		clock.pass(time.Minute)
		s.of(with(idle), false)
		s.of(with(busy), true)
	}
	if s.of(with(idle), true) != nil || !s.ended(idle) {
		t.Error("one that did nothing for an hour is still logged in")
	}
	if s.of(with(busy), false) != busy || s.ended(busy) {
		t.Error("one that did something each minute is logged out")
	}
	for range 9*60 + 1 {
		clock.pass(time.Minute)
		s.of(with(busy), true)
	}
	if s.of(with(busy), false) != nil {
		t.Error("ten hours after its login it is still logged in")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s, clock := newSessions()
	var all []*session
	for range maxSessions + 1 {
		n, _ := s.login(office, right)
		all = append(all, n)
		clock.pass(time.Second)
	}
	if len(s.live) != maxSessions || !s.ended(all[0]) || s.ended(all[1]) {
		t.Errorf("%d sessions; the one idle longest is not the one that made room", len(s.live))
	}
	s.end(all[5])
	if s.of(with(all[5]), false) != nil {
		t.Error("who logged out is still logged in")
	}
}
