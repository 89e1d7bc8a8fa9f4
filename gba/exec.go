package gba

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Program is a SIM that a program asks, over QMI, MBIM or PC/SC. It is started as
//
//	PATH identity               {"imsi": "001010123456789", "mnc_length": 2}
//	PATH authenticate           {"res": hex, "ck": hex, "ik": hex}, or {"auts": hex}, or {"error": "mac"}
//
// and reads RAND and AUTN, in hex, a line each, from its standard input. {"error": text}
// is an answer to both, "no card" one that says that the SIM is gone. It has 30 seconds.
// Whatever it writes to standard error is shown where it fails.
type Program struct{ Path string }

const (
	programTimeout = 30 * time.Second
	maxProgramOut  = 4096 // bytes of each of its outputs
)

type programAnswer struct {
	IMSI      string   `json:"imsi"`
	MNCLength int      `json:"mnc_length"`
	RES       hexBytes `json:"res"`
	CK        hexBytes `json:"ck"`
	IK        hexBytes `json:"ik"`
	AUTS      hexBytes `json:"auts"`
	Error     string   `json:"error"`
}

// hexBytes are read without a string between, which nobody could overwrite.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	*h = make([]byte, hex.DecodedLen(len(text)))
	_, err := hex.Decode(*h, text)
	return err
}

// Access is how the SIM is asked.
func (p *Program) Access() string { return p.Path }

// Subscriber implements [Card].
func (p *Program) Subscriber(ctx context.Context) (Subscriber, error) {
	a, err := p.run(ctx, "identity", "")
	if err != nil {
		return Subscriber{}, err
	}
	s := Subscriber{a.IMSI, a.MNCLength}
	if err := s.checkIMSI(); err != nil {
		return Subscriber{}, fmt.Errorf("%s: %w", p.Path, err)
	}
	return s, nil
}

// Authenticate implements [Card].
func (p *Program) Authenticate(ctx context.Context, rand, autn [16]byte) (*Vector, error) {
	a, err := p.run(ctx, "authenticate", hex.EncodeToString(rand[:])+"\n"+hex.EncodeToString(autn[:])+"\n")
	if err != nil {
		return nil, err
	}
	v, err := a.vector()
	if err != nil && !errors.As(err, new(*SyncError)) {
		err = fmt.Errorf("%s: %w", p.Path, err)
	}
	return v, err
}

func (a *programAnswer) vector() (*Vector, error) {
	defer a.wipe()
	switch {
	case a.AUTS != nil && len(a.AUTS) != 14:
		return nil, errors.New("auts is not 14 bytes in hex")
	case a.AUTS != nil:
		return nil, &SyncError{[14]byte(a.AUTS)}
	case len(a.CK) != 16 || len(a.IK) != 16:
		return nil, errors.New("ck and ik are not 16 bytes in hex")
	}
	v := &Vector{RES: bytes.Clone(a.RES), CK: [16]byte(a.CK), IK: [16]byte(a.IK)}
	if err := v.check(); err != nil {
		v.Wipe()
		return nil, err
	}
	return v, nil
}

func (a *programAnswer) wipe() {
	clear(a.RES)
	clear(a.CK)
	clear(a.IK)
}

func (p *Program) run(outer context.Context, what, input string) (*programAnswer, error) {
	ctx, cancel := context.WithTimeout(outer, programTimeout)
	defer cancel()
	var out, said bounded
	defer func() { clear(out.b.Bytes()) }()
	c := exec.CommandContext(ctx, p.Path, what)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &said
	// What it starts ends with it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	if err := c.Run(); err != nil {
		switch {
		case outer.Err() != nil:
			return nil, outer.Err()
		case ctx.Err() != nil:
			err = fmt.Errorf("it takes more than %s", programTimeout)
		case out.full:
			err = fmt.Errorf("it says more than %d bytes", maxProgramOut)
		}
		if text := strings.TrimSpace(said.String()); text != "" {
			return nil, fmt.Errorf("%s: %w: %s", p.Path, err, clip(text))
		}
		return nil, fmt.Errorf("%s: %w", p.Path, err)
	}
	a, err := parseProgramAnswer(out.b.Bytes())
	if err != nil && !errors.Is(err, ErrMAC) {
		err = fmt.Errorf("%s: %w", p.Path, err)
	}
	return a, err
}

func parseProgramAnswer(out []byte) (*programAnswer, error) {
	var a programAnswer
	if json.Unmarshal(out, &a) != nil {
		a.wipe()
		// json's own error can quote what the program said, which may be keys.
		return nil, errors.New("its answer is no JSON as expected")
	}
	switch a.Error {
	case "":
		return &a, nil
	case "mac":
		return nil, ErrMAC
	case "no card":
		return nil, ErrNoCard
	}
	return nil, errors.New(clip(a.Error))
}

// bounded keeps the first maxProgramOut bytes, and fails the writer of more.
type bounded struct {
	b    bytes.Buffer
	full bool
}

func (w *bounded) String() string { return w.b.String() }

func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > maxProgramOut {
		w.full = true
		return 0, errors.New("too much")
	}
	w.b.Grow(maxProgramOut - w.b.Len()) // all at once: there is one place to overwrite
	return w.b.Write(p)
}
