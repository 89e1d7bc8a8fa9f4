package keystore

import (
	"io"
	"io/fs"
	"os"
	"syscall"
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
	readAt(b []byte, at int64) (n int, err error) // fewer bytes with io.EOF alone, at the end
	writeAt(b []byte, at int64) error
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

// osFile is a file. It does not take os.File's own ReadAt and WriteAt, which bring
// kilobytes along into a program that has no use for them otherwise.
type osFile struct {
	f        *os.File
	readOnly bool // the file system is
}

func (f osFile) Sync() error                { return f.f.Sync() }
func (f osFile) Stat() (fs.FileInfo, error) { return f.f.Stat() }
func (f osFile) Close() error               { return f.f.Close() }

func (f osFile) Truncate(size int64) error {
	if f.readOnly {
		return syscall.EROFS
	}
	return f.f.Truncate(size)
}

func (f osFile) readAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		k, err := syscall.Pread(int(f.f.Fd()), b[n:], at+int64(n))
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return n, os.NewSyscallError("read", err)
		}
		if k == 0 {
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}

func (f osFile) writeAt(b []byte, at int64) error {
	if f.readOnly {
		return syscall.EROFS
	}
	for len(b) > 0 {
		k, err := syscall.Pwrite(int(f.f.Fd()), b, at)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		b, at = b[k:], at+int64(k)
	}
	return nil
}
