package keystore

import (
	"crypto/cipher"
	"errors"
	"io/fs"
	"os"
	"slices"
)

// slack is how much longer a log may be than two of what is in use, in bytes: a
// store of few records is not written anew all the time. Each byte that is appended
// costs at most one of a compaction, and with a hundred records of 250 bytes a
// fifth of that.
const slack = 64 << 10

// compactIfItPays writes a log anew that is mostly history. Where that fails nothing
// is lost, and it is tried again when the log has grown. It is called under writing.
func (s *Store) compactIfItPays() {
	if s.closed || s.end < 2*s.live+slack || s.end < s.again || s.partial || s.renamed || s.torn {
		return
	}
	// It takes no more room than there is, nor what others might be waiting for.
	need := s.live + s.live/8 + slack/2
	if free, _, err := s.disk.room(); err != nil || free < need || s.compact() != nil {
		s.again = s.end + slack
	}
}

// compact puts a log in the place of the log that has the records in use alone. After
// an error the old one is in use, or the new one where it had replaced the old
// already.
func (s *Store) compact() error {
	header := make([]byte, headerSize)
	if _, err := s.log.readAt(header, 0); err != nil {
		return err
	}
	names := s.names()
	w, err := newLog(s.disk, s.aead, header, s.seq)
	if err != nil {
		return err
	}
	for rest := names; len(rest) > 0; {
		contents := namesFrom(w.lastID + 1)
		for len(rest) > 0 && len(contents) < entryPage/2 && w.lastID < unnamed-1 {
			contents = appendName(contents, rest[0])
			rest = rest[1:]
			w.newID()
		}
		if w.lastID >= unnamed-1 {
			break
		}
		w.entry(noRecord, contents)
	}
	places := make([]entryAt, len(names))
	var live int64
	for i, name := range names {
		id := min(uint32(i)+1, unnamed)
		value, err := s.read(name, s.index[name])
		if err != nil && !errors.Is(err, ErrDamaged) {
			w.abandon() // what cannot be read now perhaps can later
			return err
		}
		if err != nil {
			s.mu.Lock()
			s.markBroken(name, s.index[name].id, err)
			s.mu.Unlock()
			w.entry(id, named(kindDamaged, name, nil))
			places[i].id = id
			live += places[i].kept(name)
			continue
		}
		contents := named(kindPut, name, value)
		places[i] = w.entry(id, contents)
		clear(contents)
		clear(value)
		live += places[i].kept(name)
	}
	if err := w.finish(); err != nil {
		return err
	}
	renamed, err := w.replace()
	if !renamed {
		return err
	}
	s.mu.Lock()
	for i, name := range names {
		s.index[name] = places[i]
	}
	s.mended = nil
	old := s.log
	s.log, s.live, s.end, s.seq, s.lastID, s.void = w.file, live, w.at, w.seq, w.lastID, nil
	s.mu.Unlock()
	old.Close()
	// Until the folder is synced a power cut may bring the old log back: no entry of the
	// new one counts before.
	s.renamed = true
	if err := s.disk.sync(); err != nil {
		return err
	}
	s.renamed = false
	return nil
}

// A newLogWriter writes a log beside the one in use.
type newLogWriter struct {
	logWriter
	disk disk
}

// newLog begins a log whose entries come after the number seq.
func newLog(d disk, aead cipher.AEAD, header []byte, seq uint64) (*newLogWriter, error) {
	if err := d.remove(newLogFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := d.create(newLogFile)
	if err != nil {
		return nil, err
	}
	w := &newLogWriter{logWriter{aead: aead, file: f, at: int64(headerSize), seq: seq, flag: firstOfBatch, fresh: true, buf: slices.Clone(header)}, d}
	w.entry(noRecord, []byte{kindBegin})
	return w, nil
}

// finish makes the log's contents durable, or removes it.
func (w *newLogWriter) finish() error {
	w.entry(noRecord, []byte{kindEnd})
	err := w.flush()
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		w.abandon()
	}
	return err
}

func (w *newLogWriter) abandon() {
	w.file.Close()
	_ = w.disk.remove(newLogFile) // gives the room back; if this fails too, Open does it
}

// replace puts the log in the place of the one before. Whether it is there can differ
// from whether there was an error: jffs2 renames in two steps.
func (w *newLogWriter) replace() (renamed bool, err error) {
	err = w.disk.rename(newLogFile, logFile)
	if err == nil {
		return true, nil
	}
	ours, statErr := w.file.Stat()
	there, lstatErr := w.disk.lstat(logFile)
	if statErr == nil && lstatErr == nil && os.SameFile(ours, there) {
		_ = w.disk.remove(newLogFile)
		return true, err
	}
	w.abandon()
	return false, err
}
