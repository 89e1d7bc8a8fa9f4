package gba

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Port is an open line to a modem.
type Port interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// Modem is the SIM in a modem that takes AT commands (TS 27.007). The line is
// open only while the SIM is asked.
type Modem struct {
	Open func(ctx context.Context) (Port, error)

	mu sync.Mutex // one conversation at a time
}

// Bounds of a conversation with a modem.
const (
	modemTimeout = 10 * time.Second // of one command
	busyRetries  = 10
	busyPause    = time.Second
	maxLine      = 1024 // bytes
	maxLines     = 64   // of one answer, unsolicited ones included
)

// Subscriber implements [Card], by AT+CIMI and EF_AD.
func (m *Modem) Subscriber(ctx context.Context) (s Subscriber, err error) {
	err = m.converse(ctx, func(at *dialogue) error {
		lines, err := at.command(ctx, "AT+CIMI", "")
		if err != nil {
			return err
		}
		for _, l := range lines {
			if l = strings.TrimSpace(strings.TrimPrefix(l, "+CIMI:")); len(l) >= 6 && strings.Trim(l, "0123456789") == "" {
				s.IMSI = l
			}
		}
		return at.withUSIM(ctx, func(c apduChannel) error {
			s.MNCLength, err = mncLength(ctx, c)
			return err
		})
	})
	return s, err
}

// Authenticate implements [Card].
func (m *Modem) Authenticate(ctx context.Context, rand, autn [16]byte) (v *Vector, err error) {
	err = m.converse(ctx, func(at *dialogue) error {
		return at.withUSIM(ctx, func(c apduChannel) error {
			v, err = authenticate(ctx, c, rand, autn)
			return err
		})
	})
	return v, err
}

// Access says how the modem lets its SIM be asked: "AT+CCHO/CGLA/CCHC" or "AT+CSIM".
func (m *Modem) Access(ctx context.Context) (how string, err error) {
	err = m.converse(ctx, func(at *dialogue) error {
		return at.withUSIM(ctx, func(c apduChannel) error {
			how = "AT+CSIM"
			if _, ok := c.(*cglaChannel); ok {
				how = "AT+CCHO/CGLA/CCHC"
			}
			return nil
		})
	})
	return how, err
}

func (m *Modem) converse(ctx context.Context, f func(*dialogue) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	port, err := m.Open(ctx)
	if err != nil {
		return fmt.Errorf("opening the modem: %w", err)
	}
	defer port.Close()
	defer context.AfterFunc(ctx, func() { port.SetDeadline(time.Unix(1, 0)) })()
	at := &dialogue{port: port}
	if err := at.begin(ctx); err != nil {
		return err
	}
	return f(at)
}

// dialogue is one open line.
type dialogue struct {
	port   Port
	unread []byte
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
		state = strings.TrimSpace(lines[0])
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
func (d *dialogue) command(ctx context.Context, line, prefix string) ([]string, error) {
	for try := 0; ; try++ {
		lines, err := d.once(ctx, line, prefix)
		var cme *cmeError
		if !errors.As(err, &cme) || !cme.busy() || try == busyRetries {
			return lines, err
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (d *dialogue) once(ctx context.Context, line, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A stop that comes between the two is noticed at the next command.
	d.port.SetDeadline(time.Now().Add(modemTimeout))
	if _, err := io.WriteString(d.port, line+"\r"); err != nil {
		return nil, fmt.Errorf("writing to the modem: %w", err)
	}
	name, _, _ := strings.Cut(line, "=")
	var lines []string
	for range maxLines {
		l, err := d.readLine()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, fmt.Errorf("reading the modem's answer to %s: %w", name, err)
		}
		switch {
		case l == "" || l == line: // its echo
		case l == "OK":
			return lines, nil
		case l == "ERROR" || l == "COMMAND NOT SUPPORT" || l == "+CME ERROR" || l == "NO CARRIER":
			return nil, &atError{name, l}
		case strings.HasPrefix(l, "+CME ERROR:"), strings.HasPrefix(l, "+CMS ERROR:"):
			return nil, newCMEError(name, l)
		case strings.HasPrefix(l, prefix):
			lines = append(lines, strings.TrimSpace(strings.TrimPrefix(l, prefix)))
		}
	}
	return nil, fmt.Errorf("the modem's answer to %s has no end", name)
}

func (d *dialogue) readLine() (string, error) {
	for {
		for i, b := range d.unread {
			if b == '\r' || b == '\n' {
				line := string(d.unread[:i])
				d.unread = append(d.unread[:0], d.unread[i+1:]...)
				return strings.TrimSpace(line), nil
			}
		}
		if len(d.unread) > maxLine {
			return "", fmt.Errorf("a line of more than %d bytes: is this a modem?", maxLine)
		}
		var b [256]byte
		n, err := d.port.Read(b[:])
		if err != nil {
			return "", err
		}
		d.unread = append(d.unread, b[:n]...)
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

// withUSIM opens a channel to the USIM and closes it again. It prefers the
// commands that are made for it; a modem that has no CCHO is asked by CSIM.
func (d *dialogue) withUSIM(ctx context.Context, f func(apduChannel) error) error {
	aid := strings.ToUpper(hex.EncodeToString(usimAID))
	lines, err := d.command(ctx, `AT+CCHO="`+aid+`"`, "")
	if err == nil {
		handle, ok := handleIn(lines)
		if !ok {
			return errors.New("the modem's answer to AT+CCHO has no session in it")
		}
		defer func() { _, _ = d.command(context.WithoutCancel(ctx), "AT+CCHC="+handle, "") }()
		return f(&cglaChannel{d, handle})
	}
	var no *atError
	var cme *cmeError
	if !errors.As(err, &no) && !(errors.As(err, &cme) && (cme.code == 3 || cme.code == 4 || cme.code == -1 || cme.code == 100)) {
		return err
	}
	return d.withCSIM(ctx, f)
}

// handleIn is the session that CCHO opened: a number of its own, not a channel's.
// Some modems answer with the bare number, as the standard has it, others with a prefix.
func handleIn(lines []string) (string, bool) {
	for _, l := range lines {
		l = strings.TrimSpace(strings.TrimPrefix(l, "+CCHO:"))
		if _, err := strconv.ParseUint(l, 10, 32); err == nil {
			return l, true
		}
	}
	return "", false
}

// cglaChannel is AT+CGLA.
type cglaChannel struct {
	d      *dialogue
	handle string
}

func (c *cglaChannel) transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	h := strings.ToUpper(hex.EncodeToString(apdu))
	return c.d.apdu(ctx, fmt.Sprintf(`AT+CGLA=%s,%d,"%s"`, c.handle, len(h), h), "+CGLA:")
}

// apdu sends a command that carries one, and reads the one that comes back.
func (d *dialogue) apdu(ctx context.Context, line, prefix string) ([]byte, error) {
	lines, err := d.command(ctx, line, prefix)
	if err != nil {
		return nil, err
	}
	if len(lines) != 1 {
		return nil, fmt.Errorf("the modem's answer has %d lines of %s want one", len(lines), prefix)
	}
	length, text, ok := strings.Cut(lines[0], ",")
	n, err := strconv.Atoi(strings.TrimSpace(length))
	text = strings.Trim(strings.TrimSpace(text), `"`)
	b, hexErr := hex.DecodeString(text)
	if !ok || err != nil || hexErr != nil || n != len(text) {
		return nil, errors.New("the modem's answer is no SIM's response in hex with its length")
	}
	return b, nil
}

// csimChannel is AT+CSIM, on a logical channel of the SIM's or on its basic one.
type csimChannel struct {
	d       *dialogue
	channel byte
}

func (c *csimChannel) transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	apdu = append([]byte{}, apdu...)
	if c.channel < 4 {
		apdu[0] |= c.channel
	} else {
		apdu[0] |= 0x40 | (c.channel - 4)
	}
	h := strings.ToUpper(hex.EncodeToString(apdu))
	return c.d.apdu(ctx, fmt.Sprintf(`AT+CSIM=%d,"%s"`, len(h), h), "+CSIM:")
}

// withCSIM opens a logical channel, so that what the modem itself has selected
// stays as it is; a SIM that has none to give is asked on the basic channel.
func (d *dialogue) withCSIM(ctx context.Context, f func(apduChannel) error) error {
	c := &csimChannel{d: d}
	data, status, err := command(ctx, c, []byte{0x00, 0x70, 0x00, 0x00, 0x01})
	var no *atError
	if errors.As(err, &no) {
		return errors.New("the modem lets nobody ask its SIM: it knows neither AT+CCHO nor AT+CSIM")
	}
	if err != nil {
		return err
	}
	if status == swOK && len(data) == 1 && data[0] > 0 && data[0] < 20 {
		c.channel = data[0]
		defer func() {
			_, _ = (&csimChannel{d: d}).transmit(context.WithoutCancel(ctx), []byte{0x00, 0x70, 0x80, c.channel})
		}()
	}
	selection := append([]byte{0x00, 0xa4, 0x04, 0x0c, byte(len(usimAID))}, usimAID...)
	if _, status, err := command(ctx, c, selection); err != nil || status != swOK {
		return errors.Join(err, statusError(status))
	}
	return f(c)
}
