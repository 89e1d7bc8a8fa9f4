package serial

import (
	"errors"
	"os"
	"time"
)

// A Port is a line on which something else than CPNS-1 is spoken, such as a modem's
// commands. It is for one program, as a Link's line is.
type Port struct{ file *os.File }

// Open opens device raw, at baud, 8N1, with nothing in it that arrived before. An error
// says what to do, and calls what the device is configured as by that name.
func Open(device string, baud int, what string) (*Port, error) {
	f, err := openPort(device, baud)
	if err != nil {
		return nil, errors.New(explain(device, what, err))
	}
	return &Port{f}, nil
}

func (p *Port) Read(b []byte) (int, error)  { return p.file.Read(b) }
func (p *Port) Write(b []byte) (int, error) { return p.file.Write(b) }

// SetDeadline bounds reading and writing.
func (p *Port) SetDeadline(t time.Time) error { return p.file.SetDeadline(t) }

// Close lets other programs have the line again.
func (p *Port) Close() error {
	unlock(p.file)
	return p.file.Close()
}
