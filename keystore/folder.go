package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// A folder is a store's folder, locked: the real disk. It is held by its descriptor and not by its path.
// Whoever moves a store away under a running daemon moves that daemon's work along, and a store made in the old
// place gets none of it.
type folder struct {
	path string // as it was opened, for messages
	root *os.Root
	self *os.File // the same inode: has the lock, and is synced
}

var _ disk = (*folder)(nil)

// lockFolder opens a folder and takes the lock of the store: on the folder itself, so that it costs no file and
// no write and works on a read-only file system. The kernel gives it back when the process ends, however it
// ends.
func lockFolder(path string) (_ *folder, err error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			root.Close()
		}
	}()
	self, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(self.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		self.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return &folder{path: path, root: root, self: self}, nil
}

// close gives the folder free.
func (f *folder) close() error { return errors.Join(f.root.Close(), f.self.Close()) }

func (f *folder) create(name string) (file, error) {
	out, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return osFile{f: out}, err
}

func (f *folder) open(name string) (file, error) {
	// Neither through a link nor, on a pipe, for ever. Nobody but us and root can put one in its place now.
	info, err := f.lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrDamaged)
	}
	in, err := f.root.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
	readOnly := errors.Is(err, syscall.EROFS)
	if readOnly {
		in, err = f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	return osFile{in, readOnly}, err
}

func (f *folder) rename(from, to string) error { return f.root.Rename(from, to) }

func (f *folder) remove(name string) error { return f.root.Remove(name) }

func (f *folder) sync() error { return f.self.Sync() }

func (f *folder) syncAbove() error {
	above, err := os.Open(filepath.Dir(filepath.Clean(f.path)))
	if err != nil {
		return err
	}
	defer above.Close()
	return above.Sync()
}

func (f *folder) lstat(name string) (fs.FileInfo, error) { return f.root.Lstat(name) }

// list returns the names of all files, sorted.
func (f *folder) list() ([]string, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// check refuses a folder that group or others have access to, itself or a file of the store in it, and
// returns all its file names.
func (f *folder) check() ([]string, error) {
	info, err := f.self.Stat()
	if err != nil {
		return nil, err
	}
	if err := f.checkMode(f.path, info); err != nil {
		return nil, err
	}
	files, err := f.list()
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if !isStoreFile(name) {
			continue
		}
		info, err := f.lstat(name)
		if err != nil {
			return nil, err
		}
		if err := f.checkMode(filepath.Join(f.path, name), info); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (f *folder) checkMode(path string, info fs.FileInfo) error {
	// A symbolic link has no mode of its own; open refuses it.
	if info.Mode().Perm()&0o077 != 0 && info.Mode()&fs.ModeSymlink == 0 {
		return &ModeError{Path: path, Mode: info.Mode(), dir: f.path}
	}
	return nil
}

func (f *folder) room() (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.self.Fd()), &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}
