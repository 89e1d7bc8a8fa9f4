package transport

import "errors"

// An OptionError says which option of a configuration makes no sense, and why. New
// of every carrier returns one, so that whoever has read the configuration from a
// file can name the line. Option is the name that such files have for it.
type OptionError struct {
	Option string
	Err    error
}

func (e *OptionError) Error() string { return e.Option + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// flagNames are the options that programs have as flags under another name.
var flagNames = map[string]string{
	"url": "mqtt", "device": "serial", "id": "usb", "serial": "usb-serial",
	"client_id": "client-id", "password_file": "password-file",
}

// AsFlag words what New of a link refused for a program that has the options as flags,
// and no links with names: "--baud: 7 is not one of …". Other errors stay as they are.
func AsFlag(err error) error {
	e, ok := errors.AsType[*OptionError](err)
	if !ok {
		return err
	}
	name := e.Option
	if flag, ok := flagNames[name]; ok {
		name = flag
	}
	return &OptionError{"--" + name, e.Err}
}
