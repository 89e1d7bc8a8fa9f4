package board

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"cpns.example.net/pngw/internal/durable"
)

// RootKeySize is the size of the root key's file in bytes.
const RootKeySize = 32

// BindingExt is what the binding's file is called after the root key's path: see DeviceSecret.
const BindingExt = ".board"

// tempExt is what either file is called while it is written.
const tempExt = ".tmp"

// CreateRootKey makes the root key, 32 random bytes in a file of mode 0400, a device secret, and beside the
// root key the binding that ties the two to this board. An existing root key is never touched: then it fails
// with fs.ErrExist. The folder has to be there. All is durable once it returns.
func (b *Board) CreateRootKey(path string) error {
	err := b.createRootKey(osDisk{}, path)
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("making root key: %w: make room on the file system of %s and try again", err, filepath.Dir(path))
	case err != nil:
		return fmt.Errorf("making root key: %w", err)
	}
	return nil
}

func (b *Board) createRootKey(d disk, path string) error {
	// Two at once would leave the key of one with the binding of the other.
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s: %w", path, fs.ErrExist)
		}
		return err
	}
	id, err := b.Identity()
	if err != nil {
		return err
	}
	key := make([]byte, RootKeySize)
	rand.Read(key)
	text, err := newBinding(key, id)
	if err != nil {
		return err
	}
	// The root key comes last: once it is there all is, and without it a left-over binding is worthless.
	if err := d.remove(path + BindingExt); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := createFile(d, path+BindingExt, text); err != nil {
		return err
	}
	return createFile(d, path, key)
}

// DeviceSecret returns the secret that CreateRootKey made, for the key store.
//
// It is random, and lies in the binding sealed once for every stable id that the board had at init, under a
// key from the root key and that id. One id that is still there opens it: an upgrade that hides an id or
// shows a new one changes nothing as long as one of the old ones is left, and a board with none of them gets
// a *WrongBoardError. Made on a board without ids, it opens on every board.
//
// A root key that is not there is fs.ErrNotExist; one that others may read, or of a wrong size, is refused.
func (b *Board) DeviceSecret(rootKeyPath string) ([32]byte, error) {
	secret, err := b.deviceSecret(rootKeyPath)
	if err != nil {
		return [32]byte{}, fmt.Errorf("reading device secret: %w", err)
	}
	return secret, nil
}

func (b *Board) deviceSecret(path string) ([32]byte, error) {
	tidy(osDisk{}, path)
	key, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return [32]byte{}, fmt.Errorf("no root key: %w: run pngw init once to make it", err)
	}
	if err != nil {
		return [32]byte{}, err
	}
	if len(key) != RootKeySize || bytes.Equal(key, make([]byte, RootKeySize)) {
		return [32]byte{}, fmt.Errorf("%s is not a root key (%d bytes, want %d random ones): put it back from a copy made on this board", path, len(key), RootKeySize)
	}
	text, err := readPrivate(path + BindingExt)
	if errors.Is(err, fs.ErrNotExist) {
		// Not fs.ErrNotExist: nobody shall take this for a board that needs init.
		return [32]byte{}, fmt.Errorf("%s is missing: the root key alone opens nothing, put both back from a copy made on this board", path+BindingExt)
	}
	if err != nil {
		return [32]byte{}, err
	}
	bound, err := parseBinding(text)
	if err != nil {
		return [32]byte{}, fmt.Errorf("%s: %w", path+BindingExt, err)
	}
	id, unreadable, err := b.identity()
	if err != nil {
		return [32]byte{}, err
	}
	secret, ok := bound.open(key, id)
	if !ok && len(id.IDs) > 0 && bound.Fingerprint == id.Fingerprint() {
		return [32]byte{}, fmt.Errorf("%s and %s do not belong together: put both back from one copy made on this board", path, path+BindingExt)
	}
	if !ok {
		return [32]byte{}, &WrongBoardError{
			MadeOn: describe(bound.Model, bound.Fingerprint), This: id.String(),
			Sources: bound.sources(), Here: id.sources(), Unreadable: unreadable,
		}
	}
	return secret, nil
}

// tidy removes what a power cut left of the making of the root key: a copy of it under another name, or of one
// that never came to be. Nothing is made anew without it, so where it cannot be removed it stays until it can.
func tidy(d disk, path string) {
	left := false
	for _, file := range []string{path, path + BindingExt} {
		_, err := os.Lstat(file + tempExt)
		left = left || err == nil
	}
	if !left {
		return
	}
	unlock, err := lockDir(filepath.Dir(path)) // or it may be in the making right now
	if err != nil {
		return
	}
	defer unlock()
	for _, file := range []string{path, path + BindingExt} {
		_ = d.remove(file + tempExt)
	}
	_ = d.syncDir(filepath.Dir(path))
}

// readPrivate reads a small file that group and others have no access to.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, open to group or others: run chmod 400 %s", path, info.Mode().Perm(), path)
	}
	return readStart(path, maxBinding)
}

// A disk is every system call by which the root key and its binding come to be. Tests let each fail.
type disk interface {
	writeSynced(path string, data []byte) error // a new file, 0400
	link(from, to string) error                 // fs.ErrExist where to is there
	remove(path string) error
	syncDir(path string) error
}

// createFile makes a new file so that after a power cut it is there, whole, or not at all.
func createFile(d disk, path string, data []byte) error {
	temp := path + tempExt
	if err := d.remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := d.writeSynced(temp, data)
	if err == nil {
		err = d.link(temp, path) // unlike a rename it never takes the place of a file that is there
	}
	if removeErr := d.remove(temp); err == nil {
		err = removeErr
	}
	if err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// osDisk is the real file system.
type osDisk struct{}

func (osDisk) writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (osDisk) link(from, to string) error { return os.Link(from, to) }

func (osDisk) remove(path string) error { return os.Remove(path) }

func (osDisk) syncDir(path string) error { return durable.SyncDir(path) }

// lockDir waits for the lock of a folder.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f.Close, nil
}
