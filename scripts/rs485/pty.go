//go:build linux

package rs485

import (
	"io"
	"time"

	"cpns.example.net/pngw/scripts/nullmodem"
)

// A PTY is a station as a device file.
type PTY struct {
	tty     *nullmodem.PTY
	station *Station
}

// NewPTY puts one more station on the line, as a raw tty. Whoever opens its device is
// that station. It lies until its Close, which hangs up.
func (b *Bus) NewPTY() (*PTY, error) {
	tty, err := nullmodem.OpenPTY()
	if err != nil {
		return nil, err
	}
	p := &PTY{tty: tty, station: b.NewStation()}
	b.goes.Go(func() { io.Copy(p.station, tty.Master) }) // until either is closed
	b.goes.Go(p.hand)
	return p, nil
}

// Device is the device's path.
func (p *PTY) Device() string { return p.tty.Device() }

// Vacate ends the exclusive use of the device, as the last close does on a real one.
func (p *PTY) Vacate() error { return p.tty.Vacate() }

// Close takes the station off the line.
func (p *PTY) Close() error {
	p.station.Close()
	return p.tty.Close()
}

// hand writes what was heard to the tty. What nobody reads is lost, as on a line: a
// full tty may not stop the others.
func (p *PTY) hand() {
	buf := make([]byte, buffer)
	for {
		n, err := p.station.Read(buf)
		if err != nil {
			p.tty.Close() // the line has gone
			return
		}
		p.tty.Master.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		p.tty.Master.Write(buf[:n])
	}
}
