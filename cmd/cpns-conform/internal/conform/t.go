package conform

import (
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// A T is one case while it runs. Sent, Heard and Note may be called from every
// goroutine, also after the case has ended: then they do nothing.
type T struct {
	begun time.Time

	mu    sync.Mutex
	ended bool
	room  int // bytes that the trace may still take
	trace []Entry
	lost  int
}

// An Entry is one thing that went over the wire during a case.
type Entry struct {
	Milliseconds int64  `json:"ms"`  // since the case began
	Direction    string `json:"dir"` // sent, heard, note
	What         string `json:"what"`
	Bytes        string `json:"bytes,omitempty"` // hex
}

// maxTrace bounds what one case keeps of the wire, in bytes: a party that floods must
// not fill this machine's memory.
const maxTrace = 256 << 10

// entryOverhead is what an entry takes beside its bytes, about.
const entryOverhead = 100

func newT() *T { return &T{begun: time.Now(), room: maxTrace} }

// Sent tells that b has been sent. what is a word or two for people: "notification, index 2".
func (t *T) Sent(what string, b []byte) { t.add("sent", what, b) }

// Heard tells that b has come in.
func (t *T) Heard(what string, b []byte) { t.add("heard", what, b) }

// Note tells what else belongs in the order of things: "power cut".
func (t *T) Note(format string, args ...any) { t.add("note", fmt.Sprintf(format, args...), nil) }

func (t *T) add(direction, what string, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	size := entryOverhead + len(what) + hex.EncodedLen(len(b))
	if size > t.room {
		t.lost++
		return
	}
	t.room -= size
	t.trace = append(t.trace, Entry{time.Since(t.begun).Milliseconds(), direction, what, hex.EncodeToString(b)})
}

// An outcome ends a case by a panic, as testing's FailNow ends a test: the case's code
// reads from top to bottom, and no step that follows is taken.
type outcome struct {
	verdict        Verdict
	expected, seen string
	reason         string
}

// Fail ends the case: the party did something else than the clause wants. Both texts
// are for people who have to mend the party; say what was seen as exactly as you can.
func (t *T) Fail(expected, seen string) {
	panic(outcome{verdict: Fail, expected: expected, seen: seen})
}

// NotApplicable ends the case: it has no meaning for this party, or the user has not given what it takes.
func (t *T) NotApplicable(format string, args ...any) {
	panic(outcome{verdict: NotApplicable, reason: fmt.Sprintf(format, args...)})
}

// Undecided ends the case: something that is not the party failed.
func (t *T) Undecided(format string, args ...any) {
	panic(outcome{verdict: Undecided, reason: fmt.Sprintf(format, args...)})
}

// end closes the trace and returns it.
func (t *T) end() (trace []Entry, lost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	return t.trace, t.lost
}
