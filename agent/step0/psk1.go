package step0

import (
	"context"
	"crypto/hmac"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

// NotEnrolled is what a gateway waits for that has no PSK1 and no server to get one from.
const NotEnrolled = "not enrolled: pngw enrol CODE, or bring psk1"

const (
	minLifetime = time.Minute
	maxLifetime = 365 * 24 * time.Hour
)

// psk1JSON is the server's answer.
type psk1JSON struct {
	Identity     string   `json:"identity"`
	Lifetime     int64    `json:"lifetime"` // seconds
	Confirmation string   `json:"confirmation"`
	Pins         []string `json:"pins"`
}

// Name is part of agent.PSKSource.
func (*Enroller) Name() string { return "tls" }

// PSK1 is part of agent.PSKSource: it agrees on a key with the server.
func (e *Enroller) PSK1(ctx context.Context) (*agent.PSK, error) {
	e.mu.Lock()
	r, until, why := e.record, e.held, e.heldWhy
	e.mu.Unlock()
	if r == nil || r.enrolled == nil {
		return nil, &agent.PSKWaitError{Reason: NotEnrolled}
	}
	if e.now().Before(until) && until.Sub(e.now()) <= maxRetry {
		return nil, why
	}
	cert, fp, err := r.keys.open()
	if err != nil {
		return nil, err
	}
	server := r.enrolled.Server
	ctx, cancel := context.WithTimeout(ctx, exchanging)
	defer cancel()
	a, err := e.cfg.Exchange(ctx, Question{Server: server, Pins: r.enrolled.Pins, Certificate: cert, Path: cpns.PSK1Path})
	if err != nil {
		return nil, &agent.PSKWaitError{Reason: "the server did not give a PSK1: " + noAnswer(err)}
	}
	if a.Status != http.StatusOK {
		err := refusedPSK1(a, server, fp)
		e.hold(a.RetryAfter, err)
		return nil, err
	}
	psk, pins, err := e.readPSK1(a, server, fp)
	if err != nil {
		return nil, err
	}
	if err := e.replacePins(r, pins); err != nil {
		e.log.Error("the server's new pins could not be kept", "reason", err) // the next answer has them again
	}
	return psk, nil
}

// readPSK1 makes the key of the connection that carried the answer, and compares what
// the server shows of it.
func (e *Enroller) readPSK1(a *Answer, server string, fp cpns.SPKIHash) (*agent.PSK, []cpns.Pin, error) {
	fault := func(err error) error {
		return &agent.PSKWaitError{Reason: server + " gave no usable PSK1", Err: err}
	}
	var in psk1JSON
	if err := a.decode(&in); err != nil {
		return nil, nil, fault(err)
	}
	id, err := cpns.ParsePSKIdentity(in.Identity)
	if err != nil {
		return nil, nil, fault(err)
	}
	if in.Lifetime < int64(minLifetime/time.Second) || in.Lifetime > int64(maxLifetime/time.Second) {
		return nil, nil, fault(fmt.Errorf("a lifetime of %d s", in.Lifetime))
	}
	shown, err := cpns.Base64.DecodeString(in.Confirmation)
	if err != nil {
		return nil, nil, fault(fmt.Errorf("a confirmation that is not base64url"))
	}
	var pins []cpns.Pin
	if len(in.Pins) > 0 {
		if pins, err = parsePins(in.Pins); err != nil {
			return nil, nil, fault(err)
		}
	}
	exported, err := a.Export(cpns.ExporterPSK1, cpns.PSK1Context(fp, id), cpns.ExporterSize)
	if err != nil {
		return nil, nil, fault(err)
	}
	psk := cpns.PSK1(exported)
	want := cpns.Confirmation(psk, id)
	if !hmac.Equal(want[:], shown) {
		clear(psk)
		return nil, nil, middle(server, "its PSK1 is not the one of this connection")
	}
	now, lifetime := e.now(), time.Duration(in.Lifetime)*time.Second
	// Around two thirds, so that those who came together do not come together again.
	renew := lifetime*3/5 + rand.N(lifetime*2/15)
	return &agent.PSK{Identity: id, Key: psk, Until: now.Add(lifetime), Renew: now.Add(renew)}, pins, nil
}

// refusedPSK1 says in words why there is none.
func refusedPSK1(a *Answer, server string, fp cpns.SPKIHash) error {
	wait := func(format string, args ...any) error {
		return &agent.PSKWaitError{Reason: fmt.Sprintf(format, args...)}
	}
	switch p := a.problem(); {
	case a.Status == http.StatusForbidden && p.Type == cpns.ProblemGatewayPending:
		return wait("waiting for the operator of %s to approve this gateway, fingerprint %s", server, fp.Fingerprint())
	case a.Status == http.StatusForbidden && p.Type == cpns.ProblemGatewayRemoved:
		return wait("the operator of %s has removed this gateway, fingerprint %s", server, fp.Fingerprint())
	case a.Status == http.StatusForbidden && p.Type == cpns.ProblemGatewayUnknown:
		return wait("%s does not know this gateway, fingerprint %s: pngw enrol CODE", server, fp.Fingerprint())
	case a.Status == http.StatusTooManyRequests:
		return wait("%s asks to wait: too many requests", server)
	}
	return a.unusual(server)
}

// hold keeps the source from asking before the server wants to be asked.
func (e *Enroller) hold(d time.Duration, why error) {
	if d <= 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held, e.heldWhy = e.now().Add(min(d, maxRetry)), why
}

// replacePins keeps pins that the server has given anew, unless the gateway has moved
// meanwhile.
func (e *Enroller) replacePins(asked *record, pins []cpns.Pin) error {
	e.change.Lock()
	defer e.change.Unlock()
	r := e.current()
	if len(pins) == 0 || r.enrolled == nil || r.enrolled.Server != asked.enrolled.Server || slices.Equal(pins, r.enrolled.Pins) {
		return nil
	}
	next, enrolled := *r, *r.enrolled
	enrolled.Pins = pins
	next.enrolled = &enrolled
	return e.keep(&next)
}
