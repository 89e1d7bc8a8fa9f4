package keystore

import (
	"io"
	"io/fs"
)

// A disk is every system call by which the store changes its folder, and lstat. Tests let each of the changes
// fail, or cut the power after it.
type disk interface {
	create(name string) (file, error) // new, for reading and writing, 0600; fs.ErrExist where it is there
	open(name string) (file, error)   // existing, a regular file, for the same, or for reading where the file system is read-only
	rename(from, to string) error
	remove(name string) error
	sync() error      // the folder: what names there are
	syncAbove() error // the folder's own name
	lstat(name string) (fs.FileInfo, error)
	room() (free, total int64, err error) // bytes on the file system
}

type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}
