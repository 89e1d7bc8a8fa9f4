// Package password gets a password: from whoever sits at the terminal, from a
// file, or from standard input where that is asked for. Standard input is never
// read otherwise: it may be the list that a loop goes through.
package password

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/secretfile"
)

// Max bounds a password, in bytes.
const Max = 1024

// Usage describes the option that [Question.File] is the value of.
const Usage = "a `FILE` with the password on one line, or - for standard input; it is asked for at the terminal if not given"

// ErrInterrupted says that a signal or the context ended the waiting.
var ErrInterrupted = errors.New("interrupted")

// ErrNoTerminal says that there is nobody to ask.
var ErrNoTerminal = errors.New("there is no terminal to ask")

// Question says which password is wanted and where it comes from.
type Question struct {
	Whose string // user
	File  string // "" asks at the terminal, "-" reads standard input
	Twice bool   // it is a new one: whoever types it types it twice

	What   string // is wanted: "password" where it is empty
	Option string // that File is the value of: "--password-file" where it is empty

	Program string    // for what is said of long waits
	Stdin   *os.File  // for File "-"
	Stderr  io.Writer // for what is said of long waits
}

// Explain adds to an error of Ask what it left as it was, where a person has
// interrupted it, and tells a question that nobody could be asked from a failure.
func Explain(err error, left string) error {
	switch {
	case errors.Is(err, ErrInterrupted):
		return fmt.Errorf("%w: %s", err, left)
	case errors.Is(err, ErrNoTerminal):
		return command.Misused("%v", err)
	}
	return err
}

// patience is how long nothing is said of a wait.
const patience = time.Second

// Ask returns the password, which is at most Max bytes long, and not empty. The
// caller clears it. Signals that end a program end the waiting, with
// ErrInterrupted.
func (q *Question) Ask(ctx context.Context) ([]byte, error) {
	from := q.File
	switch {
	case q.File == "" || q.File == "-" && term.IsTerminal(int(q.Stdin.Fd())):
		return q.atTerminal(ctx)
	case q.File == "-":
		from = "standard input"
	}
	password, err := q.read(ctx, from)
	switch {
	case errors.Is(err, ErrInterrupted):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("the %s: %w", q.what(), err)
	}
	return password, nil
}

func (q *Question) what() string { return cmp.Or(q.What, "password") }

// read reads a file, a pipe or standard input, and says on whom it waits if that
// takes long.
func (q *Question) read(ctx context.Context, from string) ([]byte, error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	type result struct {
		password []byte
		err      error
	}
	done := make(chan result, 1)
	go func() { // ends with the program where nobody writes: a pipe's open and read cannot be stopped
		var r result
		if q.File == "-" {
			if r.password, r.err = secretfile.From(q.Stdin, Max); r.err != nil {
				r.err = secretfile.About(from, r.err)
			}
		} else {
			r.password, r.err = secretfile.Read(q.File, Max)
		}
		done <- r
	}()
	long := time.NewTimer(patience)
	defer long.Stop()
	for {
		select {
		case r := <-done:
			return r.password, r.err
		case <-ctx.Done():
			return nil, ErrInterrupted
		case <-long.C:
			fmt.Fprintf(q.Stderr, "%s: waiting for the %s of %s from %s, and for the end of it\n", q.Program, q.what(), q.Whose, from)
		}
	}
}

// atTerminal asks whoever sits at the terminal.
func (q *Question) atTerminal(ctx context.Context) ([]byte, error) {
	what := q.what()
	prompts := []string{fmt.Sprintf("%s%s of %s: ", strings.ToUpper(what[:1]), what[1:], q.Whose)}
	if q.Twice {
		prompts = append(prompts, "Once more: ")
	}
	t, err := openTerminal()
	if errors.Is(err, ErrNoTerminal) {
		return nil, fmt.Errorf("%w for the %s: use %s FILE, or %[3]s - for standard input", err, what, cmp.Or(q.Option, "--password-file"))
	}
	if err != nil {
		return nil, err
	}
	defer t.close()
	var typed [][]byte
	defer func() {
		for _, line := range typed[min(1, len(typed)):] {
			clear(line)
		}
	}()
	for _, prompt := range prompts {
		line, err := t.ask(ctx, prompt)
		if err != nil {
			for _, line := range typed {
				clear(line)
			}
			return nil, err
		}
		typed = append(typed, line)
	}
	if q.Twice && !bytes.Equal(typed[0], typed[1]) {
		clear(typed[0])
		return nil, errors.New("the two are not the same")
	}
	return typed[0], nil
}
