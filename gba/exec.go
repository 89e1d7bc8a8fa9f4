package gba

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Program is a SIM that a program asks, over QMI, MBIM or PC/SC. It is started as
//
//	PATH identity               {"imsi": "001010123456789", "mnc_length": 2}
//	PATH authenticate           {"res": hex, "ck": hex, "ik": hex}, or {"auts": hex}, or {"error": "mac"} or {"error": text}
//
// and reads RAND and AUTN, in hex, a line each, from its standard input. It has 30
// seconds. Whatever it writes to standard error is shown where it fails.
type Program struct{ Path string }

const (
	programTimeout = 30 * time.Second
	maxProgramOut  = 4096 // bytes of each of its outputs
)

type programAnswer struct {
	IMSI      string `json:"imsi"`
	MNCLength int    `json:"mnc_length"`
	RES       string `json:"res"`
	CK        string `json:"ck"`
	IK        string `json:"ik"`
	AUTS      string `json:"auts"`
	Error     string `json:"error"`
}

// Subscriber implements [Card].
func (p *Program) Subscriber(ctx context.Context) (Subscriber, error) {
	a, err := p.run(ctx, "identity", "")
	if err != nil {
		return Subscriber{}, err
	}
	return Subscriber{a.IMSI, a.MNCLength}, nil
}

// Authenticate implements [Card].
func (p *Program) Authenticate(ctx context.Context, rand, autn [16]byte) (*Vector, error) {
	a, err := p.run(ctx, "authenticate", hex.EncodeToString(rand[:])+"\n"+hex.EncodeToString(autn[:])+"\n")
	if err != nil {
		return nil, err
	}
	if a.AUTS != "" {
		auts, err := hex.DecodeString(a.AUTS)
		if err != nil || len(auts) != 14 {
			return nil, fmt.Errorf("%s: auts is not 14 bytes in hex", p.Path)
		}
		return nil, &SyncError{[14]byte(auts)}
	}
	res, err1 := hex.DecodeString(a.RES)
	ck, err2 := hex.DecodeString(a.CK)
	ik, err3 := hex.DecodeString(a.IK)
	if err1 != nil || err2 != nil || err3 != nil || len(ck) != 16 || len(ik) != 16 {
		return nil, fmt.Errorf("%s: res, ck and ik are not 4 to 16, 16 and 16 bytes in hex", p.Path)
	}
	v := &Vector{RES: res, CK: [16]byte(ck), IK: [16]byte(ik)}
	return v, v.check()
}

func (p *Program) run(ctx context.Context, what, input string) (*programAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	var out, said bounded
	c := exec.CommandContext(ctx, p.Path, what)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &said
	c.WaitDelay = time.Second
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if text := strings.TrimSpace(said.String()); text != "" {
			return nil, fmt.Errorf("%s: %w: %s", p.Path, err, clip(text))
		}
		return nil, fmt.Errorf("%s: %w", p.Path, err)
	}
	defer clear(out.b.Bytes())
	var a programAnswer
	d := json.NewDecoder(bytes.NewReader(out.b.Bytes()))
	if err := d.Decode(&a); err != nil {
		// json's own error can quote what the program said, which may be keys.
		return nil, fmt.Errorf("%s: its answer is no JSON as expected", p.Path)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s: something follows its answer", p.Path)
	}
	switch a.Error {
	case "":
		return &a, nil
	case "mac":
		return nil, ErrMAC
	}
	return nil, fmt.Errorf("%s: %s", p.Path, clip(a.Error))
}

// bounded keeps the first maxProgramOut bytes, and fails the writer of more.
type bounded struct{ b bytes.Buffer }

func (w *bounded) String() string { return w.b.String() }

func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > maxProgramOut {
		return 0, errors.New("more than 4096 bytes")
	}
	return w.b.Write(p)
}
