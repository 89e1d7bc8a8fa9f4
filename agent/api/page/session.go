package page

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// What a session lives through.
const (
	maxSessions = 16               // at one time; the one that was idle longest makes room
	maxIdle     = 30 * time.Minute // since its technician did something
	maxAge      = 10 * time.Hour   // since its login
)

// cookieName begins with a prefix that keeps it from being set for other hosts, paths
// or without TLS.
const cookieName = "__Host-pngw"

// A session is a technician who is logged in.
type session struct {
	id, token   string // of the cookie; of the header X-Token, against forged requests
	begun, used time.Time
}

// sessions are those who are logged in, and how often somebody else tried. It is gone
// with the agent: who was logged in logs in again.
type sessions struct {
	now func() time.Time

	mu       sync.Mutex
	live     []*session
	failures map[netip.Prefix]*failures
	total    failures
}

// failures are wrong PINs, and until when no other is looked at.
type failures struct {
	n      int
	latest time.Time
	locked time.Time
}

// Wrong PINs. A source that has had its tries is locked out, for longer each time; all
// sources together are, too, which keeps a six-digit PIN for a year against whoever has
// the whole LAN's addresses. A new PIN ends both.
const (
	triesOfSource = 5
	firstLock     = time.Minute
	lastLock      = time.Hour
	triesOfAll    = 60 // in an hour
	maxSources    = 256
)

// source is whom a failure counts for: an address, or an IPv6 network that is one
// machine's.
func source(a netip.Addr) netip.Prefix {
	bits := 32
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// login takes a PIN from a source, where it is looked at, and tells how long none is
// where it is not. All of it is one step: who sends many PINs at once has no more tries.
func (s *sessions) login(from netip.Prefix, fits func() bool) (_ *session, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if wait := s.locked(from).Sub(now); wait > 0 {
		return nil, wait
	}
	if fits() {
		delete(s.failures, from)
		return s.begin(now), 0
	}
	s.failed(from, now)
	return nil, max(0, s.locked(from).Sub(now))
}

// locked is until when no PIN of a source is looked at.
func (s *sessions) locked(from netip.Prefix) time.Time {
	until := s.total.locked
	if f := s.failures[from]; f != nil && f.locked.After(until) {
		until = f.locked
	}
	return until
}

func (s *sessions) failed(from netip.Prefix, now time.Time) {
	f := s.failures[from]
	if f == nil {
		if s.failures == nil {
			s.failures = map[netip.Prefix]*failures{}
		}
		for p, old := range s.failures {
			// Where all places are taken any of them goes: the limit of all holds.
			if len(s.failures) >= maxSources || now.Sub(old.latest) > lastLock {
				delete(s.failures, p)
			}
		}
		f = new(failures)
		s.failures[from] = f
	}
	if now.Sub(f.latest) > 2*lastLock {
		f.n = 0
	}
	f.n++
	f.latest = now
	if over := f.n - triesOfSource; over >= 0 {
		f.locked = now.Add(min(firstLock<<min(over, 10), lastLock))
	}
	if now.Sub(s.total.latest) >= time.Hour {
		s.total.n, s.total.latest = 0, now // of the first in this hour
	}
	if s.total.n++; s.total.n >= triesOfAll {
		s.total.locked = s.total.latest.Add(time.Hour)
	}
}

// forget ends all sessions and locks: there is a new PIN.
func (s *sessions) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.failures, s.total = nil, nil, failures{}
}

// begin makes a session.
func (s *sessions) begin(now time.Time) *session {
	if len(s.live) >= maxSessions {
		oldest := 0
		for i, o := range s.live {
			if o.used.Before(s.live[oldest].used) {
				oldest = i
			}
		}
		s.live = append(s.live[:oldest], s.live[oldest+1:]...)
	}
	n := &session{random(), random(), now, now}
	s.live = append(s.live, n)
	return n
}

func (s *sessions) end(gone *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.live {
		if o == gone {
			s.live = append(s.live[:i], s.live[i+1:]...)
			return
		}
	}
}

// of is the session of a request, nil for none. The technician does something where
// used is set, and does not where the page asks by itself.
func (s *sessions) of(r *http.Request, used bool) *session {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.live {
		if subtle.ConstantTimeCompare([]byte(o.id), []byte(c.Value)) == 1 && s.lives(o) {
			if used {
				o.used = s.now()
			}
			return o
		}
	}
	return nil
}

func (s *sessions) lives(o *session) bool {
	now := s.now()
	return now.Sub(o.used) < maxIdle && now.Sub(o.begun) < maxAge
}

// ended tells whether a session that was there is over.
func (s *sessions) ended(o *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.live {
		if l == o {
			return !s.lives(o)
		}
	}
	return true
}

func cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

func random() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
