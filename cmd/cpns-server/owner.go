package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"cpns.example.net/pngw/internal/hardening"
)

// An owner is the user and the group that a folder belongs to. All work in a data
// folder is done with their rights: a file that root left in it could not be opened
// by the service, and a link that the service's user put there must not lead root
// astray.
type owner struct{ uid, gid int }

// ownerOf is the owner of a file or folder.
func ownerOf(path string) (owner, error) {
	info, err := os.Stat(path)
	if err != nil {
		return owner{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return owner{int(stat.Uid), int(stat.Gid)}, nil
}

// ownerAbove is the owner of the folder at path, or of the nearest one above it that
// is there.
func ownerAbove(path string) (owner, error) {
	for {
		o, err := ownerOf(path)
		if above := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && above != path {
			path = above
			continue
		}
		return o, err
	}
}

// String is the owner's name, or number where it has none.
func (o owner) String() string {
	if u, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", o.uid)
}

// may checks that this process can work as the owner: it is theirs, or root's.
func (o owner) may(what string) error {
	if uid := os.Geteuid(); uid == o.uid || uid == 0 {
		return nil
	}
	return fmt.Errorf("%s belongs to %s: run cpns-server as that user (sudo -u %[2]s) or as root", what, o)
}

// do runs f with the rights of the owner. Root gets its own back afterwards, for what
// the command does outside of the folder; the saved user ID stays root's, so that
// the owner's other processes cannot reach this one.
func (o owner) do(what string, f func() error) (err error) {
	if err := o.may(what); err != nil {
		return err
	}
	if os.Geteuid() == o.uid {
		return f()
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return err
	}
	gid := os.Getegid()
	defer func() {
		err = errors.Join(err, syscall.Setresuid(-1, 0, -1), syscall.Setresgid(-1, gid, -1), syscall.Setgroups(groups))
	}()
	if err := errors.Join(
		syscall.Setgroups([]int{o.gid}),
		syscall.Setresgid(-1, o.gid, -1),
		syscall.Setresuid(-1, o.uid, -1),
		hardening.Memory(), // another user ID may end it
	); err != nil {
		return o.cannotBe(what, err)
	}
	return f()
}

// become gives up root's rights for the owner's, for good.
func (o owner) become(what string) error {
	if err := o.may(what); err != nil {
		return err
	}
	if os.Geteuid() == o.uid {
		return nil
	}
	if err := errors.Join(
		syscall.Setgroups([]int{o.gid}),
		syscall.Setresgid(o.gid, o.gid, o.gid),
		syscall.Setresuid(o.uid, o.uid, o.uid),
		hardening.Memory(),
	); err != nil {
		return o.cannotBe(what, err)
	}
	return nil
}

func (o owner) cannotBe(what string, err error) error {
	return fmt.Errorf("%s belongs to %s, and this process may not take that user's rights (%w): run cpns-server as that user", what, o, err)
}
