package agent

import (
	"context"
	"slices"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// AuthenticateRequest is a person's request that PNEs prove their keys and move on.
type AuthenticateRequest struct {
	Entities []cpns.EntityID // none are all of them
	// Wait is how long to wait for each PNE at most, from when it is asked; 0 means
	// as long as all repeats of challenge and update take on its link.
	Wait time.Duration
}

// Proof is how a mutual authentication that a person asked for ended.
type Proof struct {
	Entity cpns.EntityID `json:"entity_id"`
	Result ProofResult   `json:"result"`
	Epoch  cpns.Epoch    `json:"epoch,omitempty"`
	Index  cpns.Index    `json:"index,omitempty"`
	Detail string        `json:"detail,omitempty"` // for people, where it is not "authenticated"
}

// ProofResult sums a Proof up.
type ProofResult string

// The results of an authentication.
const (
	ProofAuthenticated ProofResult = "authenticated" // and moved on, unless the set is used up
	ProofDelivered     ProofResult = "delivered"     // it took a key instead: of a newer set, or after a readmission
	ProofAlarm         ProofResult = "alarm"         // an older key was proved
	ProofNoAnswer      ProofResult = "no_answer"     // after every repeat, or at the end of Wait
	ProofNotDelivered  ProofResult = "not_delivered" // the PNE has proved no key yet
	ProofFailed        ProofResult = "failed"        // the store could not be written, or it was forgotten
)

// Authenticate makes each of the PNEs prove its key, and moves it on to the next one.
// All are asked concurrently, as fast as their links allow, so that absent PNEs do not
// delay others. done is called from this goroutine with each result as soon as it is
// known; each PNE gets one, by its deadline at the latest. If one of the ids has not
// been provisioned, the error is returned before anything is sent; otherwise the error
// is ErrStopped or the context's.
func (a *Agent) Authenticate(ctx context.Context, r AuthenticateRequest, done func(Proof)) error {
	ctx, cancel := a.command(ctx)
	defer cancel()
	ids, err := a.known(ctx, r.Entities)
	if err != nil {
		return err
	}
	t := &trials{a: a, wait: r.Wait, done: done, heard: make(chan news, 256), open: map[cpns.EntityID]*trial{}}
	defer a.unwatch(ids, t.heard)
	return t.run(ctx, ids)
}

// known checks the ids, or lists them all where there are none.
func (a *Agent) known(ctx context.Context, ids []cpns.EntityID) ([]cpns.EntityID, error) {
	if len(ids) > 0 {
		for _, id := range ids {
			if _, err := a.Show(ctx, id); err != nil {
				return nil, err
			}
		}
		return ids, nil
	}
	list, err := a.List(ctx)
	for _, p := range list {
		ids = append(ids, p.Entity)
	}
	return ids, err
}

// trials are the authentications of one command.
type trials struct {
	a     *Agent
	wait  time.Duration
	done  func(Proof)
	heard chan news // only a hint: if news is dropped, sweep finds the result
	open  map[cpns.EntityID]*trial
}

// trial is one PNE's, from when it is asked.
type trial struct {
	ends   time.Time
	before ended // what had ended before
	epoch  cpns.Epoch
	index  cpns.Index
	stored error // why an answer of it could not be stored
}

// ended counts how a PNE's authentications have ended.
type ended struct{ well, vain int }

const (
	trialsAtOnce = 32                    // started in one turn of the loop
	trialsPause  = 10 * time.Millisecond // before a busy link is looked at again
	sweepPause   = 250 * time.Millisecond
)

func (t *trials) run(ctx context.Context, ids []cpns.EntityID) error {
	ids = slices.Clone(ids)
	begin := time.NewTimer(0)
	defer begin.Stop()
	sweep := time.NewTicker(sweepPause)
	defer sweep.Stop()
	for len(ids) > 0 || len(t.open) > 0 {
		var err error
		select {
		case <-begin.C:
			if ids, err = t.begin(ctx, ids); len(ids) > 0 {
				begin.Reset(trialsPause)
			}
		case n := <-t.heard:
			err = t.look(ctx, t.hear(n))
			if err == nil && len(ids) > 0 { // a PNE that has answered makes room on its link
				ids, err = t.begin(ctx, ids)
			}
		case <-sweep.C:
			err = t.sweep(ctx)
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hear returns the PNEs that n, and all other news that is waiting, are about.
func (t *trials) hear(n news) (ids []cpns.EntityID) {
	for {
		if o := t.open[n.entity]; o != nil {
			if n.unstored != nil { // the store may work again by the next repeat
				o.stored = n.unstored
			}
			ids = append(ids, n.entity)
		}
		select {
		case n = <-t.heard:
		default:
			return ids
		}
	}
}

// begin asks the next few PNEs whose links have room. It returns those that are left,
// with the PNEs whose links had no room at the end.
func (t *trials) begin(ctx context.Context, ids []cpns.EntityID) ([]cpns.EntityID, error) {
	var over []Proof
	err := t.a.do(ctx, func() {
		for range min(trialsAtOnce, len(ids)) {
			id := ids[0]
			ids = ids[1:]
			switch p, ok := t.beginOne(id); {
			case !ok:
				ids = append(ids, id)
			case p != nil:
				over = append(over, *p)
			}
		}
	})
	for _, p := range over {
		t.done(p)
	}
	return ids, err
}

// beginOne starts one authentication. A Proof means that it has already ended; ok is
// false if it cannot be started now, or the PNE's link has no room.
func (t *trials) beginOne(id cpns.EntityID) (p *Proof, ok bool) {
	a, e := t.a, t.a.pnes[id]
	if e == nil {
		return &Proof{Entity: id, Result: ProofFailed, Detail: a.unknown(id).Error()}, true
	}
	if e.held() || !a.room(e.Link()) {
		return nil, false
	}
	v := e.View()
	switch {
	case v.State == StateAlarm:
		return &Proof{id, ProofAlarm, v.Epoch, v.Index, v.Note}, true
	case !e.Proved():
		return &Proof{id, ProofNotDelivered, v.Epoch, 0, "the device has proved no key yet: it gets its first at its next hello"}, true
	}
	wait := t.wait
	if wait <= 0 {
		wait = allRepeats(a.wait(v.Link) + a.line(v.Link))
	}
	t.open[id] = &trial{ends: time.Now().Add(wait), before: e.ended, epoch: v.Epoch, index: v.Index}
	e.watchers = append(e.watchers, t.heard)
	a.step(e, life.Authenticate{}, "", a.send) // stores nothing
	return nil, true
}

// allRepeats is how long challenge and update take if each is answered at the last
// moment: five sends each, with waits that double and are up to a quarter longer.
func allRepeats(first time.Duration) time.Duration { return 2 * 31 * first * 5 / 4 }

// room reports whether the link named has room for another exchange. For a PNE that has
// not been heard, it reports whether any link has.
func (a *Agent) room(link string) bool {
	for _, p := range a.ports {
		if (link == "" || link == p.link.Name()) && p.room() {
			return true
		}
	}
	return len(a.ports) == 0
}

// sweep looks at all open trials, because news of one may have been dropped, and some
// results, such as a timeout, are not told as news.
func (t *trials) sweep(ctx context.Context) error {
	ids := make([]cpns.EntityID, 0, len(t.open))
	for id := range t.open {
		ids = append(ids, id)
	}
	for part := range slices.Chunk(ids, 256) { // lets other commands run in between
		if err := t.look(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// look finds the results of PNEs from their states.
func (t *trials) look(ctx context.Context, ids []cpns.EntityID) error {
	var over []Proof
	err := t.a.do(ctx, func() {
		now := time.Now()
		for _, id := range ids {
			if t.open[id] == nil {
				continue // heard of twice
			}
			if p := t.result(id, now); p != nil {
				over = append(over, *p)
				delete(t.open, id)
				t.a.unwatchOne(id, t.heard)
			}
		}
	})
	for _, p := range over {
		t.done(p)
	}
	return err
}

// result is a PNE's result, nil if there is none yet.
func (t *trials) result(id cpns.EntityID, now time.Time) *Proof {
	o, e := t.open[id], t.a.pnes[id]
	if e == nil {
		return &Proof{Entity: id, Result: ProofFailed, Detail: t.a.unknown(id).Error()}
	}
	v := e.View()
	p := &Proof{Entity: id, Epoch: v.Epoch, Index: v.Index, Detail: v.Note}
	given := now.After(o.ends) || e.ended.vain != o.before.vain // up
	switch {
	case v.State == StateAlarm:
		p.Result = ProofAlarm
	case e.ended.well != o.before.well:
		p.Result = ProofAuthenticated
	case v.Epoch != o.epoch && v.Index > 0, given && v.Index > o.index:
		p.Result, p.Detail = ProofDelivered, "the device took a key instead of proving one: authenticate it again"
	case given && o.stored != nil:
		p.Result, p.Detail = ProofFailed, unstoredProof(o.stored)
	case given:
		p.Result = ProofNoAnswer
		if p.Detail == "" {
			p.Detail = "the device has not answered: is it switched on and on its link?"
		}
	default:
		return nil
	}
	return p
}

// unstoredProof is the result if a device's answer could not be stored.
func unstoredProof(err error) string {
	return "the device has answered, but that could not be stored: " + err.Error()
}

// unwatch removes the channel from the PNEs' watchers.
func (a *Agent) unwatch(ids []cpns.EntityID, c chan<- news) {
	_ = a.do(context.Background(), func() { // fails only once nobody can tell any more
		for _, id := range ids {
			a.unwatchOne(id, c)
		}
	})
}

func (a *Agent) unwatchOne(id cpns.EntityID, c chan<- news) {
	if e := a.pnes[id]; e != nil {
		e.watchers = slices.DeleteFunc(e.watchers, func(w chan<- news) bool { return w == c })
	}
}
