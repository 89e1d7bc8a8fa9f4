package serial

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/internal/permission"
)

// explain says in a line for people why device is not there, and what to do. They have
// given it by option.
func explain(device, option string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Sprintf("no such device %s: plug it in, or correct %s: ls /dev/serial/by-id shows what is plugged in", device, option)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("no permission for %s: %s", device, permission.Device(device))
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EBUSY):
		return fmt.Sprintf("%s is in use by another program: stop that, or give it another line", device)
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return fmt.Sprintf("%s is not a serial line: correct %s", device, option)
	case errors.Is(err, io.EOF), errors.Is(err, unix.EIO):
		return fmt.Sprintf("%s went away: waiting for it to come back", device)
	}
	return fmt.Sprintf("%s: %v", device, err)
}
