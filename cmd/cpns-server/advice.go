package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// advise adds what to do about an error that the file system gave on work in a data
// folder.
func advise(err error, folder string) error {
	if advised, isDisk := adviseDisk(err, folder); isDisk {
		return advised
	}
	if errors.Is(err, fs.ErrPermission) {
		return advisePermission(err, folder)
	}
	return err
}

// adviseDisk adds what to do about a disk that takes nothing more, where that is it.
func adviseDisk(err error, folder string) (_ error, isDisk bool) {
	advice := ""
	switch {
	case errors.Is(err, syscall.ENOSPC):
		advice = "make room on the file system of %s (df and df -i show what it has), then give the command again"
	case errors.Is(err, syscall.EDQUOT):
		advice = "its owner needs more quota on the file system of %s, or less on it; then give the command again"
	case errors.Is(err, syscall.EROFS):
		advice = "mount the file system of %s for writing; if nobody mounted it read-only, its disk has failed: dmesg says how"
	case errors.Is(err, syscall.EIO):
		advice = "the disk under %s fails: dmesg says how; copy what can still be read"
	default:
		return err, false
	}
	return fmt.Errorf("%w: "+advice, err, folder), true
}

// advisePermission says which file it is that keeps the folder's owner out, or who
// the owner is.
func advisePermission(err error, folder string) error {
	owns, statErr := ownerOf(folder)
	if statErr != nil {
		return fmt.Errorf("%w: run cpns-server as the user who owns %s, or as root", err, folder)
	}
	entries, _ := os.ReadDir(folder) // whoever may not read it is told of its owner
	var foreign []string
	var whose owner // of the first of them
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if has, err2 := ownerOf(path); err2 == nil && has.uid != owns.uid {
			if foreign == nil {
				whose = has
			}
			foreign = append(foreign, path)
		}
	}
	if foreign != nil {
		return fmt.Errorf("%w: %s belongs to %s, and the folder to %s: chown %[4]s %[5]s",
			err, foreign[0], whose, owns, strings.Join(foreign, " "))
	}
	if uid := os.Geteuid(); uid != owns.uid && uid != 0 {
		return fmt.Errorf("%w: run cpns-server as %s, who owns %s, or as root", err, owns, folder)
	}
	return fmt.Errorf("%w: %s has to be able to reach %s, and to read and write what is in it: ls -ld shows the mode of each folder above", err, owns, folder)
}
