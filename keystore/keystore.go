// Package keystore keeps small secrets on a file system that may lose power at any moment: TKs, EUKey sets
// and the progress of their delivery, at the gateway.
//
// A store is a folder with one log: a header and sealed entries, of ChaCha20-Poly1305 under a key that HKDF
// makes from the board's device secret, so that the log of one board is noise on another. The format is
// written down in docs/keystore-format.md. Command pngw makes the device secret (package board), calls
// Create once and Open at every start; package agent uses the Store.
//
//   - header.go, entry.go: the format
//   - replay.go: what Open makes of a log
//   - commit.go: how Puts and Deletes share a write and a sync
//   - compact.go, reserve.go: a log grows, and a file system has an end
//   - folder.go, disk.go: the system calls
//
// What it promises: after Put has returned, the value survives a power cut. At any moment a record is the old
// value or the new one, whole. An entry that was changed, moved, or put back in the place of a newer one is
// noticed; a record that does not open is reported by name, and is not written over until it is deleted.
//
// What it does not: whoever can write to the folder can put back an older copy of the whole log, or cut its
// end off, and whoever runs code as the daemon's user reads what the daemon reads. The log shows how many
// records there are, how long they are and which entries belong to one. What was deleted stays in the log, sealed,
// until it is compacted, and flash and journals keep old blocks.
package keystore

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Limits and sizes, in bytes.
const (
	MaxName  = 64       // of a record name: as long as an Entity ID
	MaxValue = 60 << 10 // of a record's value
	Overhead = 39       // what an entry is longer than name and value
)

const (
	logFile     = "log"
	newLogFile  = "log.new" // being written; worthless after a power cut
	reserveFile = "reserve" // nothing but room
)

// A Store is an open store. Its methods may be called concurrently.
type Store struct {
	folder *folder // locked until closed
	disk   disk    // the folder, but for tests
	aead   cipher.AEAD
	found  Found

	gathering sync.Mutex
	next      *batch // collects what is to be written next, nil for nothing

	// Held by who writes: one batch, or one compaction, at a time.
	writing  turn
	end      int64  // of the log's last entry
	seq      uint64 // of the last entry
	lastID   uint32 // that was given to a name in this log
	torn     bool   // there may be something behind end
	void     *span  // torn entries between good ones, not yet said in the log
	renamed  bool   // the folder has a new log that is perhaps not there for good
	again    int64  // the end from which on a compaction that failed is tried again
	reserved bool   // the reserve is there
	partial  bool   // part of the log could not be read: it must not be compacted away

	mu     sync.RWMutex // of what follows, which changes under writing as well
	log    file
	index  map[string]entryAt
	broken map[string]error  // why a record does not open
	mended map[uint32]uint64 // the numbers of entries whose heads are damaged, by place
	live   int64             // bytes of entries that a compaction would keep
	closed bool
}

// entryAt is where a record's entry is, at 0 for a record that does not open.
type entryAt struct {
	at   uint32
	size uint16
	seq  uint16 // its low half
	id   uint32
}

// kept is how many bytes of a record a compaction keeps: entry and name.
func (e entryAt) kept(name string) int64 {
	if e == (entryAt{}) {
		return 0
	}
	return int64(e.size) + int64(len(name)) + 1
}

// maxLog is how long a log can be, in bytes.
const maxLog = 1<<32 - 1

// Found is what Open found that is nobody's record, for a log.
type Found struct {
	Torn int64 // bytes at the end that a power cut has left, unfinished, and that do not count
	Old  int   // entries that were put back in the place of newer ones; they do not count
	Lost int   // entries, at least, that are missing or damaged, and nothing says whose they were: a record may be older than the last that was stored, or missing
}

// Create makes an empty store in dir, a folder that is not there yet or has no store in it; the folder above
// has to be there. It refuses an existing store with fs.ErrExist. The store is durable once Create returns,
// and not open.
func Create(dir string, secret *Secret) error {
	return create(dir, secret, realDisk)
}

// realDisk is what a store works on, outside tests.
func realDisk(f *folder) disk { return f }

func create(dir string, secret *Secret, on func(*folder) disk) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating key store: %w", err)
	}
	f, err := lockFolder(dir)
	if err != nil {
		return fmt.Errorf("creating key store: %w", err)
	}
	defer f.close()
	files, err := f.check()
	if err != nil {
		return fmt.Errorf("creating key store: %w", err)
	}
	if i := slices.IndexFunc(files, isStoreFile); i >= 0 {
		return fmt.Errorf("creating key store: %s: %w (it has a file %s)", dir, fs.ErrExist, files[i])
	}
	header := newHeader(secret)
	aead, err := parseHeader(header, secret)
	if err != nil {
		return err
	}
	d := on(f)
	w, err := newLog(d, aead, header, 0)
	if err == nil {
		err = w.finish()
	}
	if err == nil {
		_, err = w.replace()
		w.file.Close()
	}
	if err == nil {
		err = d.sync()
	}
	if err == nil {
		err = d.syncAbove()
	}
	if err != nil {
		return &WriteError{Dir: dir, Err: err}
	}
	return nil
}

// Open opens the store in dir and locks it until Close.
//
// It fails with fs.ErrNotExist where there is no store, ErrLocked while another process has it open, a
// *ModeError where group or others have access, ErrWrongSecret under a secret that it was not made with, and
// ErrDamaged where the header is spoilt. Every entry is opened once; what a power cut has left unfinished does not
// count, and what is damaged is in Get's errors and in Found.
//
// A store that is moved while it is open stays open, where it is then.
func Open(dir string, secret *Secret) (*Store, error) {
	return open(dir, secret, realDisk)
}

func open(dir string, secret *Secret, on func(*folder) disk) (_ *Store, err error) {
	f, err := lockFolder(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no key store: %w: run pngw init once to make it", err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening key store: %w", err)
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	files, err := f.check()
	if err != nil {
		return nil, fmt.Errorf("opening key store: %w", err)
	}
	d := on(f)
	switch {
	case slices.Contains(files, logFile):
	case slices.ContainsFunc(files, isFirstFormat):
		return nil, fmt.Errorf("opening key store %s: %w", dir, errFirstFormat)
	default:
		return nil, fmt.Errorf("no key store in %s: %w: run pngw init once to make it", dir, fs.ErrNotExist)
	}
	log, err := d.open(logFile)
	if err != nil {
		return nil, fmt.Errorf("opening key store %s: %w", dir, err)
	}
	s := &Store{folder: f, disk: d, log: log, writing: make(turn, 1)}
	if err := s.replay(secret); err != nil {
		log.Close()
		return nil, fmt.Errorf("opening key store %s: %w", dir, err)
	}
	// What stays, on a read-only file system say, harms nothing: nobody reads it.
	if slices.Contains(files, newLogFile) && d.remove(newLogFile) == nil {
		_ = d.sync()
	}
	s.keepReserve()
	return s, nil
}

// Found is what Open has found.
func (s *Store) Found() Found { return s.found }

// Put stores a value under a name of 1 to MaxName bytes of printable ASCII. It is durable once Put returns.
// Puts and Deletes that come while the disk is at work are written and synced together; the order of two
// for one name at once is anybody's guess.
//
// A record of that name that does not open stays as it is, and Put fails with its *RecordError; Delete it first. A
// failure of the file system is a *WriteError: then the old value is there (or none, if there was none), unless
// the power goes before the store could be written to again: then it may be the new one. Either way Put may be called
// again.
func (s *Store) Put(name string, value []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(value) > MaxValue {
		return fmt.Errorf("storing record %q: value of %d bytes, at most %d fit", name, len(value), MaxValue)
	}
	return s.commit(&change{name: name, value: value})
}

// Delete removes a record, also one that does not open. It is gone for good once Delete returns nil, which it
// does too where there is none. It fails with a *WriteError and may then be called again. It works where the file
// system has no room left, as long as the store's reserve is there.
//
// What was stored stays in the log, sealed, until that is compacted, and on flash until it is erased some day.
func (s *Store) Delete(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return s.commit(&change{name: name, remove: true})
}

// Get returns the value under a name. It fails with fs.ErrNotExist where there is none, and with a
// *RecordError where there is one that does not open.
func (s *Store) Get(name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	e, ok := s.index[name]
	if !ok {
		return nil, fmt.Errorf("record %q: %w", name, fs.ErrNotExist)
	}
	value, err := s.read(name, e)
	if err != nil {
		return nil, s.recordError(name, err)
	}
	return value, nil
}

func (s *Store) recordError(name string, err error) error {
	return &RecordError{Name: name, Path: filepath.Join(s.folder.path, logFile), Err: err}
}

// read opens a record's entry. It is called under mu.
func (s *Store) read(name string, e entryAt) ([]byte, error) {
	if e.at == 0 {
		return nil, s.broken[name]
	}
	entry := make([]byte, e.size)
	if _, err := s.log.readAt(entry, int64(e.at)); err != nil {
		return nil, err
	}
	seq, mended := s.mended[e.at]
	if !mended {
		h, ok := parseHead(entry)
		if !ok || uint16(h.seq) != e.seq {
			return nil, ErrDamaged
		}
		seq = h.seq
	}
	contents, err := openEntry(s.aead, seq, entry)
	if err != nil {
		return nil, err
	}
	got, value, ok := cutName(contents[1:])
	if !ok || got != name {
		return nil, ErrDamaged
	}
	return value, nil
}

// List returns the names of all records, sorted, whether they open or not.
func (s *Store) List() ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	return s.names(), nil
}

func (s *Store) names() []string {
	names := make([]string, 0, len(s.index))
	for name := range s.index {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Close gives the store free for another process, once what is being written is.
func (s *Store) Close() error {
	s.writing.take()
	defer s.writing.give()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.closed = true
	return errors.Join(s.log.Close(), s.folder.close())
}

// isStoreFile tells whether a file is a finished part of a store.
func isStoreFile(file string) bool { return file == logFile || isFirstFormat(file) }

// isFirstFormat tells whether a file is of a store of the first format.
func isFirstFormat(file string) bool { return file == "header" || strings.HasSuffix(file, ".rec") }
