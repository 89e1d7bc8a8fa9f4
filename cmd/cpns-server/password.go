package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

const maxPassword = 1024 // bytes

// readPasswordHash asks for a user's password, twice and without echo on a
// terminal, and otherwise takes all of standard input; one final newline there is
// not part of it. Only its hashes are returned.
func readPasswordHash(ctx context.Context, c *command.Console, u cpns.UserID) (*server.PasswordHashes, error) {
	read := readPiped
	if term.IsTerminal(int(c.Stdin.Fd())) {
		read = promptTwice
	}
	password, err := read(ctx, c, u)
	if err != nil {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	defer clear(password)
	if len(password) == 0 {
		return nil, errors.New("the password is empty")
	}
	if len(password) > maxPassword {
		return nil, fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	return server.HashPassword(u, password), nil
}

func readPiped(_ context.Context, c *command.Console, _ cpns.UserID) ([]byte, error) {
	password, err := io.ReadAll(io.LimitReader(c.Stdin, maxPassword+2))
	return bytes.TrimSuffix(password, []byte("\n")), err
}

func promptTwice(ctx context.Context, c *command.Console, u cpns.UserID) ([]byte, error) {
	password, err := prompt(ctx, c, fmt.Sprintf("Password of %s: ", u))
	if err != nil {
		return nil, err
	}
	again, err := prompt(ctx, c, "Once more: ")
	if err != nil {
		return nil, err
	}
	defer clear(again)
	if !bytes.Equal(password, again) {
		return nil, errors.New("the two are not the same")
	}
	return password, nil
}

// prompt reads a line without echo. An interrupt switches echo on again.
func prompt(ctx context.Context, c *command.Console, text string) ([]byte, error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	fd := int(c.Stdin.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	type result struct {
		password []byte
		err      error
	}
	done := make(chan result, 1)
	fmt.Fprint(c.Stderr, text)
	go func() { // ends with the process where nobody types
		password, err := term.ReadPassword(fd)
		done <- result{password, err}
	}()
	select {
	case r := <-done:
		fmt.Fprintln(c.Stderr)
		return r.password, r.err
	case <-ctx.Done():
		fmt.Fprintln(c.Stderr)
		return nil, errors.Join(context.Cause(ctx), term.Restore(fd, state))
	}
}
