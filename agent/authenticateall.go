package agent

import (
	"context"
	"slices"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

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
	ProofAlarm         ProofResult = "alarm"         // an older key was proved
	ProofNoAnswer      ProofResult = "no_answer"     // after every repeat
	ProofNotDelivered  ProofResult = "not_delivered" // the PNE has proved no key yet
	ProofFailed        ProofResult = "failed"        // the store could not be written, or it was forgotten
)

// maxChallenges bounds the authentications of one command that wait for an
// answer at once, so that a thousand devices do not speak all together.
const maxChallenges = 16

// Authenticate has each of the PNEs prove its key, and moves it on to the next;
// no ids means every PNE. Results come as they are known, through done, which
// is called from this goroutine. An id that nobody asked for is an error before
// anything is sent.
func (a *Agent) Authenticate(ctx context.Context, ids []cpns.EntityID, done func(Proof)) error {
	ids, err := a.known(ctx, ids)
	if err != nil {
		return err
	}
	heard := make(chan news, 4*maxChallenges)
	under, storeErrs := map[cpns.EntityID]bool{}, map[cpns.EntityID]error{}
	defer a.unwatch(ids, heard)
	for len(ids) > 0 || len(under) > 0 {
		for len(ids) > 0 && len(under) < maxChallenges {
			id := ids[0]
			ids = ids[1:]
			p, err := a.beginProof(ctx, id, heard)
			switch {
			case err != nil:
				return err
			case p != nil:
				done(*p)
			default:
				under[id] = true
			}
		}
		if len(under) == 0 {
			continue
		}
		select {
		case n := <-heard:
			if !under[n.entity] {
				continue
			}
			if n.unstored != nil { // the store may work again by the next repeat
				storeErrs[n.entity] = n.unstored
				continue
			}
			if p := a.proofOf(ctx, n, storeErrs[n.entity]); p != nil {
				a.unwatch([]cpns.EntityID{n.entity}, heard)
				delete(under, n.entity)
				done(*p)
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-a.stopped:
			return ErrStopped
		}
	}
	return nil
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

// beginProof starts one authentication; a Proof says that it has ended already.
func (a *Agent) beginProof(ctx context.Context, id cpns.EntityID, heard chan<- news) (*Proof, error) {
	var p *Proof
	err := a.do(ctx, func() {
		e := a.pnes[id]
		if e == nil {
			p = &Proof{Entity: id, Result: ProofFailed, Detail: a.unknown(id).Error()}
			return
		}
		v := e.View()
		switch {
		case v.State == StateAlarm:
			p = &Proof{id, ProofAlarm, v.Epoch, v.Index, v.Note}
		case !e.Proved():
			p = &Proof{id, ProofNotDelivered, v.Epoch, 0, "the device has proved no key yet: it gets its first at its next hello"}
		default:
			e.watchers = append(e.watchers, heard)
			out, _ := a.apply(e, life.Authenticate{}, nil) // stores nothing
			a.dispatch(out)
		}
	})
	return p, err
}

// proofOf is what a piece of news says of an authentication under way, nil for
// nothing yet. storeErr is why an answer to it could not be stored.
func (a *Agent) proofOf(ctx context.Context, n news, storeErr error) *Proof {
	v, err := a.Show(ctx, n.entity)
	p := &Proof{Entity: n.entity, Epoch: v.Epoch, Index: v.Index, Detail: v.Note}
	switch {
	case err != nil:
		p.Result, p.Detail = ProofFailed, err.Error()
	case n.Kind == life.Authenticated:
		p.Result = ProofAuthenticated
	case n.Kind == life.Alarmed:
		p.Result = ProofAlarm
	case n.Kind == life.Unanswered && storeErr != nil:
		p.Result, p.Detail = ProofFailed, unstoredProof(storeErr)
	case n.Kind == life.Unanswered:
		p.Result = ProofNoAnswer
		if p.Detail == "" {
			p.Detail = "the device has not answered: is it switched on and on its link?"
		}
	default:
		return nil
	}
	return p
}

// unstoredProof says why an answer of a device changed nothing.
func unstoredProof(err error) string {
	return "the device has answered, but that could not be stored: " + err.Error()
}

// unwatch takes a channel off the PNEs.
func (a *Agent) unwatch(ids []cpns.EntityID, c chan<- news) {
	_ = a.do(context.Background(), func() { // fails only once nobody can tell any more
		for _, id := range ids {
			if e := a.pnes[id]; e != nil {
				e.watchers = slices.DeleteFunc(e.watchers, func(w chan<- news) bool { return w == c })
			}
		}
	})
}
