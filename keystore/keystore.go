// Package keystore keeps small secrets on a file system that may lose power at any moment: TKs, EUKey sets
// and the progress of their delivery, at the gateway.
//
// A store is a folder: a header and one sealed file a record, of XChaCha20-Poly1305 under a key that HKDF
// makes from the board's device secret, so that the files of one board are noise on another. The format is
// written down in docs/keystore-format.md. Command pngw makes the device secret (package board), calls
// Create once and Open at every start; package agent uses the Store.
//
// What it promises: after Put has returned, the value survives a power cut. At any moment a record is the old
// value or the new one, whole. A record that was changed, truncated, renamed or made elsewhere does not open,
// is reported by name, and stays as it is until it is deleted.
//
// What it does not: whoever can write to the folder can put back an older copy of a record or of the whole
// folder, and whoever runs code as the daemon's user reads what the daemon reads. File names show the record
// names. Flash and journals keep old blocks; only the sealing protects what is in them.
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
	MaxValue = 64 << 10 // of a record's value
	Overhead = 44       // what a record's file is longer than its value
)

const (
	headerFile = "header"
	recordExt  = ".rec"
	tempExt    = ".tmp" // of a file that is being written or removed; worthless after a power cut
)

// A Store is an open store. Its methods may be called concurrently.
type Store struct {
	folder *folder     // locked until closed
	disk   disk        // the folder, but for tests
	aead   cipher.AEAD // seals records

	mu     sync.RWMutex // held for writing while the folder changes
	closed bool
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
	// Records without a header count as a store too: a new header would make them unreadable for ever.
	if i := slices.IndexFunc(files, isStoreFile); i >= 0 {
		return fmt.Errorf("creating key store: %s: %w (it has a file %s)", dir, fs.ErrExist, files[i])
	}
	d := on(f)
	if err := replace(d, headerFile, newHeader(secret)); err != nil {
		return &WriteError{Dir: dir, Err: err}
	}
	if err := d.syncAbove(); err != nil {
		return &WriteError{Dir: dir, Err: err}
	}
	return nil
}

// Open opens the store in dir and locks it until Close.
//
// It fails with fs.ErrNotExist where there is no store, ErrLocked while another process has it open, a
// *ModeError where group or others have access, ErrWrongSecret under a secret that it was not made with, and
// ErrDamaged where the header is spoilt. Records are not looked at; what was left unfinished is finished.
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
	if !slices.ContainsFunc(files, isStoreFile) {
		return nil, fmt.Errorf("no key store in %s: %w: run pngw init once to make it", dir, fs.ErrNotExist)
	}
	aead, err := openHeader(f, secret)
	if err != nil {
		return nil, fmt.Errorf("opening key store %s: %w", dir, err)
	}
	d := on(f)
	clearTemps(d, files)
	return &Store{folder: f, disk: d, aead: aead}, nil
}

// Put stores a value under a name of 1 to MaxName bytes of printable ASCII. It is durable once
// Put returns.
//
// A record of that name that is there but does not open stays as it is, and Put fails with its *RecordError;
// Delete it first. A failure of the file system is a *WriteError: then the old value is there (or none, if
// there was none); only where the failure came after the exchange of the files, in the sync of the folder, it
// may be the new one. Either way Put may be called again.
func (s *Store) Put(name string, value []byte) error {
	file, err := fileName(name)
	if err != nil {
		return err
	}
	if len(value) > MaxValue {
		return fmt.Errorf("storing record %q: value of %d bytes, at most %d fit", name, len(value), MaxValue)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	// Opening what is there costs one read from the page cache, nothing beside the two syncs.
	if _, err := s.read(name, file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("not overwritten: %w", err)
	}
	if err := replace(s.disk, file, sealRecord(s.aead, file, value)); err != nil {
		return &WriteError{Name: name, Dir: s.folder.path, Err: err}
	}
	return nil
}

// Get returns the value under a name. It fails with fs.ErrNotExist where there is none, and with a
// *RecordError where there is one that does not open.
func (s *Store) Get(name string) ([]byte, error) {
	file, err := fileName(name)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	return s.read(name, file)
}

func (s *Store) read(name, file string) ([]byte, error) {
	path := filepath.Join(s.folder.path, file)
	sealed, err := s.folder.read(file, MaxValue+Overhead)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("record %q: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, &RecordError{Name: name, Path: path, Err: err}
	}
	value, err := openRecord(s.aead, file, sealed)
	if err != nil {
		return nil, &RecordError{Name: name, Path: path, Err: err}
	}
	return value, nil
}

// Delete removes a record, also one that does not open. It is gone for good once Delete returns nil, which it
// does too where there is none: one that was removed by hand, or of which an earlier Delete has left a part. It
// fails with a *WriteError and may then be called again. It needs no room on the file system.
//
// The file is overwritten before it is removed. On flash and on journaling file systems that promises
// nothing: the new bytes go elsewhere and the old ones stay until they are erased some day. What they
// are worth without the device secret is what the sealing is for.
func (s *Store) Delete(name string) error {
	file, err := fileName(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if err := discard(s.disk, file); err != nil {
		return &WriteError{Name: name, Dir: s.folder.path, Err: err}
	}
	return nil
}

// List returns the names of all records, sorted, whether they open or not.
func (s *Store) List() ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	files, err := s.folder.list()
	if err != nil {
		return nil, fmt.Errorf("listing key store: %w", err)
	}
	var names []string
	for _, file := range files {
		if name, ok := recordName(file); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Close gives the store free for another process.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.closed = true
	return s.folder.close()
}

// isStoreFile tells whether a file is a finished part of a store.
func isStoreFile(file string) bool {
	return file == headerFile || strings.HasSuffix(file, recordExt)
}
