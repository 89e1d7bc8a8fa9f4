package agent

import (
	"context"
	"math/rand/v2"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// Renewal of a set that runs out, for users who let the gateway keep their
// Hash(Password). A failure is tried again after renewFirst, doubling up to
// renewLast, with jitter: a server that is down is not asked more often for it.
const (
	renewTick  = time.Minute
	renewFirst = 5 * time.Minute
	renewLast  = 24 * time.Hour
)

// renewal is when a PNE's set may be renewed next, in Run's goroutine's hands.
type renewal struct {
	after time.Time
	wait  time.Duration
}

func (r *renewal) failed(now time.Time) {
	r.wait = min(max(2*r.wait, renewFirst), renewLast)
	r.after = now.Add(r.wait/2 + rand.N(r.wait))
}

// renew asks for new sets one after the other, as long as ctx lasts.
func (a *Agent) renew(ctx context.Context) {
	tick := time.NewTicker(a.renewTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for ctx.Err() == nil {
			id, r := a.nextRenewal(ctx)
			if id == "" {
				break
			}
			a.renewOne(ctx, id, r)
		}
	}
}

// nextRenewal picks a PNE whose set runs out and whose user is remembered.
func (a *Agent) nextRenewal(ctx context.Context) (id cpns.EntityID, r ProvisionRequest) {
	_ = a.do(ctx, func() { // fails only when Run ends
		for _, e := range a.pnes {
			user, hash, wanted := e.Renewal()
			if !wanted || e.busy || time.Now().Before(e.renewal.after) {
				continue
			}
			id, r = e.Entity(), ProvisionRequest{User: user, PasswordHash: *hash, Remember: true}
			return
		}
	})
	return id, r
}

func (a *Agent) renewOne(ctx context.Context, id cpns.EntityID, r ProvisionRequest) {
	late := make(chan struct{})
	close(late)
	p := &assignments{a: a, r: &r, progress: func(Step) {}, late: late}
	o := p.assign(ctx, id)
	if ctx.Err() != nil {
		return
	}
	_ = a.about(ctx, id, func(e *entry, end func(error)) {
		switch {
		case e == nil:
			end(nil)
			return
		case o.Result == ResultAssigned:
			a.log.Info("set renewed", "entity_id", id)
			e.renewal = renewal{}
			a.step(e, life.AskForHello{}, "", a.send) // stores nothing
			end(nil)
			return
		}
		e.renewal.failed(time.Now())
		a.log.Warn("set not renewed", "entity_id", id, "reason", o.Detail, "advice", o.Advice, "next", e.renewal.after)
		if o.Status != cpns.UserAuthenticationFailed {
			end(nil)
			return
		}
		// Trying again would only lock the user out.
		a.step(e, life.ForgetPassword{}, "", func(_ []life.Outgoing, err error) { end(err) })
	})
}
