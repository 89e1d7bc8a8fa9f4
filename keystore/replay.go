package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A span is a range of numbers of entries, both ends in it.
type span struct{ from, to uint64 }

func (s span) contents() []byte {
	return appendNumber(appendNumber([]byte{kindVoid}, s.from, seqSize), s.to, seqSize)
}

// A gap is a range of entries that are missing or do not open.
type gap struct {
	span
	name string  // whose, "" where nothing says it
	why  error   // what was said of that record because of this, nil for nothing
	was  entryAt // what it was before
}

// replaying is what Open knows while it reads a log.
type replaying struct {
	*Store
	in    window
	ids   map[uint32]string
	last  uint64 // the highest number so far, of an entry that opened or did not
	sure  uint64 // the last number of which all was durable when a later entry was written
	begun bool   // there was an entry that opens
	whole bool   // all is there that the log was made with
	gaps  []gap
	voids []span
	old   string // whose entry was met in the place of another, "" for nobody's
}

// replay reads the whole log. It changes nothing on the disk.
func (s *Store) replay(secret *Secret) error {
	info, err := s.log.Stat()
	if err != nil {
		return err
	}
	r := &replaying{Store: s, in: window{file: s.log, size: info.Size()}, ids: make(map[uint32]string)}
	if info.Size() > maxLog {
		return fmt.Errorf("%w: it is longer than a log can be", ErrDamaged)
	}
	header := make([]byte, headerSize)
	n, err := s.log.readAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if s.aead, err = parseHeader(header[:n], secret); err != nil {
		return err
	}
	s.index, s.broken, s.mended = make(map[string]entryAt), make(map[string]error), make(map[uint32]uint64)
	s.end = int64(headerSize)
	r.entries()
	r.judge()
	s.partial = r.in.err != nil
	if s.torn = info.Size() > s.end; s.torn {
		s.found.Torn = info.Size() - s.end
	}
	return nil
}

// entries goes through the log.
func (r *replaying) entries() {
	for at := int64(headerSize); at < r.in.size; {
		h, whole := parseHead(r.in.get(at, headSize))
		if whole {
			if contents, err := openEntry(r.aead, h.seq, r.in.get(at, h.size)); err == nil {
				r.take(at, h, contents)
				at += int64(h.size)
				continue
			}
		}
		if rest := r.in.get(at, int(entryPage-at%entryPage)); at%entryPage != 0 && len(bytes.Trim(rest, "\x00")) == 0 {
			at += int64(len(rest)) // the next entry did not fit
			continue
		}
		next, seq := r.search(at)
		if whole {
			r.miss(h)
		} else {
			r.mend(at, next, seq)
		}
		at = next
	}
}

// search finds the next entry behind a place where there is none, and its number; the
// end of the log for none.
func (r *replaying) search(at int64) (next int64, seq uint64) {
	for next = at + 1; next < r.in.size; next++ {
		if h, ok := parseHead(r.in.get(next, headSize)); ok && h.seq > r.last {
			if _, err := openEntry(r.aead, h.seq, r.in.get(next, h.size)); err == nil {
				return next, h.seq
			}
		}
	}
	return next, 0
}

// mend tries to open what is between two entries as one whose head is damaged: all
// that counts in a head can be told from what is around it.
func (r *replaying) mend(at, next int64, seq uint64) {
	if next-at > 2*entryPage+maxContents {
		return
	}
	if r.begun || seq == 0 {
		seq = r.last + 2
	}
	all := bytes.Clone(r.in.get(at, int(next-at)))
	sizes := []int{len(all), len(bytes.TrimRight(all, "\x00")), 0}
	if len(all) > 2 {
		sizes[2] = headSize + randSize + int(number(all[:2]))
	}
	for _, size := range sizes {
		if size > len(all) {
			continue
		}
		if contents, err := openEntry(r.aead, seq-1, all[:size]); err == nil {
			r.take(at, head{size: size, seq: seq - 1, id: unnamed}, contents)
			r.mended[uint32(at)] = seq - 1
			return
		}
	}
}

// take takes an entry that opens.
func (r *replaying) take(at int64, h head, contents []byte) {
	kind, rest := contents[0]&^firstOfBatch, contents[1:]
	about, value := kind == kindPut || kind == kindDelete || kind == kindDamaged, rest
	var name string
	if about {
		var ok bool
		if name, value, ok = cutName(rest); !ok {
			return // nobody has written this
		}
	}
	switch {
	case !r.begun:
		if kind != kindBegin {
			r.gaps = append(r.gaps, gap{span: span{1, 1}})
		}
		r.begun, r.last = true, h.seq-1
	case h.seq <= r.last:
		r.found.Old++
		r.old = name
		return
	}
	r.missing(h.seq)
	if contents[0]&firstOfBatch != 0 && kind != kindBegin {
		r.sure, r.whole = h.seq-1, true
	}
	r.last, r.seq, r.end, r.old = h.seq, h.seq, at+int64(h.size), ""
	if about {
		r.forget(name)
		r.name(h.id, name)
	}
	switch kind {
	case kindPut:
		r.enter(name, entryAt{uint32(at), uint16(h.size), uint16(h.seq), h.id})
	case kindDamaged:
		r.markBroken(name, h.id, fmt.Errorf("%w before the log was compacted", ErrDamaged))
	case kindNames:
		for id := uint32(number(value[:min(idSize, len(value))])); len(value) > idSize; id++ {
			name, more, ok := cutName(value[idSize:])
			if !ok {
				break
			}
			r.name(id, name)
			value = value[len(value)-len(more)-idSize:]
		}
	case kindVoid:
		if len(value) == 2*seqSize {
			r.voids = append(r.voids, span{number(value[:seqSize]), number(value[seqSize:])})
		}
	case kindEnd:
		r.sure, r.whole = h.seq, true
	}
}

// name notes who is meant by an id.
func (r *replaying) name(id uint32, name string) {
	if id != noRecord && id != unnamed {
		r.ids[id] = name
		r.lastID = max(r.lastID, id)
	}
}

// missing notes the entries that should have come before the one with that number.
func (r *replaying) missing(seq uint64) {
	if seq > r.last+1 {
		r.lose(span{r.last + 1, seq - 1}, r.old)
	}
}

// miss notes an entry whose head is whole and whose box does not open.
func (r *replaying) miss(h head) {
	switch {
	case !r.begun && h.id == noRecord: // the log's first
		r.begun, r.last = true, h.seq
		return
	case !r.begun, h.seq <= r.last:
		return
	}
	r.missing(h.seq)
	if h.id != noRecord {
		r.lose(span{h.seq, h.seq}, r.ids[h.id])
		r.name(h.id, r.ids[h.id])
	}
	r.last = h.seq
}

// lose notes that entries are lost, whose is known or not. Later entries of the same
// record make good for them.
func (r *replaying) lose(lost span, name string) {
	g := gap{span: lost, name: name}
	if name != "" {
		if r.broken[name] == nil {
			g.was = r.index[name]
			g.why = fmt.Errorf("%w: its newest entry, number %d of the log", ErrDamaged, lost.from)
			r.markBroken(name, g.was.id, g.why)
		}
	}
	r.gaps = append(r.gaps, g)
}

// judge tells what was damaged from what a power cut has torn. What is torn was never
// durable, and nobody was told that it was: it does not count. It can only be in the
// last batch. Good entries behind it count, though they were not durable either; so
// the next batch says which were torn.
func (r *replaying) judge() {
	for i := len(r.gaps) - 1; i >= 0; i-- {
		g := r.gaps[i]
		torn := r.whole && g.from > r.sure
		for _, v := range r.voids {
			torn = torn || v.from <= g.from && g.to <= v.to
		}
		switch {
		case torn && g.why != nil && r.broken[g.name] == g.why:
			r.forget(g.name)
			if g.was.at != 0 {
				r.enter(g.name, g.was)
			}
		case !torn && g.name == "":
			r.found.Lost += int(g.to - g.from + 1)
		}
		if torn && g.from > r.sure && g.from < r.seq {
			if r.void == nil {
				r.void = &span{g.from, min(g.to, r.seq)}
			}
			r.void.from = g.from
		}
	}
	if !r.whole {
		// It ends within what was durable before it became the log. A number is left
		// out, so that this shows as long as the log lasts; the next entry takes a page of
		// its own, so that it is no part of one that is cut off.
		r.found.Lost++
		r.end, r.seq = r.in.size+entryPage-1, r.last+1
		r.end -= r.end % entryPage
	}
}

// markBroken notes that a record does not open.
func (s *Store) markBroken(name string, id uint32, why error) {
	s.forget(name)
	s.enter(name, entryAt{id: id})
	s.broken[name] = why
}

// A window is some pages of a file in memory.
type window struct {
	file file
	size int64
	buf  []byte
	from int64
	err  error // the first of reading
}

// get returns n bytes of the file, or what there is up to its end, until the next
// call. Pages that cannot be read are zeros.
func (w *window) get(at int64, n int) []byte {
	to := min(at+int64(n), w.size)
	if at >= to {
		return nil
	}
	if at < w.from || to > w.from+int64(len(w.buf)) {
		w.from, w.buf = at-at%entryPage, w.buf[:0]
		for end := w.from; end < to; end += entryPage {
			w.buf = append(w.buf, make([]byte, min(entryPage, w.size-end))...)
			page := w.buf[end-w.from:]
			if _, err := w.file.readAt(page, end); err != nil && !errors.Is(err, io.EOF) {
				w.err = err
				clear(page)
			}
		}
	}
	return w.buf[at-w.from : to-w.from]
}
