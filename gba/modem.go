package gba

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
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

	mu     sync.Mutex // one conversation at a time
	access atomic.Value
	pause  time.Duration // while the SIM is busy; 0 is busyPause
}

// Bounds of a conversation with a modem.
const (
	modemTimeout = 10 * time.Second // of one command
	busyRetries  = 10
	busyPause    = time.Second
	closing      = 2 * time.Second // for leaving the SIM as it was found
	maxLine      = 1024            // bytes
	maxLines     = 64              // of one answer, unsolicited ones included
)

// Subscriber implements [Card], by AT+CIMI and EF_AD.
func (m *Modem) Subscriber(ctx context.Context) (s Subscriber, err error) {
	err = m.converse(ctx, func(at *dialogue) error {
		lines, err := at.command(ctx, "AT+CIMI", "")
		if err != nil {
			return err
		}
		for _, l := range lines {
			text := strings.TrimSpace(strings.TrimPrefix(string(l), "+CIMI:"))
			if len(text) >= 6 && strings.Trim(text, "0123456789") == "" {
				s.IMSI = text
			}
		}
		if err := s.checkIMSI(); err != nil {
			return err
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

// Access says how the modem let its SIM be asked the last time, "AT+CCHO" or
// "AT+CSIM"; "" where it has not yet.
func (m *Modem) Access() string {
	how, _ := m.access.Load().(string)
	return how
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
	at := &dialogue{port: port, modem: m}
	defer func() { clear(at.buf[:]) }()
	if err := at.begin(ctx); err != nil {
		return err
	}
	return f(at)
}
