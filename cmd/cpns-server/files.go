package main

import (
	"errors"
	"os"
	"path/filepath"
)

// writeNew makes a file with exactly the mode perm and waits until it is on disk.
// It fails with fs.ErrExist where there is one; it leaves nothing half-written.
func writeNew(path string, data []byte, perm os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(perm), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncDir(filepath.Dir(path))
}

// replace puts new contents in the place of a file: the old ones or the new are
// there at any time, and the new ones once it has returned nil.
func replace(path string, data []byte, perm os.FileMode) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that was interrupted
		return err
	}
	if err := writeNew(next, data, perm); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
