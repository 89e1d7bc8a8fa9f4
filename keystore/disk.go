package keystore

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// A disk is every system call by which the store changes its folder, and lstat. Tests let each of the changes
// fail, or cut the power after it.
type disk interface {
	create(name string) (file, error) // new, for writing, 0600; fs.ErrExist where it is there
	open(name string) (file, error)   // existing, for overwriting
	rename(from, to string) error
	remove(name string) error
	sync() error      // the folder: what names there are
	syncAbove() error // the folder's own name
	lstat(name string) (fs.FileInfo, error)
}

type file interface {
	Write([]byte) (int, error)
	Sync() error
	Close() error
}

// replace puts data into a file so that after a power cut it is as before or holds data, whole: a temporary
// file beside it, written and synced, renamed over it, the folder synced.
//
// The hole that remains: when the last sync fails the new file is in place but perhaps not for good, and
// Linux may say of a later sync that all went well. Who gets the error has to call again in any case.
func replace(d disk, name string, data []byte) (err error) {
	temp := name + tempExt
	if _, err := clearTemp(d, name); err != nil {
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
	if err := d.rename(temp, name); err != nil {
		d.remove(temp)
		return err
	}
	return d.sync()
}

// discard removes a file so that after a power cut it is as before or gone. It is renamed first: an
// overwritten file under the record's name would look like a damaged record. When it fails it can be called
// again, and goes on where it was; a file that is not there, any more, is removed.
func discard(d disk, name string) error {
	if _, err := clearTemp(d, name); err != nil {
		return err
	}
	switch err := d.rename(name, name+tempExt); {
	case errors.Is(err, fs.ErrNotExist):
		return d.sync() // who removed it, by hand or before an error, may not have got that far
	case noRoom(err):
		// jffs2 writes a name before it removes the other, and on a full one there is no room for that. To
		// unlink it has room set aside. The zeros would have no room either.
		if err := d.remove(name); err != nil {
			return err
		}
		return d.sync()
	case err != nil:
		return err
	}
	if err := d.sync(); err != nil {
		return err
	}
	// From here on the record is gone, and what is left to do Open would do.
	if _, err := clearTemp(d, name); err != nil {
		return err
	}
	return d.sync()
}

func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// clearTemp removes what an unfinished replace or discard of name has left, overwritten: it may be a whole
// record. It says whether there was anything.
func clearTemp(d disk, name string) (found bool, err error) {
	temp := name + tempExt
	left, err := d.lstat(temp)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// jffs2 renames in two steps: between them this is a second link to the record itself.
	if record, err := d.lstat(name); errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(left, record) {
		overwrite(d, temp, left)
	}
	return true, d.remove(temp)
}

// overwrite writes zeros over a whole file, as far as the file system lets it: on a full jffs2, for one, it
// does not.
func overwrite(d disk, name string, info fs.FileInfo) {
	if !info.Mode().IsRegular() || info.Size() > MaxValue+Overhead {
		return
	}
	if f, err := d.open(name); err == nil {
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

// clearTemps finishes what a power cut has left unfinished. A left-over that stays, on a read-only file system
// say, harms nothing: nobody reads it, and the next start or change of its record tries again.
func clearTemps(d disk, files []string) {
	cleared := false
	for _, name := range files {
		if final, ok := strings.CutSuffix(name, tempExt); ok && isStoreFile(final) {
			found, err := clearTemp(d, final)
			cleared = cleared || found && err == nil
		}
	}
	if cleared {
		d.sync()
	}
}
