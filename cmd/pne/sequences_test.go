package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// TestIntegratingSequences runs the sequences of docs/integrating.md on a device.
func TestIntegratingSequences(t *testing.T) {
	for i, block := range fenced(t, integrating, "sequence") {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			s := newSequence(t)
			for line := range strings.Lines(block) {
				line = strings.TrimSpace(line)
				columns := regexp.MustCompile(`  +`).Split(line, 2)
				if len(columns) != 2 {
					t.Fatalf("%q is not an event and what is said", line)
				}
				s.line = line
				s.happens(columns[0])
				s.wantSaid(columns[1])
			}
		})
	}
}

// A sequence is a device with its schedule, and the test as its gateway.
type sequence struct {
	t      *testing.T
	line   string // of the document
	device *pne.Device
	hellos *pne.Schedule
	now    time.Time
	record place

	set       []cpns.EUKey
	heard     [][]byte // hellos, new ones only
	sent      []byte   // the gateway's latest message
	challenge []byte   // and its latest challenge
	randPNE   [16]byte
	iv        byte
	said      [][]byte // since the event began
	before    []byte   // what was said last, before it
}

// place is where the device's State outlives a power cut, unless it is full.
type place struct {
	pne.State
	full bool
}

func (p *place) Load() (pne.State, error) { return p.State, nil }

func (p *place) Save(s *pne.State) error {
	if p.full {
		return errors.New("flash full")
	}
	p.State = *s
	return nil
}

func newSequence(t *testing.T) *sequence {
	s := &sequence{t: t, set: make([]cpns.EUKey, 8), now: time.Now()}
	cpns.DeriveSet(s.set, &[32]byte{1})
	return s
}

func (s *sequence) fatal(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s: "+format, append([]any{s.line}, args...)...)
}

// happens has the left column happen.
func (s *sequence) happens(event string) {
	s.t.Helper()
	if len(s.said) > 0 {
		s.before = s.said[len(s.said)-1]
	}
	s.said = nil
	what, manner, _ := strings.Cut(event, ", ")
	var n int
	var unit string
	var epoch cpns.Epoch
	var index cpns.Index
	switch {
	case event == "switched on", event == "power off, power on":
		s.switchOn()
	case event == "power off, the key is lost, power on":
		s.record.State = pne.State{Epoch: s.record.Epoch}
		s.switchOn()
	case event == "link up":
		s.hellos.Begin(s.now)
	case scan(event, "%d %s later", &n, &unit):
		s.now = s.now.Add(map[string]time.Duration{"s": time.Second, "hour": time.Hour}[unit] * time.Duration(n))
	case what == "identify":
		s.send(&cpns.Identify{Entity: testEntity})
	case what == "identify null":
		s.send(&cpns.Identify{})
	case event == "the same again":
		s.hear(s.sent)
	case event == "auth-challenge, the same again":
		s.hear(s.challenge)
	case what == "auth-challenge":
		g := testGateway
		if manner != "" {
			s.mustBe(manner, "of another gateway")
			g = "gw-0002"
		}
		s.iv++
		s.send(&cpns.AuthChallenge{Entity: testEntity, Gateway: g, RandGW: [16]byte{s.iv}})
		s.challenge = s.sent
	case scan(what, "notification %d %d", &epoch, &index):
		s.notify(epoch, index, manner)
	case scan(what, "eukey-update %d %d", &epoch, &index):
		s.update(epoch, index, manner)
	default:
		s.fatal("no such event")
	}
	for due, ok := s.hellos.Due(); ok && !due.After(s.now); due, ok = s.hellos.Due() {
		msg, err := s.hellos.Hello(s.now)
		if err != nil {
			s.fatal("%v", err)
		}
		s.said = append(s.said, msg)
		if len(s.heard) == 0 || !bytes.Equal(msg, s.heard[len(s.heard)-1]) {
			s.heard = append(s.heard, msg)
		}
	}
}

func scan(text, format string, into ...any) bool {
	n, err := fmt.Sscanf(text, format, into...)
	return err == nil && n == len(into)
}

func (s *sequence) mustBe(manner string, allowed ...string) {
	s.t.Helper()
	for _, a := range allowed {
		if manner == a {
			return
		}
	}
	s.fatal("%q is none of %q", manner, allowed)
}

// switchOn makes the device anew, of what it holds.
func (s *sequence) switchOn() {
	device, err := pne.New(pne.Config{Entity: testEntity, TK: testTK, Storage: &s.record, Rand: rand.Reader})
	if err != nil {
		s.fatal("%v", err)
	}
	s.device = device
	s.hellos = pne.NewSchedule(device, pne.FirstPause, func(time.Duration) time.Duration { return 0 })
	s.hellos.Begin(s.now)
}

// notify sends a notification in answer to the latest hello that was heard.
func (s *sequence) notify(epoch cpns.Epoch, index cpns.Index, manner string) {
	s.t.Helper()
	tk, key, hello := testTK, &s.set[index-1], s.heard[len(s.heard)-1]
	switch manner {
	case "to the hello before":
		hello = s.heard[len(s.heard)-2]
	case "under another TK":
		tk = make(cpns.TK, 16)
	case "of another chain":
		key = new(cpns.EUKey)
	default:
		s.mustBe(manner, "", "to the same hello", "flash full")
	}
	m, err := cpns.ParseMessage(hello)
	if err != nil {
		s.fatal("%v", err)
	}
	s.iv++
	notification, err := cpns.SealNotification(tk, m.(*cpns.Hello), nil, testGateway, epoch, index, key, [12]byte{s.iv})
	if err != nil {
		s.fatal("%v", err)
	}
	s.record.full = manner == "flash full"
	s.send(notification)
	s.record.full = false
}

// update sends an update in answer to the latest auth-response.
func (s *sequence) update(epoch cpns.Epoch, index cpns.Index, manner string) {
	s.t.Helper()
	key := &s.set[index-1]
	switch manner {
	case "empty":
		key = nil
	case "of another chain":
		key = new(cpns.EUKey)
	default:
		s.mustBe(manner, "", "flash full")
	}
	m, err := cpns.ParseMessage(s.challenge)
	if err != nil {
		s.fatal("%v", err)
	}
	s.iv++
	_, _, held := s.device.Held()
	update, err := cpns.SealEUKeyUpdate(testTK, &s.set[held-1], testGateway, &m.(*cpns.AuthChallenge).RandGW, &s.randPNE, testEntity, epoch, index, key, [12]byte{s.iv})
	if err != nil {
		s.fatal("%v", err)
	}
	s.record.full = manner == "flash full"
	s.send(update)
	s.record.full = false
}

func (s *sequence) send(m cpns.Message) {
	s.t.Helper()
	data, err := m.Marshal()
	if err != nil {
		s.fatal("%v", err)
	}
	s.sent = data
	s.hear(data)
}

// hear gives the device a message.
func (s *sequence) hear(msg []byte) {
	reply, ev := s.device.Handle(msg)
	s.hellos.Heard(s.now, ev)
	if reply != nil {
		s.said = append(s.said, reply)
	}
}

// wantSaid compares what was said with the right column.
func (s *sequence) wantSaid(want string) {
	s.t.Helper()
	switch {
	case want == "silence":
		if len(s.said) != 0 {
			s.fatal("the device said %x", s.said)
		}
		return
	case len(s.said) != 1:
		s.fatal("the device said %d messages, want one", len(s.said))
	case strings.HasPrefix(want, "the same"):
		if !bytes.Equal(s.said[0], s.before) {
			s.fatal("the device said something else than before")
		}
		return
	case bytes.Equal(s.said[0], s.before):
		s.fatal("the device said the same as before")
	}
	m, err := cpns.ParseMessage(s.said[0])
	if err != nil {
		s.fatal("%v", err)
	}
	got := ""
	switch m := m.(type) {
	case *cpns.Hello:
		got = fmt.Sprintf("hello %d %d", m.Epoch, m.Index)
	case *cpns.AuthResponse:
		s.randPNE = m.RandPNE
		got = fmt.Sprintf("auth-response %d %d", m.Epoch, m.Index)
	case *cpns.Acknowledgement:
		got = fmt.Sprintf("acknowledgement %d", m.Status)
	}
	if got != want {
		s.fatal("the device said %s", got)
	}
}
