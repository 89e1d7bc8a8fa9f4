package handover

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// User is an entry of /etc/passwd, with the groups that the user is a member of.
type User struct {
	Name     string
	UID, GID uint32
	Groups   []int
}

// errNoUser is that a user is not in /etc/passwd.
var errNoUser = errors.New("no such user")

// Lookup finds a user by name. The files are read here, and not by os/user, for
// which a build with cgo asks the C library: what this program does to files
// must not depend on how it was built.
func Lookup(name string) (User, error) {
	u := User{Name: name}
	err := lines("/etc/passwd", func(f []string) error {
		if len(f) < 4 || f[0] != name || u.Groups != nil {
			return nil
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			return err
		}
		gid, err := strconv.ParseUint(f[3], 10, 32)
		u.UID, u.GID, u.Groups = uint32(uid), uint32(gid), []int{int(gid)}
		return err
	})
	if err == nil && u.Groups == nil {
		err = errNoUser
	}
	if err != nil {
		return User{}, fmt.Errorf("looking for user %q: %w", name, err)
	}
	err = lines("/etc/group", func(f []string) error {
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), name) {
			return nil
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		u.Groups = append(u.Groups, int(gid))
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("looking for the groups of %q: %w", name, err)
	}
	return u, nil
}

// lines calls f with the fields of each line of a file like /etc/passwd.
func lines(file string, f func(fields []string) error) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	scan := bufio.NewScanner(in)
	for scan.Scan() {
		if err := f(strings.Split(scan.Text(), ":")); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return scan.Err()
}

// Become makes the whole process the user's, for good.
func Become(u User) error {
	if syscall.Getuid() == int(u.UID) && syscall.Geteuid() == int(u.UID) {
		return nil
	}
	if err := syscall.Setgroups(u.Groups); errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("only root can become %s: give the command as root, or without --user", u.Name)
	} else if err != nil {
		return fmt.Errorf("taking the groups of %s: %w", u.Name, err)
	}
	if err := syscall.Setgid(int(u.GID)); err != nil {
		return fmt.Errorf("taking the group of %s: %w", u.Name, err)
	}
	if err := syscall.Setuid(int(u.UID)); err != nil {
		return fmt.Errorf("becoming %s: %w", u.Name, err)
	}
	return nil
}
