package keystore

import (
	"crypto/cipher"
	"syscall"
)

// A logWriter appends entries to a log. After the first error it does nothing more.
type logWriter struct {
	aead   cipher.AEAD
	file   file
	at     int64 // where the next entry may begin
	seq    uint64
	lastID uint32
	flag   byte // of the next entry
	fresh  bool // the file is new: gaps are written as zeros, in one go with what is around them
	buf    []byte
	err    error
}

// writer appends to the log of s, from its last durable entry on.
func (s *Store) writer() *logWriter {
	return &logWriter{aead: s.aead, file: s.log, at: s.end, seq: s.seq, lastID: s.lastID, flag: firstOfBatch}
}

// entry appends an entry and returns where it is.
func (w *logWriter) entry(id uint32, contents []byte) entryAt {
	size := entryOverhead + len(contents)
	at := place(w.at, size)
	switch gap := at - w.at; {
	case at+int64(size) > maxLog:
		w.err = syscall.EFBIG
	case w.fresh && len(w.buf) < 32<<10:
		w.buf = append(w.buf, make([]byte, gap)...)
		w.at = at
	case gap > 0 || w.fresh:
		w.err = w.flush()
		w.at = at
	}
	if w.err != nil {
		return entryAt{}
	}
	w.seq++
	contents[0] |= w.flag
	w.flag = 0
	w.buf = appendEntry(w.buf, w.aead, w.seq, id, contents)
	w.at += int64(size)
	return entryAt{at: uint32(at), size: uint16(size), seq: uint16(w.seq), id: id}
}

// flush writes what has been appended.
func (w *logWriter) flush() error {
	if w.err == nil && len(w.buf) > 0 {
		w.err = w.file.writeAt(w.buf, w.at-int64(len(w.buf)))
		w.buf = w.buf[:0]
	}
	return w.err
}

// change appends the entries of a change to a record that was at old.
func (w *logWriter) change(c *change, old entryAt) {
	id := old.id
	if c.remove {
		w.entry(id, named(kindDelete, c.name, nil))
		return
	}
	if id == noRecord {
		id = w.newID()
		w.entry(noRecord, appendName(namesFrom(id), c.name))
	}
	contents := named(kindPut, c.name, c.value)
	c.put = w.entry(id, contents)
	clear(contents)
}

// newID is the id of a name that has none in this log.
func (w *logWriter) newID() uint32 {
	w.lastID = min(w.lastID+1, unnamed)
	return w.lastID
}

// namesFrom begins the contents of an entry that says whose the ids from that one on are.
func namesFrom(id uint32) []byte { return appendNumber([]byte{kindNames}, uint64(id), idSize) }

func appendName(contents []byte, name string) []byte {
	return append(append(contents, byte(len(name))), name...)
}
