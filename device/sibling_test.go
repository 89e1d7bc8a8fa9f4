package device

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// lineSpread is the longest random time before a serial line is looked at again.
const lineSpread = 250 * time.Millisecond

// A sibling is the Go PNE under the same clock, randomness, storage and link as the one
// in C. What it does between those is what cmd/pne does.
type sibling struct {
	config pne.Config
	link   link
	device *pne.Device
	hellos *pne.Schedule
	line   pne.Line

	start  time.Time
	now    time.Time
	heard  time.Time // the last byte
	look   time.Time // when to look again whether the line is free
	jitter uint32

	random, counter                    uint64
	randomFails, sendFails, storeFails bool
	epochOnly                          bool
	stored                             pne.State
	said                               [][]byte
	events                             []event
}

func newSibling(entity cpns.EntityID, tk cpns.TK, l link, flags map[rune]bool) *sibling {
	s := &sibling{link: l, start: time.Unix(1_000_000, 0), epochOnly: flags['e']}
	s.config = pne.Config{Entity: entity, TK: tk, Storage: s, X25519: flags['x']}
	if flags['v'] {
		s.config.Storage = pne.Volatile{}
	}
	if flags['c'] {
		s.config.Counter = s
	} else {
		s.config.Rand = s
	}
	return s
}

var errTold = errors.New("as it was told")

// Load, Save, Next and Read are the storage, the counter and the random source.
func (s *sibling) Load() (pne.State, error) { return s.stored, nil }

func (s *sibling) Save(state *pne.State) error {
	switch {
	case s.epochOnly && state.Epoch == s.stored.Epoch:
		return nil // it is kept already
	case s.storeFails:
		return errTold
	case s.epochOnly:
		s.stored = pne.State{Epoch: state.Epoch}
	default:
		s.stored = *state
	}
	return nil
}

func (s *sibling) Next() (uint64, error) {
	if s.randomFails {
		return 0, errTold
	}
	s.counter++
	return s.counter, nil
}

func (s *sibling) Read(p []byte) (int, error) {
	if s.randomFails {
		return 0, errTold
	}
	for i := range p {
		s.random ^= s.random << 13
		s.random ^= s.random >> 7
		s.random ^= s.random << 17
		p[i] = byte(s.random >> 24)
	}
	return len(p), nil
}

// spread is what the library in C spreads devices with: xorshift32.
func (s *sibling) spread(bound time.Duration) time.Duration {
	x := max(s.jitter, 1)
	x ^= x << 13
	x ^= x >> 17
	x ^= x << 5
	s.jitter = x
	return time.Duration(uint64(x)*uint64(bound/time.Millisecond)>>32) * time.Millisecond
}

func (s *sibling) boot() error {
	d, err := pne.New(s.config)
	if err != nil {
		return err
	}
	s.device = d
	s.hellos = pne.NewSchedule(d, pne.FirstPause, s.spread)
	s.line, s.look = pne.Line{}, time.Time{}
	name := sha256.Sum256([]byte(s.config.Entity))
	s.jitter = binary.BigEndian.Uint32(name[:])
	return nil
}

// begin has the clock show ms since the start, and forgets what was said before.
func (s *sibling) begin(ms uint64) {
	s.now = s.start.Add(time.Duration(ms) * time.Millisecond)
	s.said, s.events = nil, nil
}

func (s *sibling) up() {
	s.hellos.Begin(s.now)
	if s.link == serial {
		s.heard = s.now
		s.lookLater(s.line.Free(s.now))
	}
}

func (s *sibling) lookLater(from time.Time) { s.look = from.Add(s.spread(lineSpread)) }

func (s *sibling) send(msg []byte) bool {
	if s.sendFails {
		return false
	}
	if s.link != messages {
		msg = transport.EncodeFrame(nil, msg)
	}
	s.said = append(s.said, msg)
	return true
}

func (s *sibling) handle(msg []byte) {
	reply, ev := s.device.Handle(msg)
	if reply != nil {
		s.send(reply)
	}
	s.hellos.Heard(s.now, ev)
	s.line.Heard(s.now, ev)
	s.events = append(s.events, asEvent(ev))
	if due, ok := s.hellos.Due(); ev.Kind == pne.Identify && ok && !due.After(s.now) && !ev.Everybody {
		s.sayHello()
	}
}

// asEvent is what the library in C would call it, but for why and, where it was
// not ignored, the type.
func asEvent(ev pne.Event) event {
	e := event{status: int(ev.Status), epoch: uint32(ev.Epoch), index: uint32(ev.Index)}
	if ev.Everybody {
		e.everybody = 1
	}
	switch ev.Kind {
	case pne.Ignored:
		e.kind, e.typ = kindIgnored, int(ev.Type)
	case pne.Malformed:
		e.kind = kindMalformed
	case pne.Repeated:
		e.kind = kindRepeated
	case pne.Identify:
		e.kind = kindIdentify
	case pne.Stored:
		e.kind = kindStored
	case pne.Authenticated:
		e.kind = kindAuthenticated
	case pne.Stayed:
		e.kind = kindStayed
	case pne.Refused:
		e.kind = kindRefused
	default:
		panic(fmt.Sprint("an event of kind ", ev.Kind))
	}
	return e
}

func (s *sibling) sayHello() {
	before := s.device.SameHello()
	msg, err := s.hellos.Hello(s.now)
	if err == nil && string(msg) != string(before) {
		hash := sha256.Sum256(msg)
		s.jitter ^= binary.BigEndian.Uint32(hash[:])
	}
	if err != nil || !s.send(msg) {
		s.hellos.Unsent(s.now)
		s.events = append(s.events, event{kind: kindNoHello})
		return
	}
	_, epoch, index := s.device.Held()
	s.events = append(s.events, event{kind: kindHello, epoch: uint32(epoch), index: uint32(index)})
}

func (s *sibling) due() (at time.Time, ok bool) {
	at, ok = s.hellos.Due()
	if ok && s.link == serial && at.Before(s.look) {
		at = s.look
	}
	return at, ok
}

// poll does what is due, and says after how many milliseconds to look again, -1 for never.
func (s *sibling) poll() int64 {
	if at, ok := s.due(); ok && !at.After(s.now) {
		if free := s.line.Free(s.heard); s.link == serial && free.After(s.now) {
			s.lookLater(free)
		} else {
			s.sayHello()
		}
	}
	at, ok := s.due()
	if !ok {
		return -1
	}
	return max(0, at.Sub(s.now)).Milliseconds()
}

// held is what the harness says to that command.
func (s *sibling) held() string {
	g, epoch, index := s.device.Held()
	key, agreed := s.device.SessionKey()
	if !agreed {
		key = cpns.SessionKey{}
	}
	any, has := 0, 0
	if index != 0 {
		any = 1
	} else {
		g = "-"
	}
	if agreed {
		has = 1
	}
	return fmt.Sprintf("%d %d %d %s %d  %x", any, epoch, index, g, has, key[:])
}
