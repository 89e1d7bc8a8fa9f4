package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

var (
	// ErrLocked means that another process has the store open.
	ErrLocked = errors.New("in use by another process: stop the pngw that runs, or give your command to it instead")

	// ErrWrongSecret means that the store is whole but was made under another device secret.
	ErrWrongSecret = errors.New("made under another device secret: it belongs to another board, or its root key was replaced")

	// ErrDamaged means that a file of the store is not as it was written.
	ErrDamaged = errors.New("damaged")

	errClosed = fmt.Errorf("key store: %w", fs.ErrClosed)
)

// A RecordError reports a record that is there and does not open. Nothing but Delete changes it.
type RecordError struct {
	Name string
	Path string
	Err  error // ErrDamaged and why, or what the file system said
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("record %q in %s does not open: %v", e.Name, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// A ModeError reports a file or folder that group or others have access to.
type ModeError struct {
	Path string
	Mode fs.FileMode
	dir  string
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("%s has mode %04o, open to group or others: run chmod -R go= %s", e.Path, e.Mode.Perm(), e.dir)
}

// A WriteError reports that the file system refused a change.
type WriteError struct {
	Name string // of the record; empty for the store's own files
	Dir  string // the store's folder
	Err  error  // such that errors.Is(err, syscall.ENOSPC) holds
}

func (e *WriteError) Error() string {
	what := "key store"
	if e.Name != "" {
		what = fmt.Sprintf("record %q", e.Name)
	}
	text := fmt.Sprintf("writing %s: %v", what, e.Err)
	if advice := e.Advice(); advice != "" {
		text += ": " + advice
	}
	return text
}

// Unwrap returns the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// Advice says in a sentence what a person can do, or is empty.
func (e *WriteError) Advice() string {
	switch {
	case errors.Is(e.Err, syscall.ENOSPC), errors.Is(e.Err, syscall.EDQUOT):
		return "make room on the file system of " + e.Dir + " and try again; no record is lost"
	case errors.Is(e.Err, syscall.EROFS):
		return "the file system of " + e.Dir + " is read-only, which the kernel also does after a fault: see dmesg, then remount it read-write"
	case errors.Is(e.Err, syscall.EIO):
		return "the storage under " + e.Dir + " reports a fault: save what is on it and replace it"
	case errors.Is(e.Err, fs.ErrNotExist):
		return e.Dir + " was removed while pngw had it open: put it back from a copy, or make a new one by pngw init, and start pngw again"
	case errors.Is(e.Err, fs.ErrPermission):
		return "the user that runs pngw has to own " + e.Dir
	}
	return ""
}
