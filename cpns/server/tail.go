package server

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// Events get their numbers when they are added, and are there when their transactions
// are committed: where several write at once, a higher number may come first, and a
// number whose transaction failed never comes. A tail finds every event, each once.
type tail struct {
	upto    int64 // all numbers up to this one were looked at
	missing []gap // those of them that were not there, ascending
}

// A gap is a number without an event.
type gap struct {
	seq   int64
	since int64 // seconds since 1970
}

const (
	// A transaction takes a few seconds at most: what has not come by then does not.
	gapKept = 2 * time.Minute
	gapMost = 8192
)

// read is what has come since the last time, the late ones first; at most limit, and
// these in addition.
func (t *tail) read(tx LogPages, now time.Time, limit int) ([]Event, error) {
	late, err := t.readLate(tx, now)
	if err != nil {
		return nil, err
	}
	fresh, err := tx.EventsAfter(t.upto, time.Time{}, limit)
	if err != nil {
		return nil, err
	}
	for _, e := range fresh {
		for n := max(t.upto+1, e.Seq-gapMost); n < e.Seq; n++ {
			t.missing = append(t.missing, gap{n, now.Unix()})
		}
		t.upto = e.Seq
	}
	if over := len(t.missing) - gapMost; over > 0 {
		t.missing = slices.Delete(t.missing, 0, over)
	}
	return append(late, fresh...), nil
}

func (t *tail) clone() tail { return tail{t.upto, slices.Clone(t.missing)} }

func (t *tail) readLate(tx LogPages, now time.Time) ([]Event, error) {
	if len(t.missing) == 0 {
		return nil, nil
	}
	seqs := make([]int64, len(t.missing))
	for n, g := range t.missing {
		seqs[n] = g.seq
	}
	late, err := tx.EventsAt(seqs)
	if err != nil {
		return nil, err
	}
	// What is there is taken, however late; only then is what is not there given up.
	came := make(map[int64]bool, len(late))
	for _, e := range late {
		came[e.Seq] = true
	}
	t.missing = slices.DeleteFunc(t.missing, func(g gap) bool {
		waited := now.Unix() - g.since
		return came[g.seq] || waited < 0 || waited > int64(gapKept/time.Second)
	})
	return late, nil
}

// pack is the numbers that are missing, in few bytes.
func (t *tail) pack() []byte {
	b := []byte{}
	var last gap
	for _, g := range t.missing {
		b = binary.AppendVarint(b, g.seq-last.seq)
		b = binary.AppendVarint(b, g.since-last.since)
		last = g
	}
	return b
}

// unpack reads what pack wrote.
func (t *tail) unpack(b []byte) error {
	var last gap
	for len(b) > 0 {
		for _, into := range []*int64{&last.seq, &last.since} {
			d, n := binary.Varint(b)
			if n <= 0 {
				return errors.New("the list of missing numbers cannot be read")
			}
			*into += d
			b = b[n:]
		}
		t.missing = append(t.missing, last)
	}
	return nil
}
