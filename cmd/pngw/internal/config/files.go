package config

import (
	"errors"
	"io/fs"
	"os"

	"cpns.example.net/pngw/board/uci"
)

// CheckFiles reports the certificates and passwords that the configuration
// names and that cannot be read. PSK1 is left to whoever opens it, who can say
// more. The device of a serial line is not among them, because it may be plugged
// in later; nor are store, root key and socket, which are the program's own.
func (c *Config) CheckFiles() error {
	faults := []error{readable(c.Gateway.section, "ca", c.Gateway.CA)}
	for _, l := range c.Links {
		if !l.Enabled {
			continue
		}
		faults = append(faults,
			readable(l.section, "password_file", l.PasswordFile),
			readable(l.section, "ca", l.CA),
			readable(l.section, "cert", l.Cert),
			readable(l.section, "key", l.Key))
	}
	return errors.Join(faults...)
}

func readable(s uci.Section, option, path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err == nil {
		return f.Close()
	}
	if e := new(fs.PathError); errors.As(err, &e) {
		err = e.Err
	}
	return faultf(s, option, "%s: %v", path, err)
}
