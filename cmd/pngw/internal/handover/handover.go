// Package handover lets root give a folder's files to the user that a service
// runs as, although that user may write to the folder and is not trusted by root.
//
// Command pngw init calls it on OpenWrt: a person copies PSK1 and certificates
// into /etc/pngw as root, and the agent, which is not root, has to read them.
//
// Whoever may write to a folder can exchange what is in it between a look and an
// act. So nothing here goes by a path twice: what is opened, without following
// links, is looked at and changed by its descriptor.
package handover

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDepth is how many folders deep a tree may be.
const maxDepth = 8

// Give makes dir if it is not there, and gives it and all folders and regular
// files in it to a user and its group, for their owner's eyes only. What has them
// already is not written to. The folder above dir has to be root's alone.
//
// left tells what was left as it is, and why: a file with a second name could be
// anybody's. Links are left without a word.
func Give(dir string, u User) (left []string, err error) {
	g := giver{user: u}
	parent, err := unix.Open(filepath.Dir(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", filepath.Dir(dir), err)
	}
	defer unix.Close(parent)
	var st unix.Stat_t
	if err := unix.Fstat(parent, &st); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", filepath.Dir(dir), err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return nil, fmt.Errorf("%s is not for root alone to write to: nothing in it is safe to give away", filepath.Dir(dir))
	}
	name := filepath.Base(dir)
	if err := unix.Mkdirat(parent, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("making %s: %w", dir, err)
	}
	err = g.folder(parent, name, dir, 0)
	return g.left, err
}

type giver struct {
	user User
	left []string
}

// folder gives a folder and what is in it. path is for messages only.
func (g *giver) folder(parent int, name, path string, depth int) error {
	if depth > maxDepth {
		g.leave(path, "folders in folders, too deep")
		return nil
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		if depth == 0 {
			return fmt.Errorf("%s is not a folder", path)
		}
		return nil // exchanged since
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if err := g.settle(fd, path, &st); err != nil {
		return err
	}
	for {
		names, err := f.Readdirnames(256)
		for _, name := range names {
			if err := g.entry(fd, name, filepath.Join(path, name), depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
}

// entry gives one thing in a folder, whatever it is. That it is gone, or another,
// by the time that it is opened is no error.
func (g *giver) entry(parent int, name, path string, depth int) error {
	var st unix.Stat_t
	err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("looking at %s: %w", path, err)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return g.folder(parent, name, path, depth+1)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		if st.Mode&unix.S_IFMT != unix.S_IFLNK && st.Uid != g.user.UID {
			g.leave(path, "neither a file nor a folder")
		}
		return nil
	case g.settled(&st):
		return nil
	}
	// Not blocking, for it may have become a FIFO.
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil
	case st.Nlink != 1:
		g.leave(path, "it has a second name (a hard link), so it may be another's: copy it")
		return nil
	case st.Uid != g.user.UID && !linksGuarded():
		// A file that has one name now may have had another, which it was taken from.
		g.leave(path, "with fs.protected_hardlinks at 0 it may be another's: set that to 1, or chown it yourself")
		return nil
	}
	return g.settle(fd, path, &st)
}

func (g *giver) settled(st *unix.Stat_t) bool {
	return st.Uid == g.user.UID && st.Gid == g.user.GID && st.Mode&0o077 == 0
}

// settle changes what is not right yet: each change is written to flash.
func (g *giver) settle(fd int, path string, st *unix.Stat_t) error {
	if st.Mode&0o077 != 0 {
		if err := unix.Fchmod(fd, st.Mode&0o700); err != nil {
			return fmt.Errorf("closing %s to others: %w", path, err)
		}
	}
	if st.Uid != g.user.UID || st.Gid != g.user.GID {
		if err := unix.Fchown(fd, int(g.user.UID), int(g.user.GID)); err != nil {
			return fmt.Errorf("giving %s to %s: %w", path, g.user.Name, err)
		}
	}
	return nil
}

func (g *giver) leave(path, reason string) {
	if len(g.left) < 16 {
		g.left = append(g.left, path+" is left as it is: "+reason)
	}
}

// linksGuarded is whether the kernel lets a user make hard links only to files
// that are its own, or that it may read and write. OpenWrt sets it.
func linksGuarded() bool {
	text, err := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}
