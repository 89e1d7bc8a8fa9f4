//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// narrator shows the commands of the demo as a user would type them, and what
// they print.
type narrator struct {
	out    io.Writer
	bin    string
	folder string
}

func (n *narrator) say(format string, args ...any) {
	fmt.Fprintf(n.out, "\n"+format+"\n", args...)
}

// line is for a reader to type, or to read on.
func (n *narrator) line(text string) { fmt.Fprintf(n.out, "  %s\n", text) }

// note is a line of a thing that goes on behind the commands.
func (n *narrator) note(format string, args ...any) {
	fmt.Fprintf(n.out, "  # "+format+"\n", args...)
}

// command shows and runs "PROGRAM ARGS", with stdin piped into it if there is
// any, and shows what it prints.
func (n *narrator) command(ctx context.Context, stdin, program string, args ...string) error {
	_, err := n.read(ctx, stdin, program, args...)
	return err
}

// read is command, and returns what is printed on standard output.
func (n *narrator) read(ctx context.Context, stdin, program string, args ...string) (string, error) {
	typed := program + " " + strings.Join(args, " ")
	if stdin != "" {
		typed += " < " + stdin
	}
	fmt.Fprintf(n.out, "  $ %s\n", typed)
	shown := &indenter{out: n.out}
	var printed strings.Builder
	err := n.run(ctx, stdin, io.MultiWriter(shown, &printed), shown, program, args...)
	return printed.String(), err
}

// aside runs "PROGRAM ARGS" as a thing that a reader need not look at.
func (n *narrator) aside(ctx context.Context, program string, args ...string) error {
	n.note("%s %s", program, strings.Join(args, " "))
	var printed bytes.Buffer
	err := n.run(ctx, "", &printed, &printed, program, args...)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, printed.Bytes())
	}
	return err
}

func (n *narrator) run(ctx context.Context, stdin string, stdout, stderr io.Writer, program string, args ...string) error {
	path := filepath.Join(n.bin, program)
	if _, err := os.Stat(path); err != nil {
		path = program // not ours
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = n.folder
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if stdin != "" {
		f, err := os.Open(filepath.Join(n.folder, stdin))
		if err != nil {
			return err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return nil
}

// indenter sets what a command prints under the command, line by line.
type indenter struct {
	out     io.Writer
	midLine bool
}

func (i *indenter) Write(p []byte) (int, error) {
	for _, line := range bytes.SplitAfter(p, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		if !i.midLine && len(line) > 1 {
			io.WriteString(i.out, "    ")
		}
		i.out.Write(line)
		i.midLine = line[len(line)-1] != '\n'
	}
	return len(p), nil
}
