package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

// A diskError says why the file system did not do what SQLite asked of it. It wraps
// the errno, by which callers tell what is to be done, and SQLite's own error.
type diskError struct {
	errno syscall.Errno
	err   error
}

func (e *diskError) Error() string {
	switch e.errno {
	case syscall.ENOSPC:
		return "the disk is full"
	case syscall.EDQUOT:
		return "the disk quota is used up"
	case syscall.EROFS:
		return "the file system is read-only"
	}
	return fmt.Sprintf("%v (%v)", e.err, e.errno)
}

func (e *diskError) Unwrap() []error { return []error{e.errno, e.err} }

// diagnose adds the errno to an error that may come from the file system. SQLite
// often drops it ("disk I/O error" for a disk without room for the log's index), so
// that what failed has to be tried again: a file as large is written beside the
// database.
func diagnose(database string, err error) error {
	if !errors.Is(err, sqlite3.IOERR) && !errors.Is(err, sqlite3.READONLY) && !errors.Is(err, sqlite3.CANTOPEN) && !errors.Is(err, sqlite3.FULL) {
		return err
	}
	if _, known := errors.AsType[*diskError](err); known {
		return err
	}
	errno, known := errors.AsType[syscall.Errno](err)
	if !known {
		errno, known = errors.AsType[syscall.Errno](probe(filepath.Dir(database)))
	}
	if !known || errors.Is(errno, fs.ErrPermission) {
		return err // which explain has put into words
	}
	return &diskError{errno, err}
}

// probeSize is as much as SQLite makes room for at once.
const probeSize = 32 << 10

// probe writes a file into the folder and removes it.
func probe(folder string) error {
	f, err := os.CreateTemp(folder, ".probe-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, probeSize))
	return errors.Join(err, f.Sync(), f.Close())
}
