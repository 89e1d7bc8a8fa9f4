package gba

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// dialogue is one open line.
type dialogue struct {
	modem    *Modem
	port     Port
	buf      [2 * maxLine]byte // what the SIM answers is in no other place that stays
	from, to int               // what is not read yet of it
}

// begin brings the modem to where it answers, whatever went before: half a
// command, an echo, and numbers instead of words for errors.
func (d *dialogue) begin(ctx context.Context) error {
	if _, err := d.command(ctx, "AT", ""); err != nil {
		// What stood half typed on the line is out of the way now.
		if _, err := d.command(ctx, "AT", ""); err != nil {
			return fmt.Errorf("the modem does not answer to AT: %w", err)
		}
	}
	_, _ = d.command(ctx, "ATE0", "")      // not every modem can be quiet
	_, _ = d.command(ctx, "AT+CMEE=1", "") // nor gives reasons
	lines, err := d.command(ctx, "AT+CPIN?", "+CPIN:")
	if err != nil {
		return err
	}
	state := ""
	if len(lines) > 0 {
		state = string(lines[0])
	}
	switch state {
	case "READY", "":
		return nil
	case "SIM PIN":
		return errors.New("the SIM is locked by its PIN: unlock it, or switch the PIN off (AT+CLCK=\"SC\",0,PIN)")
	case "SIM PUK":
		return errors.New("the SIM is locked by its PUK: the PIN was wrong too often")
	}
	return fmt.Errorf("the SIM is not ready: %s", clip(state))
}

// command sends a line and reads its answer. prefix, where it is not empty, is
// what the lines that count begin with; they come back without it. Lines between
// that belong to nothing that was asked are left out.
func (d *dialogue) command(ctx context.Context, line, prefix string) ([][]byte, error) {
	for try := 0; ; try++ {
		lines, err := d.once(ctx, line, prefix)
		var cme *cmeError
		if !errors.As(err, &cme) || !cme.busy() || try == busyRetries {
			return lines, err
		}
		select {
		case <-time.After(cmp.Or(d.modem.pause, busyPause)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (d *dialogue) once(ctx context.Context, line, prefix string) ([][]byte, error) {
	deadline := time.Now().Add(modemTimeout)
	if t, ok := ctx.Deadline(); ok && t.Before(deadline) {
		deadline = t
	}
	d.port.SetDeadline(deadline)
	// In this order: a stop that comes after has the last word about the deadline.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(d.port, line+"\r"); err != nil {
		return nil, d.failed(ctx, "writing to the modem", err)
	}
	name, _, _ := strings.Cut(line, "=")
	var lines [][]byte
	for range maxLines {
		b, err := d.readLine()
		if err != nil {
			return nil, d.failed(ctx, "reading the modem's answer to "+name, err)
		}
		if after, ok := bytes.CutPrefix(b, []byte(prefix)); ok && prefix != "" {
			lines = append(lines, bytes.Clone(bytes.TrimSpace(after)))
			continue
		}
		switch {
		case len(b) == 0 || string(b) == line: // its echo
		case string(b) == "OK":
			return lines, nil
		default:
			if err := refusal(name, b); err != nil {
				return nil, err
			}
			if prefix == "" {
				lines = append(lines, bytes.Clone(b))
			}
		}
	}
	return nil, fmt.Errorf("the modem's answer to %s has no end", name)
}

func (d *dialogue) failed(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if t, ok := ctx.Deadline(); ok && !time.Now().Before(t) {
		return context.DeadlineExceeded
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("it says nothing for %s", modemTimeout)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// refusal is the error that a line is, nil where it is none.
func refusal(name string, b []byte) error {
	switch l := string(b); {
	case l == "ERROR" || l == "COMMAND NOT SUPPORT" || l == "+CME ERROR" || l == "NO CARRIER":
		return &atError{name, l}
	case strings.HasPrefix(l, "+CME ERROR:"), strings.HasPrefix(l, "+CMS ERROR:"):
		return newCMEError(name, l)
	}
	return nil
}

// readLine gives the next line, which is good until the one after it is asked for.
func (d *dialogue) readLine() ([]byte, error) {
	for {
		unread := d.buf[d.from:d.to]
		if i := bytes.IndexAny(unread, "\r\n"); i >= 0 {
			d.from += i + 1
			return bytes.TrimSpace(unread[:i]), nil
		}
		if len(unread) > maxLine {
			return nil, fmt.Errorf("a line of more than %d bytes: is this a modem?", maxLine)
		}
		d.from, d.to = 0, copy(d.buf[:], unread)
		n, err := d.port.Read(d.buf[d.to:])
		if err != nil {
			return nil, err
		}
		d.to += n
	}
}

// atError is an answer that only says no.
type atError struct{ command, answer string }

func (e *atError) Error() string {
	return fmt.Sprintf("the modem answers %s to %s", e.answer, e.command)
}

// cmeError is an error with its number (TS 27.007, 9.2).
type cmeError struct {
	command string
	code    int // -1 where it is in words
	text    string
}

func newCMEError(command, line string) *cmeError {
	_, text, _ := strings.Cut(line, ":")
	text = strings.TrimSpace(text)
	code, err := strconv.Atoi(text)
	if err != nil {
		code = -1
	}
	return &cmeError{command, code, text}
}

func (e *cmeError) busy() bool { return e.code == 14 || strings.EqualFold(e.text, "SIM busy") }

// Is makes one that says so ErrNoCard.
func (e *cmeError) Is(target error) bool {
	return target == ErrNoCard && (e.code == 10 || strings.EqualFold(e.text, "SIM not inserted"))
}

func (e *cmeError) Error() string {
	meaning := map[int]string{
		3: "it is not allowed to", 4: "it does not know the command", 10: "there is no SIM in it", 11: "the SIM is locked by its PIN",
		12: "the SIM is locked by its PUK", 13: "the SIM has failed", 14: "the SIM is busy", 15: "the SIM is of a wrong kind", 16: "a wrong PIN",
	}[e.code]
	if meaning == "" {
		return fmt.Sprintf("the modem answers to %s: error %s", e.command, clip(e.text))
	}
	return fmt.Sprintf("the modem answers to %s: %s (error %d)", e.command, meaning, e.code)
}
