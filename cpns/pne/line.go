package pne

import (
	"time"

	"cpns.example.net/pngw/cpns"
)

// What a device waits for before it says a hello of its own on a serial line that
// others may share (section 5). What it says in answer it says at once.
const (
	lineSilence = 20 * time.Millisecond  // how long nobody has spoken
	answerTime  = 600 * time.Millisecond // for another's answer to the gateway
)

// A Line knows who else is speaking on a serial line. The zero value is one on
// which nothing was heard. It is for one goroutine.
type Line struct {
	entity cpns.EntityID // which device the gateway waits for
	until  time.Time     // how long that keeps others silent
}

// Heard is called with what each message was.
func (l *Line) Heard(now time.Time, ev Event) {
	if ev.Kind != Ignored {
		return
	}
	switch ev.Type {
	case cpns.TypeIdentify, cpns.TypeNotification, cpns.TypeAuthChallenge, cpns.TypeEUKeyUpdate:
		l.entity, l.until = ev.Entity, now.Add(answerTime)
	default:
		if ev.Entity == l.entity {
			l.until = time.Time{}
		}
	}
}

// Free is the earliest time at which the device may begin to speak unasked, as far
// as can be told now. heard is when the last byte came in, of whatever kind, or when
// the device began to listen.
func (l *Line) Free(heard time.Time) time.Time {
	return later(heard.Add(lineSilence), l.until)
}
