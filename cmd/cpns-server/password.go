package main

import (
	"context"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/password"
)

// readPasswordHash gets a new password of a user, and returns only its hashes.
func readPasswordHash(ctx context.Context, c *command.Console, u cpns.UserID) (*server.PasswordHashes, error) {
	question := &password.Question{
		Whose: string(u), File: c.Value("password-file"), Twice: true,
		Program: c.Program.Name, Stdin: c.Stdin, Stderr: c.Stderr,
	}
	text, err := question.Ask(ctx)
	if err != nil {
		return nil, password.Explain(err, "nothing was changed")
	}
	defer clear(text)
	return server.HashPassword(u, text), nil
}
