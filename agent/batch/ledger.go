package batch

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"cpns.example.net/pngw/cpns"
)

// maxRows bounds a file: its ledger then takes 2 MB, and while duplicates are looked
// for 1 MB more.
const maxRows = 1 << 17

var errTooMany = fmt.Errorf("more than %d rows: give them in several files", maxRows)

// ledger has what has become of each row.
type ledger struct {
	seed  maphash.Seed
	rows  []entry
	texts []text // that verdicts say
}

// entry is one row's.
type entry struct {
	key    uint64 // stands for its device; 0 for a row without one
	line   uint32 // that the row begins in; of a duplicate that of the earlier row
	text   uint16 // place in texts, from 1; 0 for none
	result uint8  // place in results
}

type text struct{ detail, advice string }

// maxTexts bounds what verdicts may say: most of them say the same.
const maxTexts = 1024

// key stands for a device. Two of them have the same by a chance of 1 in 2^64, and
// nobody can bring that about: the seed is random.
func (l *ledger) key(e cpns.EntityID) uint64 {
	if l.seed == (maphash.Seed{}) {
		l.seed = maphash.MakeSeed()
	}
	return maphash.String(l.seed, string(e)) | 1
}

func (l *ledger) set(i int, r Result, detail, advice string) {
	e := &l.rows[i]
	e.result, e.text = uint8(slices.Index(results[:], r)), 0
	t := text{detail, advice}
	if t == (text{}) || r == Bad || r == Duplicate { // of those, what they say is found anew
		return
	}
	at := slices.Index(l.texts, t)
	if at < 0 {
		if len(l.texts) == maxTexts-1 {
			t = text{"see pngw show", ""}
		}
		if len(l.texts) < maxTexts {
			l.texts = append(l.texts, t)
		}
		at = len(l.texts) - 1
	}
	e.text = uint16(at + 1)
}

func (l *ledger) verdict(i int) Verdict {
	e := l.rows[i]
	v := Verdict{Result: results[e.result]}
	if e.text > 0 {
		v.Detail, v.Advice = l.texts[e.text-1].detail, l.texts[e.text-1].advice
	}
	return v
}

// index finds rows of the same device: an open hash table of rows' places, at most
// half full.
type index struct {
	ledger *ledger
	places []int32 // place + 1, 0 for none
	n      int
}

func newIndex(l *ledger) *index { return &index{ledger: l, places: make([]int32, 64)} }

// add puts a row in, or tells which row has its device already.
func (x *index) add(i int) (first int, twice bool) {
	key := x.ledger.rows[i].key
	if 2*x.n >= len(x.places) {
		old := x.places
		x.places = make([]int32, 2*len(old))
		for _, p := range old {
			if p != 0 {
				x.places[x.slot(x.ledger.rows[p-1].key)] = p
			}
		}
	}
	at := x.slot(key)
	if p := x.places[at]; p != 0 {
		return int(p - 1), true
	}
	x.places[at] = int32(i + 1)
	x.n++
	return 0, false
}

// slot is where a key is, or would be.
func (x *index) slot(key uint64) int {
	mask := uint64(len(x.places) - 1)
	for at := key >> 1 & mask; ; at = (at + 1) & mask {
		if p := x.places[at]; p == 0 || x.ledger.rows[p-1].key == key {
			return int(at)
		}
	}
}

var errChanged = errors.New("the file has changed while it was read: give the command again")
