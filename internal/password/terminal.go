package password

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cpns.example.net/pngw/internal/secretfile"
)

// A terminal is the one that the program was started from.
type terminal struct {
	tty     *os.File
	conn    syscall.RawConn
	before  *unix.Termios // as it was found
	quiet   *unix.Termios // without echo, as it is while it asks
	signals chan os.Signal
}

// Every signal that ends a program and can be caught, and those of job control.
var (
	ending = []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGUSR1, syscall.SIGUSR2,
	}
	jobControl = []os.Signal{syscall.SIGTSTP, syscall.SIGCONT}
)

// openTerminal opens the terminal by its own name: standard input may be
// anything. Go reads it without blocking, and so a read can be stopped.
func openTerminal() (*terminal, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, ErrNoTerminal
	}
	t := &terminal{tty: tty, signals: make(chan os.Signal, 16)}
	if t.conn, err = tty.SyscallConn(); err == nil {
		t.before, err = t.mode()
	}
	if err != nil {
		tty.Close()
		return nil, fmt.Errorf("asking for the password: %w", err)
	}
	quiet := *t.before
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	quiet.Iflag |= unix.ICRNL
	t.quiet = &quiet
	signal.Notify(t.signals, ending...)
	signal.Notify(t.signals, jobControl...)
	return t, nil
}

func (t *terminal) close() {
	signal.Stop(t.signals)
	defaultAction(syscall.SIGTSTP)
	t.tty.Close()
}

// often is how often a program in the background looks whether it is in front
// again.
const often = 100 * time.Millisecond

// ask asks for one line. A stop gives the terminal back to the shell as it was,
// and whoever continues the program is asked again. Until it is in front it
// leaves the terminal alone.
func (t *terminal) ask(ctx context.Context, prompt string) ([]byte, error) {
	for {
		if err := t.wait(ctx, t.inFront); err != nil {
			return nil, err
		}
		line, err := t.askOnce(ctx, prompt)
		if !errors.Is(err, errAgain) {
			return line, err
		}
	}
}

// errAgain says that the question has to be asked once more.
var errAgain = errors.New("continued")

// askOnce asks until there is a line, a signal, or ctx ends.
func (t *terminal) askOnce(ctx context.Context, prompt string) (line []byte, err error) {
	// Echo goes before the prompt comes: a quick typist begins when it is there.
	if err := t.setMode(unix.TCSETS, t.quiet); err != nil {
		return nil, fmt.Errorf("asking for the password: %w", err)
	}
	fmt.Fprint(t.tty, prompt)

	type result struct {
		line []byte
		err  error
	}
	typed := make(chan result)
	go func() {
		line, err := readLine(t.tty)
		typed <- result{line, err}
	}()
	endRead := func() {
		t.tty.SetReadDeadline(time.Unix(1, 0))
		clear((<-typed).line)
		t.tty.SetReadDeadline(time.Time{})
		t.restore(unix.TCSETSF) // what was half typed is not for the shell
	}
	for {
		select {
		case r := <-typed:
			fmt.Fprintln(t.tty)
			if r.err == io.EOF || r.err == nil && len(r.line) == 0 {
				r.err = errors.New("no password was typed")
			}
			t.restore(unix.TCSETS) // what comes next may have been typed already
			return r.line, r.err
		case <-ctx.Done():
			endRead()
			fmt.Fprintln(t.tty)
			return nil, ErrInterrupted
		case s := <-t.signals:
			endRead()
			switch s {
			case syscall.SIGTSTP:
				t.stop()
				return nil, errAgain
			case syscall.SIGCONT: // after a SIGSTOP, of which nobody is told
				return nil, errAgain
			}
			fmt.Fprintln(t.tty)
			return nil, ErrInterrupted
		}
	}
}

// stop stops the program as if the signal had not been caught, and returns when
// it is continued. The signal goes to this very thread: another one would let
// this one run on for a moment, and switch echo off again.
func (t *terminal) stop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defaultAction(syscall.SIGTSTP)
	unix.Tgkill(unix.Getpid(), unix.Gettid(), syscall.SIGTSTP)
	signal.Notify(t.signals, syscall.SIGTSTP)
	// The signal that continued it has been seen with that.
	select {
	case s := <-t.signals:
		if s != syscall.SIGCONT {
			t.signals <- s
		}
	case <-time.After(often): // a program whose shell has gone is not stopped at all
	}
}

// defaultAction lets a signal of job control stop the program, as it does if
// nobody has asked for it. Package os/signal does not give it that back: once
// caught, such a signal is dropped for ever.
func defaultAction(s syscall.Signal) {
	signal.Ignore(s) // the runtime's handler goes
	// Of a struct sigaction that is all zeros the handler is SIG_DFL, wherever in
	// it the machine has it.
	var action [64]byte
	setSize := uintptr(8)
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		setSize = 16 // 128 signals
	}
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, setSize, 0, 0)
}

// wait waits until holds, a signal, or ctx ends.
func (t *terminal) wait(ctx context.Context, holds func() bool) error {
	for !holds() {
		select {
		case <-time.After(often):
		case <-ctx.Done():
			return ErrInterrupted
		case s := <-t.signals:
			switch s {
			case syscall.SIGCONT:
			case syscall.SIGTSTP:
				t.stop()
			default:
				return ErrInterrupted
			}
		}
	}
	return nil
}

// inFront tells whether the terminal is this program's to use.
func (t *terminal) inFront() bool {
	group := 0
	var err error
	t.conn.Control(func(fd uintptr) { group, err = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP) })
	return err != nil || group == unix.Getpgrp()
}

// restore gives the terminal its mode back, unless somebody else has changed it
// meanwhile: a shell does when a program is stopped.
func (t *terminal) restore(how uint) {
	if now, err := t.mode(); err != nil || *now != *t.quiet {
		return
	}
	// A program in the background may do so only if it does not mind the signal.
	signal.Ignore(syscall.SIGTTOU)
	defer defaultAction(syscall.SIGTTOU)
	t.setMode(how, t.before)
}

func (t *terminal) mode() (mode *unix.Termios, err error) {
	if e := t.conn.Control(func(fd uintptr) { mode, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); e != nil {
		return nil, e
	}
	return mode, err
}

func (t *terminal) setMode(how uint, mode *unix.Termios) (err error) {
	if e := t.conn.Control(func(fd uintptr) { err = unix.IoctlSetTermios(int(fd), how, mode) }); e != nil {
		return e
	}
	return err
}

// readLine reads what is typed up to the end of a line, which is not part of it.
// The terminal gives whole lines.
func readLine(tty io.Reader) ([]byte, error) {
	buf := make([]byte, 0, Max+1)
	for len(buf) <= Max {
		n, err := tty.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if bytes.HasSuffix(buf, []byte("\n")) || err == io.EOF && len(buf) > 0 {
			line, err := secretfile.Line(buf)
			if err != nil {
				clear(buf)
				return nil, fmt.Errorf("what was typed %w", err)
			}
			return line, nil
		}
		if err != nil {
			clear(buf)
			return nil, err
		}
	}
	clear(buf)
	return nil, fmt.Errorf("the password is longer than %d bytes", Max)
}
