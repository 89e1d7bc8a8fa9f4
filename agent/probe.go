package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// Probe is the result of Agent.Probe.
type Probe struct {
	Server string        `json:"server_time"` // what the server thinks the time is, RFC 3339 UTC
	Ahead  int64         `json:"ahead_s"`     // by so many seconds the router's clock is ahead of it
	Took   time.Duration `json:"took_ns"`
}

// Probe proves PSK1 without asking for anything: it sends a request from 1970, which a
// server refuses once PSK1 has authenticated it, and before it looks at user or device.
// The error says in words what fails, and its advice, where it has one, what to do.
func (a *Agent) Probe(ctx context.Context) (Probe, error) {
	psk, err := a.psk.get(ctx)
	if err != nil {
		return Probe{}, fmt.Errorf("there is no PSK1: %w", err)
	}
	defer psk.wipe()
	var iv [cpns.IVSize]byte
	rand.Read(iv[:])
	req := &cpns.EUKeyAssignmentRequest{EntityID: cpns.EntityID(a.cfg.Gateway), UserID: "probe"}
	rand.Read(req.RandPNGW[:])
	body, err := cpns.SealRequest(psk.Key, psk.Identity, iv, req)
	if err != nil {
		return Probe{}, err
	}
	begun := time.Now()
	answer, _, err := a.cfg.Server.Assign(ctx, body)
	if err != nil {
		o := a.notAsked(ctx, "", err)
		return Probe{}, &ProbeError{o.Detail, o.Advice}
	}
	took := time.Since(begun)
	resp, err := cpns.OpenResponse(psk.Key, psk.Identity, body, answer)
	if err != nil {
		return Probe{}, &ProbeError{"the server's answer was refused: " + err.Error(), "something between router and server changes what they send, or the server is not this gateway's"}
	}
	if resp.Status != cpns.TimeOutOfWindow {
		return Probe{}, &ProbeError{fmt.Sprintf("the server answered a request from 1970 with %s", resp.Status), "compare versions of gateway and server"}
	}
	now, _ := a.cfg.Clock.Now()
	server := clock(resp.ServerTime)
	return Probe{Server: life.Stamp(server), Ahead: int64(now.Sub(server) / time.Second), Took: took}, nil
}

// ProbeError is why a probe failed, and what to do.
type ProbeError struct{ Reason, Advice string }

func (e *ProbeError) Error() string { return e.Reason }
