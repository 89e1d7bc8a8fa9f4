package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
)

// maxPassword bounds a password, in bytes.
const maxPassword = 1024

// readUsersPassword gets the user's password: from a file if one is named, from
// standard input if something is piped into it, else from whoever sits at the
// terminal. The caller clears it.
func readUsersPassword(ctx context.Context, c *command.Console, user cpns.UserID, file string) ([]byte, error) {
	switch {
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("reading the password: %w", err)
		}
		defer f.Close()
		return readPassword(f, file)
	case !term.IsTerminal(int(c.Stdin.Fd())):
		return readPassword(c.Stdin, "standard input")
	}
	return askPassword(ctx, fmt.Sprintf("Password of %s: ", user))
}

// readPassword reads to the end. One final newline is not part of a password.
func readPassword(r io.Reader, from string) ([]byte, error) {
	buf := make([]byte, maxPassword+2) // the newline, and one to see that there is more
	n, err := io.ReadFull(r, buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	password := bytes.TrimSuffix(buf[:n], []byte("\n"))
	switch {
	case len(password) > maxPassword:
		clear(buf)
		return nil, fmt.Errorf("the password from %s is longer than %d bytes", from, maxPassword)
	case len(password) == 0:
		return nil, fmt.Errorf("the password from %s is empty", from)
	}
	return password, nil
}

// askPassword asks on the terminal without echo. When ctx ends first, the
// terminal gets its echo back before the program goes.
func askPassword(ctx context.Context, prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("no terminal to ask for the password (%w): use --password-file or pipe it in", err)
	}
	defer tty.Close()
	fd := int(tty.Fd())
	restore, err := echoOff(fd)
	if err != nil {
		return nil, fmt.Errorf("asking for the password: %w", err)
	}
	fmt.Fprint(tty, prompt)

	type line struct {
		text []byte
		err  error
	}
	typed := make(chan line, 1)
	go func() { // ends with the program where ctx ends first: a terminal's read cannot be stopped
		text, err := readLine(tty)
		typed <- line{text, err}
	}()
	var l line
	select {
	case l = <-typed:
		if l.err == io.EOF || l.err == nil && len(l.text) == 0 {
			l.err = errors.New("no password was typed")
		}
	case <-ctx.Done():
		l.err = errors.New("interrupted: nothing was asked of the server")
	}
	fmt.Fprintln(tty)
	return l.text, errors.Join(l.err, restore())
}

// readLine reads what is typed up to the end of a line, which is not part of it.
// The terminal gives whole lines.
func readLine(tty io.Reader) ([]byte, error) {
	buf := make([]byte, 0, maxPassword+1)
	for len(buf) <= maxPassword {
		n, err := tty.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if text, ended := bytes.CutSuffix(buf, []byte("\n")); ended {
			return text, nil
		}
		if err == io.EOF && len(buf) > 0 {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
	clear(buf)
	return nil, fmt.Errorf("the password is longer than %d bytes", maxPassword)
}

// echoOff switches a terminal's echo off. term.ReadPassword does so too, but
// after the prompt, when a quick typist has begun, and at a moment of its own,
// which can be after an interruption has given the echo back.
func echoOff(fd int) (restore func() error, err error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	mode.Lflag &^= unix.ECHO
	mode.Lflag |= unix.ICANON | unix.ISIG
	mode.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, mode); err != nil {
		return nil, err
	}
	return func() error { return term.Restore(fd, before) }, nil
}
