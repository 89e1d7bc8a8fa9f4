package serial

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// explain says in a line for people why device is not there, and what to do.
func explain(device string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Sprintf("no such device %s: plug it in, or correct the link's device", device)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("no permission for %s: %s", device, permissionAdvice(device))
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EBUSY):
		return fmt.Sprintf("%s is in use by another program: stop that, or give it another line", device)
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return fmt.Sprintf("%s is not a serial line: correct the link's device", device)
	case errors.Is(err, io.EOF), errors.Is(err, unix.EIO):
		return fmt.Sprintf("%s went away: waiting for it to come back", device)
	}
	return fmt.Sprintf("%s: %v", device, err)
}

// permissionAdvice names the group that may use device.
func permissionAdvice(device string) string {
	info, err := os.Stat(device)
	if err != nil {
		return "its folder is closed to this program"
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode().Perm()&0o060 != 0o060 {
		return fmt.Sprintf("its mode is %v", info.Mode().Perm())
	}
	gid := strconv.FormatUint(uint64(stat.Gid), 10)
	name := gid
	if g, err := user.LookupGroupId(gid); err == nil {
		name = g.Name
	}
	return fmt.Sprintf("run this program in group %s (gid %s)", name, gid)
}
