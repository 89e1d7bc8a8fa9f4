package main

import (
	"math/rand/v2"
	"time"

	"cpns.example.net/pngw/cpns/pne"
)

// sharedLine is a serial line on which others may be speaking. A hello that nobody
// asked this device for by name waits there until nobody is, and then for a random
// time: those who have waited for the same end would begin together.
type sharedLine struct {
	line   pne.Line
	spread time.Duration // the longest random time
	next   time.Time     // when to look again whether the line is free
}

func newSharedLine(spread time.Duration) *sharedLine { return &sharedLine{spread: spread} }

// begin listens: a line that has just come up may be in use. It is looked at again
// after a random time, for the others may have been switched on at this moment too.
func (s *sharedLine) begin(now time.Time) { s.wait(s.line.Free(now)) }

// free tells whether the device may speak now. heard is when the last byte came in.
// Where it may not, next says when to ask again.
func (s *sharedLine) free(now, heard time.Time) bool {
	at := s.line.Free(heard)
	if !at.After(now) {
		return true
	}
	s.wait(at)
	return false
}

func (s *sharedLine) wait(from time.Time) { s.next = from.Add(rand.N(s.spread)) }
