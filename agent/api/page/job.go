package page

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

// A job takes devices in. It is the agent's, not the phone's that asked for it: it goes
// on when that one sleeps, and whoever is logged in sees it. It lasts until the agent
// ends; what was assigned until then is in the store, and is delivered after.
type job struct {
	id    string
	user  cpns.UserID
	who   string // asked for it
	items []item
	n     int // jobs are in this order
	seq   int // of the latest change
	ended time.Time
}

// An item is a device of a job, and how far it is.
type item struct {
	Entity cpns.EntityID  `json:"entity_id"`
	Steps  []agent.Step   `json:"steps,omitempty"`
	End    *agent.Outcome `json:"end,omitempty"`
	Line   int            `json:"line,omitempty"` // of a table
	Label  string         `json:"label,omitempty"`

	seq int // when it changed
}

func (it *item) tell(s agent.Step) {
	if len(it.Steps) < maxSteps {
		it.Steps = append(it.Steps, s)
	}
}

// Bounds of what is kept.
const (
	maxJobs  = 32
	maxSteps = 24               // of a device; more are not told
	jobWait  = 15 * time.Minute // for the devices; what is not delivered by then is at its next hello
	jobKept  = 2 * time.Hour    // after its end
)

// A conflict is why a job is not begun.
type conflict struct {
	Text   string        `json:"error"`
	Code   string        `json:"code"` // for the page: "busy", "has", "jobs"
	Entity cpns.EntityID `json:"entity_id,omitempty"`
}

func (c *conflict) Error() string { return c.Text }

var errJobs = &conflict{fmt.Sprintf("%d jobs are under way: wait until one has ended", maxJobs), "jobs", ""}

// begin begins a job. One that was begun under this id is that one: a phone that had no
// answer asks again. again says that devices which have their keys are meant.
func (p *Page) begin(ctx context.Context, who, id string, r agent.ProvisionRequest, again bool) error {
	if p.known(id) {
		return nil
	}
	if err := p.busy(r.Entities); err != nil {
		return err
	}
	for _, e := range r.Entities {
		v, err := p.agent.Show(ctx, e)
		switch {
		case errors.Is(err, fs.ErrNotExist), again:
		case err != nil:
			return err
		case v.State == agent.StateDelivered || v.State == agent.StateAssigned && !v.Pending:
			return &conflict{fmt.Sprintf("%s has its keys already", e), "has", e}
		case v.State == agent.StateAssigned:
			return &conflict{fmt.Sprintf("%s waits for its key, which is here: it gets it when it says hello", e), "has", e}
		}
	}
	if err := p.busy(r.Entities); err != nil { // since then
		return err
	}
	j := &job{id: id, user: r.User, who: who, items: make([]item, len(r.Entities))}
	for i, e := range r.Entities {
		j.items[i].Entity = e
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs[id] != nil {
		return nil
	}
	if !p.enter(j) {
		return errJobs
	}
	p.running.Go(func() { p.run(j, r) })
	return nil
}

// busy says that a device is of a job that is under way.
func (p *Page) busy(entities []cpns.EntityID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, j := range p.jobs {
		for i := range j.items {
			if e := j.items[i].Entity; j.items[i].End == nil && slices.Contains(entities, e) {
				return &conflict{fmt.Sprintf("%s is being taken in already, for %s", e, j.user), "busy", e}
			}
		}
	}
	return nil
}

func (p *Page) known(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.jobs[id] != nil
}

// enter takes a job into the list, in place of the one that ended longest ago where
// that is full. p.mu is held.
func (p *Page) enter(j *job) bool {
	var oldest *job
	for id, o := range p.jobs {
		switch {
		case o.ended.IsZero():
		case time.Since(o.ended) > jobKept:
			delete(p.jobs, id)
		case oldest == nil || o.ended.Before(oldest.ended):
			oldest = o
		}
	}
	if len(p.jobs) >= maxJobs {
		if oldest == nil {
			return false
		}
		delete(p.jobs, oldest.id)
	}
	p.begun++
	j.n = p.begun
	p.jobs[j.id] = j
	p.change(j, nil)
	return true
}

func (p *Page) run(j *job, r agent.ProvisionRequest) {
	p.log.Info("keys requested by the page", "user", r.User, "devices", len(r.Entities))
	place := map[cpns.EntityID]int{}
	for i, e := range r.Entities {
		place[e] = i
	}
	outcomes, err := p.agent.Provision(p.ctx, r, func(s agent.Step) {
		p.mu.Lock()
		defer p.mu.Unlock()
		it := &j.items[place[s.Entity]]
		it.tell(s)
		if s.Kind == agent.StepDelivered {
			it.End = &agent.Outcome{Entity: s.Entity, Result: agent.ResultDelivered}
		}
		p.change(j, it)
	})
	clear(r.PasswordHash[:])
	p.api.NoteProvision(j.who, &r, outcomes, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range j.items {
		it := &j.items[i]
		if i < len(outcomes) && outcomes[i].Result != "" {
			it.End = &outcomes[i]
		} else if it.End == nil {
			it.End = &agent.Outcome{Entity: it.Entity, Result: agent.ResultFailed, Detail: "the agent is stopping"}
		}
		if err != nil && it.End.Result == agent.ResultFailed {
			it.End.Detail = "the agent is stopping"
		}
		p.change(j, it)
	}
	j.ended = time.Now()
	p.change(j, nil)
}

// change wakes whoever watches. p.mu is held.
func (p *Page) change(j *job, it *item) {
	j.seq++
	if it != nil {
		it.seq = j.seq
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// jobView is what a watcher is told of a job: the items that changed since it was last told.
type jobView struct {
	ID    string      `json:"id"`
	N     int         `json:"n"` // jobs are in this order
	User  cpns.UserID `json:"user"`
	Total int         `json:"total"`
	Ended bool        `json:"ended"`
	First bool        `json:"first"` // these are all items
	Items []place     `json:"items"`
}

// A place is an item and where it stands.
type place struct {
	At int `json:"at"`
	item
}

func (j *job) since(seq int) jobView {
	v := jobView{ID: j.id, N: j.n, User: j.user, Total: len(j.items), Ended: !j.ended.IsZero(), First: seq == 0, Items: []place{}}
	for i, it := range j.items {
		if seq == 0 || it.seq > seq {
			it.Steps = append([]agent.Step(nil), it.Steps...)
			v.Items = append(v.Items, place{i, it})
		}
	}
	return v
}
