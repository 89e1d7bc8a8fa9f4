package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// ProvisionRequest is a CPNS User's request to provision devices. The password
// comes as Hash(Password) (see cpns.HashPassword), which for this protocol is as good as
// the password itself.
type ProvisionRequest struct {
	User         cpns.UserID
	PasswordHash cpns.PasswordHash
	Entities     []cpns.EntityID // no two the same
	Remember     bool            // keep PasswordHash, sealed, and renew sets with it as they run out
	Reassign     bool            // also give a new set to devices under alarm
	Hold         bool            // devices get their first key only while a Window is open; Provision does not wait for it
	Wait         time.Duration   // how long to wait at most for the clock and PSK1, and then again for deliveries
}

// Step is one thing that has happened to one device's request.
type Step struct {
	Entity cpns.EntityID `json:"entity_id"`
	Kind   StepKind      `json:"step"`
	Keys   int           `json:"keys,omitempty"`   // of keys_checked: how many
	Epoch  cpns.Epoch    `json:"epoch,omitempty"`  // of keys_checked and what follows
	Index  cpns.Index    `json:"index,omitempty"`  // of delivered
	Links  []string      `json:"links,omitempty"`  // of waiting: the links that are up
	Link   string        `json:"link,omitempty"`   // of delivered: where
	Detail string        `json:"detail,omitempty"` // for people
}

// StepKind names a step for scripts.
type StepKind string

// The steps, in their order; clock_wait, psk1_wait and device_refused only where
// they happen.
const (
	StepClockWait     StepKind = "clock_wait"     // the router's clock is not set yet
	StepPSKWait       StepKind = "psk1_wait"      // there is no PSK1 yet; Detail says what is waited for
	StepRequestSent   StepKind = "request_sent"   // EUKey Assignment Request
	StepUserAccepted  StepKind = "user_accepted"  // the answer is genuine, its status is Success
	StepKeysChecked   StepKind = "keys_checked"   // every link of the chain holds
	StepSealed        StepKind = "sealed"         // set and TK are in the store
	StepWaiting       StepKind = "waiting"        // for the device's hello
	StepDeviceRefused StepKind = "device_refused" // the device says that it could not take the key, or its hello is not under its Temporary Key
	StepDelivered     StepKind = "delivered"      // the device has proved the key
	StepFailed        StepKind = "failed"         // the last of this device; Detail says why
)

// Outcome is how a device's request ended.
type Outcome struct {
	Entity cpns.EntityID         `json:"entity_id"`
	Result Result                `json:"result"`
	Status cpns.AssignmentStatus `json:"status,omitempty"` // the server's, where it refused
	Detail string                `json:"detail,omitempty"` // what happened, where it is not "delivered"
	Advice string                `json:"advice,omitempty"` // what to do about it

	RetryAfter int64 `json:"retry_after_s,omitempty"` // of unreachable: seconds that the server asked for
}

// Result sums an outcome up.
type Result string

// The results.
const (
	ResultDelivered   Result = "delivered"
	ResultAssigned    Result = "assigned"    // sealed here, not yet delivered
	ResultHeld        Result = "held"        // sealed here, and kept until a Window is open
	ResultRefused     Result = "refused"     // by the server
	ResultUnreachable Result = "unreachable" // the server could not be asked
	ResultFailed      Result = "failed"      // anything else
)

// Provision requests a set for each device, several at a time once the server has
// accepted the password, and then waits for all deliveries together. A key that is not
// delivered by then stays pending, and is sent at the device's next hello. After a
// wrong password, or if the server cannot be reached, nothing is requested for the
// remaining devices. progress is called from this goroutine. The outcomes are in the
// order of r.Entities; the error is ErrStopped or the context's, and sets that have been
// assigned by then stay assigned.
func (a *Agent) Provision(ctx context.Context, r ProvisionRequest, progress func(Step)) ([]Outcome, error) {
	ctx, cancel := a.command(ctx)
	defer cancel()
	p := &provision{
		a: a, r: r, progress: progress,
		news:     make(chan news, 4*len(r.Entities)+16),
		outcomes: make([]Outcome, len(r.Entities)), wanted: map[cpns.EntityID]int{}, unstored: map[cpns.EntityID]error{},
		told: map[refusal]bool{},
	}
	defer a.unwatch(r.Entities, p.news)
	if err := p.assignAll(ctx, cancel); err != nil {
		return p.outcomes, err
	}
	return p.outcomes, p.await(ctx)
}

// assignAll gets the devices' sets. Until the server has accepted the password, it sends
// one request at a time, because ten with a wrong password lock the user.
func (p *provision) assignAll(ctx context.Context, cancel func()) (failure error) {
	late := make(chan struct{})
	defer time.AfterFunc(p.r.Wait, func() { close(late) }).Stop()
	type end struct {
		i int
		o Outcome
	}
	steps, ends := make(chan Step), make(chan end)
	as := &assignments{a: p.a, r: &p.r, progress: func(s Step) { steps <- s }, late: late}
	fail := func(err error) {
		if failure == nil {
			failure = err
		}
		cancel()
	}
	var dead *Outcome // why nothing is requested for further devices
	known := false    // the server has accepted the password
	next, running := 0, 0
	for {
		atOnce := 1
		if known {
			atOnce = maxAsking
		}
		for ; dead == nil && failure == nil && next < len(p.r.Entities) && running < atOnce; next++ {
			running++
			go func(i int) { ends <- end{i, as.assign(ctx, p.r.Entities[i])} }(next)
		}
		if running == 0 {
			break
		}
		select { // ctx need not be looked at: the running requests end with it
		case s := <-steps:
			p.progress(s)
		case e := <-ends:
			running--
			p.outcomes[e.i] = e.o
			if ctx.Err() != nil {
				fail(context.Cause(ctx))
				continue
			}
			known = known || e.o.passwordTaken()
			if e.o.forAll() && dead == nil {
				dead = &e.o
			}
			if err := p.assigned(ctx, e.i); err != nil {
				fail(err)
			}
		case n := <-p.news:
			if err := p.hear(ctx, n); err != nil {
				fail(err)
			}
		}
	}
	for ; failure == nil && next < len(p.r.Entities); next++ {
		p.outcomes[next] = dead.alsoFor(p.r.Entities[next])
		p.progress(Step{Entity: p.r.Entities[next], Kind: StepFailed, Detail: p.outcomes[next].Detail})
	}
	return failure
}

// assigned continues with a device whose request has ended.
func (p *provision) assigned(ctx context.Context, i int) error {
	o := &p.outcomes[i]
	if o.Result != ResultAssigned {
		p.progress(Step{Entity: o.Entity, Kind: StepFailed, Detail: o.Detail})
		return nil
	}
	if p.r.Hold {
		v, err := p.a.Show(ctx, o.Entity)
		if err != nil {
			return err
		}
		if v.Held { // it had a key before where it is not
			o.Result, o.Detail = ResultHeld, v.Note
			return nil
		}
	}
	p.wanted[o.Entity] = i
	return p.offer(ctx, o.Entity)
}

// passwordTaken reports whether the server has authenticated the user.
func (o *Outcome) passwordTaken() bool {
	switch o.Status {
	case cpns.UnknownPNE, cpns.PNEOwnedByAnotherUser:
		return o.Result == ResultRefused
	}
	return o.Result == ResultAssigned
}

// forAll reports whether requests for further devices would fail too, or make things
// worse: ten wrong passwords lock the user.
func (o *Outcome) forAll() bool {
	return o.Result == ResultUnreachable || o.Status == cpns.UserAuthenticationFailed || o.Status == cpns.UserLocked
}

// alsoFor is the outcome of a device for which nothing was requested because of o.
func (o *Outcome) alsoFor(id cpns.EntityID) Outcome {
	n := *o
	n.Entity, n.Detail = id, "not asked for: "+o.Detail
	return n
}

// provision is the state of one call of Provision.
type provision struct {
	a        *Agent
	r        ProvisionRequest
	progress func(Step)
	news     chan news
	outcomes []Outcome
	wanted   map[cpns.EntityID]int // assigned and not delivered yet: place in outcomes
	unstored map[cpns.EntityID]error
	told     map[refusal]bool // refusals that were reported: they are not authenticated, and anybody can repeat them
}

// refusal is a message in a device's name that says that it could not take its key.
type refusal struct {
	id     cpns.EntityID
	status cpns.AckStatus
}

// offer asks the device to say hello, and registers for news of it.
func (p *provision) offer(ctx context.Context, id cpns.EntityID) error {
	var up []string
	for _, l := range p.a.Links() {
		if l.State == transport.Up {
			up = append(up, l.Name)
		}
	}
	s := Step{Entity: id, Kind: StepWaiting, Links: up}
	if len(up) == 0 {
		s.Detail = "no link is up: see pngw links"
	}
	p.progress(s)
	err := p.a.about(ctx, id, func(e *entry, end func(error)) {
		if e != nil {
			e.watchers = append(e.watchers, p.news)
			p.a.step(e, life.AskForHello{}, "", p.a.send) // stores nothing
		}
		end(nil)
	})
	if err != nil {
		return err
	}
	return p.look(ctx, id, false) // the same answer again may be of a set that is long delivered
}

// await waits until every device has its key or time is up.
func (p *provision) await(ctx context.Context) error {
	sweep := time.NewTicker(provisionSweep)
	defer sweep.Stop()
	enough := time.NewTimer(p.r.Wait)
	defer enough.Stop()
	for late := false; len(p.wanted) > 0 && !late; {
		select {
		case n := <-p.news:
			if err := p.hear(ctx, n); err != nil {
				return err
			}
		case <-sweep.C:
			if err := p.sweep(ctx); err != nil {
				return err
			}
		case <-enough.C:
			late = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for id := range p.wanted {
		if err := p.look(ctx, id, true); err != nil {
			return err
		}
	}
	return nil
}

// provisionSweep is how often the devices' states are looked at, because news is only a
// hint, which is dropped if there is too much of it.
const provisionSweep = time.Second

// sweep looks for devices whose outcome was not told as news.
func (p *provision) sweep(ctx context.Context) error {
	var settled []cpns.EntityID
	err := p.a.do(ctx, func() {
		for id := range p.wanted {
			if e := p.a.pnes[id]; e == nil || e.Proved() && !e.Pending() {
				settled = append(settled, id)
			}
		}
	})
	for _, id := range settled {
		err = errors.Join(err, p.look(ctx, id, false))
	}
	return err
}

func (p *provision) hear(ctx context.Context, n news) error {
	if _, ok := p.wanted[n.entity]; !ok {
		return nil
	}
	switch {
	case n.unstored != nil:
		p.unstored[n.entity] = n.unstored
	case n.Kind == life.Delivered || n.Kind == life.Authenticated:
		return p.look(ctx, n.entity, false)
	case n.Kind == life.Refused:
		r := refusal{n.entity, n.Status}
		if p.told[r] {
			return nil
		}
		p.told[r] = true
		p.progress(Step{Entity: n.entity, Kind: StepDeviceRefused, Detail: life.Refusal(n.Status)})
	case n.Kind == life.TagFails:
		v, err := p.a.Show(ctx, n.entity)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		p.progress(Step{Entity: n.entity, Kind: StepDeviceRefused, Detail: v.Note})
	}
	return nil
}

// look takes a device's outcome from its state.
func (p *provision) look(ctx context.Context, id cpns.EntityID, last bool) error {
	v, err := p.a.Show(ctx, id)
	o := &p.outcomes[p.wanted[id]]
	switch {
	case errors.Is(err, fs.ErrNotExist):
		*o = Outcome{Entity: id, Result: ResultFailed, Detail: "it was forgotten while it waited for its key"}
		delete(p.wanted, id)
	case err != nil:
		return err
	case v.Index > 0:
		*o = Outcome{Entity: id, Result: ResultDelivered}
		delete(p.wanted, id)
		p.progress(Step{Entity: id, Kind: StepDelivered, Epoch: v.Epoch, Index: v.Index, Keys: v.Length, Link: v.Link})
	case last && p.unstored[id] != nil:
		o.Detail, o.Advice = unstoredProof(p.unstored[id]), "once it can be, the device gets its key at its next hello"
	case last && v.TagFault != "":
		o.Detail, o.Advice = v.Note, "the server's operator compares the Temporary Key in the factory's list with the server's (cpns-server pne set-tk); see whether there is another device of this name; pngw show tells more"
	case last:
		o.Detail, o.Advice = v.Note, "the device has not answered; it gets its key when it next says hello: switch it on, check its cable or its broker, and see pngw list"
		if v.LastSeen != "" {
			o.Advice = fmt.Sprintf("the device was heard on %s at %s but has not acknowledged its key; it is tried again at its next hello", v.Link, v.LastSeen)
		}
	}
	return nil
}
