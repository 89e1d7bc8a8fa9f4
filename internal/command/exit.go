package command

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"cpns.example.net/pngw/internal/display"
)

// Exit codes that all programs have.
const (
	Failed = 1 // what the others are not
	Usage  = 2 // the command line or the configuration is wrong
)

// Exit is an error with an exit code of its own. One without Err has said all
// there is to say.
type Exit struct {
	Code int
	Err  error
}

func (e *Exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives Err.
func (e *Exit) Unwrap() error { return e.Err }

// usageError is a command line that makes no sense.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

// Misused is the error of a command line that makes no sense. Whoever gets it
// is told where the help is.
func Misused(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// Refused is the error of what was made of options: Misused, but where a file that they
// name cannot be read; that is nothing that was typed wrongly.
func Refused(err error) error {
	if e := (*fs.PathError)(nil); err == nil || errors.As(err, &e) {
		return err
	}
	return Misused("%v", err)
}

// CodeOf is the exit code of an error.
func CodeOf(err error) int {
	var exit *Exit
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return Usage
	case errors.As(err, &exit):
		return exit.Code
	}
	return Failed
}

// report says what err is, if there is anything to say, and gives the exit code.
func (c *Console) report(err error) int {
	if err == nil {
		return 0
	}
	code := CodeOf(err)
	text := err.Error()
	var exit *Exit
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		text += "; see " + c.full() + " --help"
	case errors.As(err, &exit) && exit.Err == nil:
		return code
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(c.Stderr, "%s: %s\n", c.Program.Name, display.Plain(line))
	}
	return code
}
