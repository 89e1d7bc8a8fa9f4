package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// assignments gets sets of keys from the server into the store, several at the same time.
type assignments struct {
	a        *Agent
	r        *ProvisionRequest // is not changed
	progress func(Step)        // may be called from several goroutines
	late     <-chan struct{}   // closed when the wait for clock and PSK1 is over
}

// assign gets one device's set: clause 7.4.2.1.1.1, the gateway's part of
// 7.4.2.1.1.2, and step 1 of 7.4.2.1.1.3. The outcome is ResultAssigned, or says why not.
func (p *assignments) assign(ctx context.Context, id cpns.EntityID) Outcome {
	o := p.tryAssign(ctx, id)
	p.a.tally.end(&o)
	return o
}

func (p *assignments) tryAssign(ctx context.Context, id cpns.EntityID) Outcome {
	a := p.a
	if o := p.waitForClock(ctx, id); o != nil {
		return *o
	}
	psk, o := p.waitForPSK(ctx, id)
	if o != nil {
		return *o
	}
	defer func() { psk.wipe() }()
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-ctx.Done():
		return failed(id, context.Cause(ctx))
	}
	if err := a.begin(ctx, id, p.r); err != nil {
		return failed(id, err)
	}
	defer a.end(id)

	outcome, err := p.ask(ctx, id, psk)
	if !unknownPSK(err) {
		return outcome
	}
	// The server does not know this key: one other is tried, once.
	next, err := a.psk.refused(ctx, psk)
	if waitsForPSK(err) {
		outcome.Advice = "there is no other: " + err.Error()
	}
	if err != nil || next == nil {
		return outcome
	}
	psk.wipe()
	psk = next
	outcome, _ = p.ask(ctx, id, psk)
	return outcome
}

// unknownPSK reports whether the server refused a request because it could not open it.
func unknownPSK(err error) bool {
	var no *transport.RefusedError
	return errors.As(err, &no) && no.Status == 401
}

// ask sends one request under a PSK1 and takes its answer; the error is the
// server's refusal in plain HTTP, nil where there was none.
func (p *assignments) ask(ctx context.Context, id cpns.EntityID, psk *PSK) (Outcome, error) {
	a := p.a
	now, _ := a.cfg.Clock.Now()
	at := now
	for try := 0; ; try++ {
		req, err := a.request(ctx, id, p.r.User, &p.r.PasswordHash, psk.Identity, psk.Key, at, try == 0)
		if err != nil {
			return failed(id, err), nil
		}
		p.progress(Step{Entity: id, Kind: StepRequestSent})
		begun := time.Now()
		answer, retryAfter, err := a.cfg.Server.Assign(ctx, req.Body)
		if err != nil {
			return a.notAsked(ctx, id, err), err
		}
		resp, err := cpns.OpenResponse(psk.Key, psk.Identity, req.Body, answer)
		if err != nil {
			return Outcome{Entity: id, Result: ResultFailed, Detail: "the server's answer was refused: " + err.Error(),
				Advice: "nothing was changed; give the same command again within 5 minutes and the server answers with the same keys; if it happens again, something between router and server changes what they send, or the server is not this gateway's"}, nil
		}
		a.psk.used(psk)
		a.tally.trip(time.Since(begun))
		if resp.Status == cpns.TimeOutOfWindow && try == 0 {
			at = clock(resp.ServerTime)
			continue
		}
		if resp.Status != cpns.Success {
			return a.refusedBy(ctx, id, resp, retryAfter, now), nil
		}
		return p.take(ctx, id, resp, now), nil
	}
}

// waitForPSK holds a request back while there is no PSK1.
func (p *assignments) waitForPSK(ctx context.Context, id cpns.EntityID) (*PSK, *Outcome) {
	tick := time.NewTicker(pskTick)
	defer tick.Stop()
	for told := ""; ; {
		psk, err := p.a.psk.get(ctx)
		switch {
		case err == nil:
			return psk, nil
		case ctx.Err() != nil:
			o := failed(id, context.Cause(ctx))
			return nil, &o
		case !waitsForPSK(err):
			o := failed(id, fmt.Errorf("getting PSK1: %w", err))
			return nil, &o
		case told != "" && p.isLate():
			o := noPSK(id, err)
			return nil, &o
		case told != err.Error():
			told = err.Error()
			p.progress(Step{Entity: id, Kind: StepPSKWait, Detail: told})
		}
		select {
		case <-tick.C:
		case <-p.late:
		case <-ctx.Done():
		}
	}
}

// isLate reports whether the wait for clock and PSK1 is over.
func (p *assignments) isLate() bool {
	select {
	case <-p.late:
		return true
	default:
		return false
	}
}

// pskTick is how often a request that waits for PSK1 looks again: each look may ask
// the server.
const pskTick = 5 * time.Second

// waitForClock holds a request back while the router does not know the time:
// TLS would fail first, and then the server.
func (p *assignments) waitForClock(ctx context.Context, id cpns.EntityID) *Outcome {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for told := false; ; told = true {
		now, set := p.a.cfg.Clock.Now()
		if set {
			return nil
		}
		detail := "the router's clock says " + life.Stamp(now) + ", which is in the past: waiting for NTP"
		if told && p.isLate() {
			return &Outcome{Entity: id, Result: ResultUnreachable, Detail: "clock not set: " + detail, Advice: "let the router reach a time server (or set its clock) and give the command again; nothing was sent"}
		}
		if !told {
			p.progress(Step{Entity: id, Kind: StepClockWait, Detail: detail})
		}
		select {
		case <-tick.C:
		case <-p.late:
		case <-ctx.Done():
			o := failed(id, ctx.Err())
			return &o
		}
	}
}

// begin reserves the device for one request at a time.
func (a *Agent) begin(ctx context.Context, id cpns.EntityID, r *ProvisionRequest) error {
	var err error
	doErr := a.do(ctx, func() {
		e := a.pnes[id]
		switch {
		case a.faults[string(id)] != "":
			err = fmt.Errorf("%w; pngw forget removes it, and with it what the device was last given", a.unknown(id))
		case e == nil:
			a.enter(life.New(id, r.User)).busy = true
		case e.busy:
			err = fmt.Errorf("%s: another command is requesting keys for it right now", id)
		case e.View().State == StateAlarm && !r.Reassign:
			err = fmt.Errorf("%s is under alarm (%s): pngw resolve takes it in again", id, e.View().Note)
		default:
			e.busy = true
		}
	})
	return errors.Join(doErr, err)
}

func (a *Agent) end(id cpns.EntityID) {
	_ = a.about(context.Background(), id, func(e *entry, end func(error)) { // fails only once nobody is served any more
		defer end(nil)
		if e == nil {
			return
		}
		e.busy = false
		if e.Empty() {
			a.due.none(e)
			a.uncount(e)
			delete(a.pnes, id)
		}
	})
}

// request makes the EUKey Assignment Request, and stores it before it is sent. If an
// earlier command of the same user with the same password got no answer, request returns
// the stored one, which the server answers with the same set. Storing it first also
// shows that the store can be written before the server is asked.
func (a *Agent) request(ctx context.Context, id cpns.EntityID, user cpns.UserID, h *cpns.PasswordHash, identity cpns.PSKIdentity, psk cpns.PSK1, at time.Time, reuse bool) (*life.Request, error) {
	now, _ := a.cfg.Clock.Now()
	r := &life.Request{User: user, Time: uint64(at.Unix()), Made: now.Unix()}
	var iv [cpns.IVSize]byte
	rand.Read(r.Rand[:]) // clause 7.4.2.1.1.1 step 2
	rand.Read(iv[:])
	r.AuthData = cpns.UserAuthenticationData(h, &r.Rand, r.Time) // step 3
	err := a.about(ctx, id, func(e *entry, end func(error)) {
		if e == nil {
			end(a.unknown(id))
			return
		}
		if old := e.Request(); reuse && old.Repeats(user, h, identity, now) {
			r = old
			end(nil)
			return
		}
		hello := e.hello
		if hello == nil {
			hello = a.found.latest(id)
		}
		var err error
		r.Body, err = cpns.SealRequest(psk, identity, iv, &cpns.EUKeyAssignmentRequest{ // step 4
			EntityID: id, UserID: user, RandPNGW: r.Rand, Time: r.Time, UserAuthenticationData: r.AuthData, PNEHello: hello,
		})
		if err != nil {
			end(err)
			return
		}
		a.step(e, life.Requested{R: r}, "", func(_ []life.Outgoing, err error) {
			if err != nil {
				err = fmt.Errorf("nothing was sent, because the keys could not be stored: %w", err)
			}
			end(err)
		})
	})
	return r, err
}

// take handles a good answer: it stores the set, and then reports it.
func (p *assignments) take(ctx context.Context, id cpns.EntityID, resp *cpns.EUKeyAssignmentResponse, now time.Time) Outcome {
	n := len(resp.EUKeys)
	// Use the earlier of the two clocks: whichever of them is ahead, that moment has
	// certainly passed. A time in the future would make the router distrust its own
	// clock from then on.
	passed := now
	if server := clock(resp.ServerTime); server.Before(now) {
		passed = server
	}
	t := &life.Set{Gateway: p.a.cfg.Gateway, Epoch: resp.Epoch, Length: cpns.Index(n), Last: resp.EUKeys[n-1], TK: resp.TK, Taken: passed.Unix()}
	clear(resp.EUKeys)
	p.progress(Step{Entity: id, Kind: StepUserAccepted})
	p.progress(Step{Entity: id, Kind: StepKeysChecked, Keys: n, Epoch: t.Epoch})
	var old error
	err := p.a.about(ctx, id, func(e *entry, end func(error)) {
		if e == nil {
			end(p.a.unknown(id))
			return
		}
		if old = e.Refuses(t); old != nil {
			// Sending the same request again would bring the same set.
			p.a.step(e, life.Abandoned{}, "", func(_ []life.Outgoing, err error) { end(err) })
			return
		}
		ev := life.Assigned{User: p.r.User, Set: t, Reassign: p.r.Reassign, Hold: p.r.Hold}
		if p.r.Remember {
			h := p.r.PasswordHash
			ev.Remember = &h
		}
		p.a.step(e, ev, "", func(_ []life.Outgoing, err error) {
			if err == nil {
				p.a.found.forget(id)
				if e.hello != nil && !e.CanBeOf(e.hello) { // not from the PNE; without its TK that could not be seen before
					e.hello = nil
				}
				p.a.observe(EventAssigned, e, "")
			}
			end(err)
		})
	})
	if old != nil {
		return Outcome{Entity: id, Result: ResultFailed, Detail: old.Error(),
			Advice: "the server has gone back, as after the restore of an older backup, or its clock has: its operator can mend that; nothing was changed here, and the device goes on with the keys that it has"}
	}
	if err != nil {
		return Outcome{Entity: id, Result: ResultFailed, Detail: "the keys came but could not be stored: " + err.Error(),
			Advice: "make room or make the store writable, then give the same command again within 5 minutes: the server answers with the same keys"}
	}
	p.a.cfg.Clock.Raise(passed)
	p.progress(Step{Entity: id, Kind: StepSealed, Epoch: t.Epoch})
	return Outcome{Entity: id, Result: ResultAssigned}
}

// notAsked is the outcome if the server itself sent no answer. The request stays stored
// if the server may have seen it.
func (a *Agent) notAsked(ctx context.Context, id cpns.EntityID, err error) Outcome {
	var gone *transport.UnreachableError
	var no *transport.RefusedError
	switch {
	case errors.As(err, &gone):
		return Outcome{Entity: id, Result: ResultUnreachable, Detail: err.Error(), Advice: gone.Advice}
	case !errors.As(err, &no):
		return failed(id, err)
	case no.Status == 429 || no.Status >= 500:
		return Outcome{Entity: id, Result: ResultUnreachable, Detail: err.Error(), Advice: "the server is there but cannot answer now" + later(no.RetryAfter), RetryAfter: int64(no.RetryAfter / time.Second)}
	}
	a.abandon(ctx, id)
	advice := "the server does not take this gateway's requests: compare versions of gateway and server"
	if no.Status == 401 {
		advice = "the server does not know this gateway's PSK1: compare id, psk_identity and psk_file with what cpns-server gateway list shows"
		if a.cfg.PSK.Name() == "gba" {
			advice = "the server does not take the SIM's PSK1: compare gba_ua and the host name in server with its --ua and --naf-host, and the SIM's IMPI with the gateway's --impi there"
		}
	}
	return Outcome{Entity: id, Result: ResultRefused, Detail: err.Error(), Advice: advice}
}

// refusedBy is the outcome if the server answered with a status that refuses the request.
func (a *Agent) refusedBy(ctx context.Context, id cpns.EntityID, resp *cpns.EUKeyAssignmentResponse, retryAfter time.Duration, now time.Time) Outcome {
	a.abandon(ctx, id)
	o := Outcome{Entity: id, Result: ResultRefused, Status: resp.Status}
	switch resp.Status {
	case cpns.UserAuthenticationFailed:
		o.Detail, o.Advice = "the server does not know this user with this password", "check the user name and type the password again"
	case cpns.TimeOutOfWindow:
		o.Detail = "the router's clock and the server's differ by more than 5 minutes"
		o.Advice = fmt.Sprintf("the router's clock says %s, the server's %s: let the router reach a time server", life.Stamp(now), life.Stamp(clock(resp.ServerTime)))
	case cpns.UnknownPNE:
		o.Detail, o.Advice = "the server knows no Temporary Key for this device", "check the Entity ID on the device's label; the server's operator adds devices with cpns-server pne import"
	case cpns.PNEOwnedByAnotherUser:
		o.Detail = "the device belongs to another user, or the server's rule for devices without an owner forbids it"
		o.Advice = "its owner, or the server's operator, must release it first (cpns-server pne release); cpns-server audit shows which of the two it is, and where the rule is that the device is heard first, switch it on and give the command again"
	case cpns.UserLocked:
		o.Detail, o.Advice = "the user is locked at this gateway after too many wrong passwords", "the password was not looked at"+later(retryAfter)
	default:
		o.Detail, o.Advice = "the server refused: "+resp.Status.String(), "give the command again"
	}
	return o
}

// abandon drops a request that the server has refused, so that it is not sent again.
func (a *Agent) abandon(ctx context.Context, id cpns.EntityID) {
	_ = a.about(ctx, id, func(e *entry, end func(error)) { // written has logged why not; it is refused again then
		if e == nil || e.Request() == nil {
			end(nil)
			return
		}
		a.step(e, life.Abandoned{}, "", func(_ []life.Outgoing, err error) { end(err) })
	})
}

// clock is a server's time, within what a time.Time prints.
func clock(unix uint64) time.Time { return time.Unix(int64(min(unix, 1<<37)), 0) }

func failed(id cpns.EntityID, err error) Outcome {
	return Outcome{Entity: id, Result: ResultFailed, Detail: err.Error()}
}

func later(d time.Duration) string {
	if d <= 0 {
		return ": try again later"
	}
	return fmt.Sprintf(": try again in %s", d.Round(time.Second))
}
