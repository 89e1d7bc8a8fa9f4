//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"cpns.example.net/pngw/scripts/gbalab/lab"
	"cpns.example.net/pngw/scripts/nullmodem"
)

// line is a modem on a pseudo-terminal, and who decides which SIM is in it.
type line struct {
	pty    *nullmodem.PTY
	path   string // the link to it
	card   string // file
	sims   []*lab.Subscriber
	quirks lab.Quirks
	modem  *lab.Modem
}

func newLine(o options, sims []*lab.Subscriber) (*line, error) {
	pty, err := nullmodem.OpenPTY()
	if err != nil {
		return nil, fmt.Errorf("opening a pseudo-terminal: %w", err)
	}
	if _, err := os.Readlink(o.modem); err == nil {
		os.Remove(o.modem) // from a run that was killed
	}
	if err := os.Symlink(pty.Device(), o.modem); err != nil {
		return nil, errors.Join(err, pty.Close())
	}
	return &line{pty, o.modem, o.card, sims, o.quirks, &lab.Modem{SIM: sims[0], Quirks: o.quirks}}, nil
}

// serve answers until ctx ends.
func (l *line) serve(ctx context.Context) error {
	defer os.Remove(l.path)
	stop := context.AfterFunc(ctx, func() { l.pty.Close() })
	defer stop()
	err := l.modem.Serve(l)
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(fmt.Errorf("the modem's line: %w", err), l.pty.Close())
}

// Read reads what the line says. As a modem notices that its card is another, so does
// this one before it takes what is said.
func (l *line) Read(p []byte) (int, error) {
	n, err := l.pty.Master.Read(p)
	if n > 0 {
		l.look()
		// A line of its own on each opening: see nullmodem.Cable.Vacate.
		if err := l.pty.Vacate(); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (l *line) Write(p []byte) (int, error) { return l.pty.Master.Write(p) }

// look finds out which card is in the modem.
func (l *line) look() {
	if l.card == "" {
		return
	}
	text, err := os.ReadFile(l.card)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "gbalab:", err)
		return
	}
	imsi, state, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	var sim *lab.Subscriber
	for _, s := range l.sims {
		if s.IMSI == imsi {
			sim = s
		}
	}
	if sim == nil && imsi != "" {
		fmt.Fprintf(os.Stderr, "gbalab: %s: there is no subscriber with IMSI %q\n", l.card, imsi)
	}
	quirks := l.quirks
	quirks.CPIN = strings.TrimSpace(state)
	l.modem.Change(sim, quirks)
}
