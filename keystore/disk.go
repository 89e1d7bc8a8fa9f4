package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A disk is every system call by which the store changes its folder. Tests let each of them fail, or cut the
// power after it.
type disk interface {
	create(path string) (file, error) // new, for writing, 0600; fs.ErrExist where it is there
	open(path string) (file, error)   // existing, for overwriting
	rename(from, to string) error
	remove(path string) error
	syncDir(path string) error
}

type file interface {
	Write([]byte) (int, error)
	Sync() error
	Close() error
}

// replace puts data into a file of dir so that after a power cut the file is as before or holds data, whole:
// a temporary file beside it, written and synced, renamed over it, the folder synced.
//
// The hole that remains: when the last sync fails the new file is in place but perhaps not for good, and
// Linux may say of a later sync that all went well. Who gets the error has to call again in any case.
func replace(d disk, dir, name string, data []byte) (err error) {
	path := filepath.Join(dir, name)
	temp := path + tempExt
	// A left-over may be a second link to the record itself (jffs2 renames in two steps): unlink it, never
	// truncate it.
	if err := d.remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := d.create(temp)
	if err != nil {
		return err
	}
	if err := writeSynced(f, data); err != nil {
		d.remove(temp) // gives the space back; if this fails too, Open does it
		return err
	}
	if err := d.rename(temp, path); err != nil {
		d.remove(temp)
		return err
	}
	return d.syncDir(dir)
}

// discard removes a file of dir so that after a power cut it is as before or gone. It is renamed first: an
// overwritten file under the record's name would look like a damaged record.
func discard(d disk, dir, name string) error {
	path := filepath.Join(dir, name)
	temp := path + tempExt
	if err := d.remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.rename(path, temp); err != nil {
		return err
	}
	if err := d.syncDir(dir); err != nil {
		return err
	}
	// From here on the record is gone. Whether the overwriting succeeds changes nothing of that: on a full
	// jffs2, for one, it cannot.
	overwrite(d, temp)
	if err := d.remove(temp); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// overwrite writes zeros over a whole file, as far as the file system lets it.
func overwrite(d disk, path string) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > MaxValue+Overhead {
		return
	}
	if f, err := d.open(path); err == nil {
		writeSynced(f, make([]byte, info.Size()))
	}
}

// writeSynced writes all of data, syncs and closes.
func writeSynced(f file, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// removeTemps removes what a power cut left. It only unlinks, for the reason given in replace. A left-over
// that stays, on a read-only file system say, harms nothing: nobody reads it and replace tries again.
func removeTemps(d disk, dir string, files []string) {
	for _, name := range files {
		if final, ok := strings.CutSuffix(name, tempExt); ok && isStoreFile(final) {
			d.remove(filepath.Join(dir, name))
		}
	}
}

// osDisk is the real file system.
type osDisk struct{}

func (osDisk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (osDisk) open(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) remove(path string) error { return os.Remove(path) }

func (osDisk) syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// lockDir takes the lock of a store: on the folder itself, so that it costs no file and no write and works on
// a read-only file system. The kernel gives it back when the process ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, ErrLocked)
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// checkDir refuses a folder that group or others have access to, itself or a file of the store in it, and
// returns all its file names.
func checkDir(dir string) ([]string, error) {
	if err := checkMode(dir, dir, os.Stat); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		files = append(files, e.Name())
		if !isStoreFile(e.Name()) {
			continue
		}
		if err := checkMode(dir, filepath.Join(dir, e.Name()), os.Lstat); err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return files, nil
}

func checkMode(dir, path string, stat func(string) (fs.FileInfo, error)) error {
	info, err := stat(path)
	if err != nil {
		return err
	}
	// A symbolic link has no mode of its own; readFile refuses it as a record.
	if info.Mode().Perm()&0o077 != 0 && info.Mode()&fs.ModeSymlink == 0 {
		return &ModeError{Path: path, Mode: info.Mode(), dir: dir}
	}
	return nil
}

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	// Neither through a link nor, on a pipe, for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrDamaged)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrDamaged, limit)
	}
	return data, nil
}
