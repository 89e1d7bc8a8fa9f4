package gba

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// saying is a modem that says what it says, whatever it is asked.
type saying struct{ io.Reader }

func (saying) Write(p []byte) (int, error)   { return len(p), nil }
func (saying) Close() error                  { return nil }
func (saying) SetDeadline(_ time.Time) error { return nil }

// FuzzAT: whatever a modem says, asking it ends, and what comes of it is whole.
func FuzzAT(f *testing.F) {
	begin := "AT\r\r\nOK\r\nOK\r\nOK\r\n+CPIN: READY\r\nOK\r\n"
	db := "DB04AABBCCDD10" + strings.Repeat("11", 16) + "10" + strings.Repeat("22", 16)
	f.Add([]byte(begin + "001010123456789\r\nOK\r\n1\r\nOK\r\n+CGLA: 4,\"9000\"\r\nOK\r\n+CGLA: 12,\"000000029000\"\r\nOK\r\nOK\r\n"))
	f.Add([]byte(begin + "+CCHO: 1\r\nOK\r\n+CREG: 2\r\n+CGLA: 4,\"6123\"\r\nOK\r\n+CGLA: 84,\"" + db + "9000\"\r\nOK\r\nOK\r\n"))
	f.Add([]byte(begin + "ERROR\r\n+CSIM: 6,\"019000\"\r\nOK\r\n+CSIM: 4,\"9000\"\r\nOK\r\n+CSIM: 4,\"9862\"\r\nOK\r\n"))
	f.Add([]byte(begin + "+CME ERROR: SIM busy\r\n+CME ERROR: 10\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		m := &Modem{Open: func(ctx context.Context) (Port, error) { return saying{bytes.NewReader(said)}, nil }, pause: time.Nanosecond}
		if s, err := m.Subscriber(t.Context()); err == nil && s.check() == nil && strings.Trim(s.IMPI()+s.BSF(), "0123456789abcdefghijklmnopqrstuvwxyz@.") != "" {
			t.Errorf("a subscriber %+v", s)
		}
		v, err := m.Authenticate(t.Context(), [16]byte{}, [16]byte{})
		if err == nil && v.check() != nil {
			t.Errorf("RES of %d bytes", len(v.RES))
		}
		if err != nil && (v != nil || strings.ContainsAny(err.Error(), "\r\x00")) {
			t.Errorf("%v and %q", v, err)
		}
	})
}

// FuzzProgram: the same for what a program says, and no error repeats what may be keys.
func FuzzProgram(f *testing.F) {
	f.Add([]byte(`{"imsi": "001010123456789", "mnc_length": 2}`))
	f.Add([]byte(`{"res": "aabbccdd", "ck": "` + strings.Repeat("5a", 16) + `", "ik": "` + strings.Repeat("5a", 16) + `"}`))
	f.Add([]byte(`{"auts": "` + strings.Repeat("5a", 14) + `"}`))
	f.Add([]byte(`{"error": "no card"} `))
	f.Fuzz(func(t *testing.T, out []byte) {
		a, err := parseProgramAnswer(out)
		if (a == nil) == (err == nil) {
			t.Fatalf("%v, %v", a, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "5a5a") && a != nil {
				t.Errorf("the error shows what may be a key: %v", err)
			}
			return
		}
		v, err := a.vector()
		if (v == nil) == (err == nil) || err == nil && v.check() != nil {
			t.Errorf("%v, %v", v, err)
		}
		if err != nil && !errors.As(err, new(*SyncError)) && strings.Contains(err.Error(), "5a5a") {
			t.Errorf("the error shows what may be a key: %v", err)
		}
	})
}
