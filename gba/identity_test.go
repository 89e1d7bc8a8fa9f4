package gba

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// TestNoIMSI: a SIM that does not say whose it is cannot be seen to be exchanged, so it
// is none to bootstrap with, also where IMPI and BSF are configured.
func TestNoIMSI(t *testing.T) {
	for _, says := range []string{`{}`, `{"mnc_length": 2}`, `{"imsi": "", "mnc_length": 2}`, `{"imsi": "00101", "mnc_length": 2}`, `{"imsi": "00101012345678x", "mnc_length": 2}`} {
		if s, err := program(t, "echo '"+says+"'").Subscriber(t.Context()); err == nil || !strings.Contains(err.Error(), "IMSI") {
			t.Errorf("a program that says %s: %+v, %v", says, s, err)
		}
	}
	const begin, rest = "AT\r\r\nOK\r\nOK\r\nOK\r\n+CPIN: READY\r\nOK\r\n", "OK\r\n1\r\nOK\r\n+CGLA: 4,\"9000\"\r\nOK\r\n+CGLA: 12,\"000000029000\"\r\nOK\r\nOK\r\n"
	for says, want := range map[string]bool{"001010123456789\r\n": true, "": false, "+CREG: 2\r\n": false, "0010101234567890\r\n": false} {
		m := &Modem{Open: func(context.Context) (Port, error) { return saying{bytes.NewReader([]byte(begin + says + rest))}, nil }}
		if s, err := m.Subscriber(t.Context()); (err == nil) != want || !want && !strings.Contains(err.Error(), "IMSI") {
			t.Errorf("a modem that says %q: %+v, %v", says, s, err)
		}
	}
}
