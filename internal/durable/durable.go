// Package durable makes and replaces files so that after a power cut each is
// there as it was or as it became, whole. The key store and the root key have
// rules of their own, for flash memory that is worn or full (packages keystore
// and board); everything else that has to last is written here.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteNew makes a file with exactly the mode perm, and waits until it is on
// disk. It fails with fs.ErrExist where there is one, and leaves nothing half
// written.
func WriteNew(path string, data []byte, perm fs.FileMode) error {
	return writeNew(path, perm, content(data))
}

// content writes data.
func content(data []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(data); return err }
}

func writeNew(path string, perm fs.FileMode, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = errors.Join(f.Chmod(perm), f.Sync())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return SyncDir(filepath.Dir(path))
}

// Replace puts new contents in the place of a file, with the mode perm: the old
// ones or the new are there at any time, and the new ones once it has returned
// nil. An error of the last step, the folder's sync, leaves the new ones there,
// perhaps not for good.
func Replace(path string, data []byte, perm fs.FileMode) error {
	return ReplaceBy(path, perm, content(data))
}

// ReplaceBy is Replace with contents that write writes, bit by bit. An error of
// write leaves the old ones.
func ReplaceBy(path string, perm fs.FileMode, write func(io.Writer) error) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one that was interrupted
		return err
	}
	if err := writeNew(next, perm, write); err != nil {
		return about(path, err)
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return SyncDir(filepath.Dir(path))
}

// Rehearse says whether Replace could put size bytes in the place of a file now: the
// folder is there, may be written, and has room. The file is left as it is.
func Rehearse(path string, size int) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := WriteNew(next, make([]byte, size), 0o600); err != nil {
		return about(path, err)
	}
	return os.Remove(next)
}

// about has an error name the file that was asked for, and not what stands in for it.
func about(path string, err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) && e.Path == path+".new" {
		e.Path = path
	}
	return err
}

// SyncDir waits until the names in a folder are on disk.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
