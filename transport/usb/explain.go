package usb

import (
	"errors"
	"fmt"
	"io/fs"

	"cpns.example.net/pngw/internal/permission"
)

// What is wrong with a device, or with the search for one.
var (
	errNoBus    = errors.New("there is no USB bus here")
	errNotFound = errors.New("no such USB device")
	errNoBulk   = errors.New("no bulk IN and bulk OUT endpoint")
	errBusy     = errors.New("in use")
	errGone     = errors.New("went away")
	errStalled  = errors.New("endpoint stalled")
)

// A deviceError is what is wrong with a device that was found.
type deviceError struct {
	device string // what it is and where, for people
	node   string // its file
	err    error
}

func (e *deviceError) Error() string { return e.device + ": " + e.err.Error() }
func (e *deviceError) Unwrap() error { return e.err }

// explain says in a line for people why there is no device, and what to do.
func explain(want *match, err error) string {
	name, node := "the USB device", "/dev/bus/usb"
	if d := (*deviceError)(nil); errors.As(err, &d) {
		name, node = "USB device "+d.device, d.node
	}
	switch {
	case errors.Is(err, errNoBus):
		return fmt.Sprintf("%v: load the kernel's USB drivers, and see that /dev/bus/usb is there", err)
	case errors.Is(err, errNotFound):
		return fmt.Sprintf("no USB device with %v: plug it in, or correct the link's options", want)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("no permission for %s, %s: %s", node, name, permission.Device(node))
	case errors.Is(err, errNoBulk):
		return fmt.Sprintf("%s has no bulk IN and bulk OUT endpoint in %v: it cannot carry messages, correct the link's options", name, want)
	case errors.Is(err, errBusy):
		return fmt.Sprintf("%s is in use by another link or program: stop that, or tell devices apart by serial number or port", name)
	case errors.Is(err, errGone):
		return fmt.Sprintf("%s went away: waiting for it to come back", name)
	case errors.Is(err, errStalled):
		return fmt.Sprintf("%s keeps refusing to talk (it stalls): unplug it and plug it in again", name)
	}
	return fmt.Sprintf("%v: trying again", err)
}
