package gba

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

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
		defer d.leave(ctx, func(ctx context.Context) { _, _ = d.command(ctx, "AT+CCHC="+handle, "") })
		d.modem.access.Store("AT+CCHO")
		return f(&cglaChannel{d, handle})
	}
	var no *atError
	var cme *cmeError
	if !errors.As(err, &no) && !(errors.As(err, &cme) && (cme.code == 3 || cme.code == 4 || cme.code == -1 || cme.code == 100)) {
		return err
	}
	return d.withCSIM(ctx, f)
}

// leave closes a channel to the SIM, also where ctx has ended meanwhile, but not for
// long.
func (d *dialogue) leave(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	f(ctx)
}

// handleIn is the session that CCHO opened: a number of its own, not a channel's.
// Some modems answer with the bare number, as the standard has it, others with a prefix.
func handleIn(lines [][]byte) (string, bool) {
	for _, b := range lines {
		l := strings.TrimSpace(strings.TrimPrefix(string(b), "+CCHO:"))
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
	defer func() {
		for _, l := range lines {
			clear(l)
		}
	}()
	if err != nil {
		return nil, err
	}
	if len(lines) != 1 {
		return nil, fmt.Errorf("the modem's answer has %d lines of %s want one", len(lines), prefix)
	}
	length, text, ok := bytes.Cut(lines[0], []byte(","))
	n, err := strconv.Atoi(string(bytes.TrimSpace(length)))
	text = bytes.Trim(bytes.TrimSpace(text), `"`)
	b := make([]byte, hex.DecodedLen(len(text)))
	_, hexErr := hex.Decode(b, text)
	if !ok || err != nil || hexErr != nil || n != len(text) {
		clear(b)
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
		defer d.leave(ctx, func(ctx context.Context) {
			_, _ = (&csimChannel{d: d}).transmit(ctx, []byte{0x00, 0x70, 0x80, c.channel})
		})
	}
	selection := append([]byte{0x00, 0xa4, 0x04, 0x0c, byte(len(usimAID))}, usimAID...)
	if _, status, err = command(ctx, c, selection); err != nil {
		return err
	}
	if status != swOK {
		return swError(status)
	}
	d.modem.access.Store("AT+CSIM")
	return f(c)
}
