package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
)

// List returns every PNE that a user has provisioned, in the order of Entity IDs.
func (a *Agent) List(ctx context.Context) ([]PNE, error) {
	var list []PNE
	err := a.do(ctx, func() {
		list = make([]PNE, 0, len(a.pnes))
		// By names: sorting records themselves would be 12 kB of code on a router.
		for _, id := range slices.Sorted(maps.Keys(a.pnes)) {
			list = append(list, a.pnes[id].View())
		}
	})
	return list, err
}

// Known is List for before Run is called.
func (a *Agent) Known() []PNE {
	list := make([]PNE, 0, len(a.pnes))
	for _, e := range a.pnes {
		list = append(list, e.View())
	}
	return list
}

// Show returns one PNE; the error is fs.ErrNotExist if no user has provisioned it.
func (a *Agent) Show(ctx context.Context, id cpns.EntityID) (p PNE, err error) {
	doErr := a.do(ctx, func() {
		if e := a.pnes[id]; e != nil {
			p = e.View()
			return
		}
		err = a.unknown(id)
	})
	if doErr != nil {
		err = doErr
	}
	return p, err
}

func (a *Agent) unknown(id cpns.EntityID) error {
	if why, ok := a.faults[string(id)]; ok {
		return fmt.Errorf("the record of %s does not open: %s", id, why)
	}
	return &unknownError{id}
}

// unknownError says that a PNE has not been provisioned here.
type unknownError struct{ id cpns.EntityID }

func (e *unknownError) Error() string { return string(e.id) + ": no such device here" }

func (e *unknownError) Is(target error) bool { return target == fs.ErrNotExist }

// Forget removes a PNE with its keys from the store and from memory. It also removes a
// record that cannot be opened, which nothing else does. At the server the PNE still
// belongs to its user.
func (a *Agent) Forget(ctx context.Context, id cpns.EntityID) error {
	return a.about(ctx, id, func(e *entry, end func(error)) {
		switch fault := a.faults[string(id)]; {
		case e == nil && fault == "":
			end(a.unknown(id))
			return
		case e != nil && e.busy:
			end(fmt.Errorf("%s: a request for it is under way: try again when it has ended", id))
			return
		case a.removing[string(id)]:
			end(fmt.Errorf("%s: it is being removed right now", id))
			return
		case e != nil:
			a.hold(e)
		}
		a.removing[string(id)] = true
		a.writers.begin(func() error { return a.cfg.Store.Delete(string(id)) }, func(err error) {
			delete(a.removing, string(id))
			if errors.Is(err, fs.ErrNotExist) {
				err = nil // one that somebody else removed is gone as well
			}
			if err == nil {
				a.forgotten(id, e)
			} else {
				a.written(id, err)
			}
			end(err)
			if e != nil {
				a.release(e)
			}
		})
	})
}

// forgotten drops what is in memory of a PNE whose record is gone; e may be nil.
func (a *Agent) forgotten(id cpns.EntityID, e *entry) {
	delete(a.faults, string(id))
	delete(a.unwritten, id)
	if e != nil {
		a.observe(EventGone, e, e.View().Link)
		a.uncount(e)
		e.Wipe()
		delete(a.pnes, id)
	}
	a.log.Info("device forgotten", "entity_id", id)
}

// notAlarmedError is fs.ErrInvalid with a message of its own.
type notAlarmedError struct{ id cpns.EntityID }

func (e *notAlarmedError) Error() string {
	return string(e.id) + " is not under alarm: there is nothing to resolve"
}
func (e *notAlarmedError) Is(target error) bool { return target == fs.ErrInvalid }

// Readmit ends the alarm of a PNE that was rolled back or cloned, without involving the
// server: whichever device with the PNE's TK asks first gets the next EUKey of the set.
// The error is fs.ErrNotExist if there is no such PNE, fs.ErrInvalid if it is not under
// alarm.
func (a *Agent) Readmit(ctx context.Context, id cpns.EntityID) error {
	return a.about(ctx, id, func(e *entry, end func(error)) {
		switch {
		case e == nil:
			end(a.unknown(id))
		case e.View().State != StateAlarm:
			end(&notAlarmedError{id})
		case e.UsedUp():
			end(fmt.Errorf("the set of %s is used up, there is no next key to give: resolve it with a new set", id))
		default:
			a.step(e, life.Readmit{}, "", func(out []life.Outgoing, err error) {
				if err == nil {
					a.log.Warn("device readmitted by a person", "entity_id", id)
					a.dispatch(out)
				}
				end(err)
			})
		}
	})
}

// Discovered lists PNEs that said hello and have not been provisioned, at most 128.
func (a *Agent) Discovered(ctx context.Context) ([]Discovered, error) {
	var list []Discovered
	err := a.do(ctx, func() { list = a.found.view() })
	return list, err
}

// Links returns the status of every link, in the order of the configuration.
func (a *Agent) Links() []LinkStatus {
	list := make([]LinkStatus, 0, len(a.ports))
	for _, p := range a.ports {
		list = append(list, LinkStatus{p.link.Name(), p.link.Status()})
	}
	return list
}

// Status returns the agent's status.
func (a *Agent) Status(ctx context.Context) (Status, error) {
	now, set := a.cfg.Clock.Now()
	s := Status{
		Gateway: a.cfg.Gateway, ClockSet: set, Time: life.Stamp(now), PNEs: map[State]int{},
		PSK1: a.psk.status(), Requests: a.tally.view(),
		Dropped: Dropped{a.malformed.Load(), a.misplaced.Load(), a.unproved.Load()},
	}
	err := a.do(ctx, func() {
		for _, e := range a.pnes {
			s.PNEs[e.View().State]++
		}
		for _, name := range slices.Sorted(maps.Keys(a.faults)) {
			s.Faults = append(s.Faults, name+": "+a.faults[name])
		}
		s.Discovered = len(a.found.list)
		for _, id := range slices.Sorted(maps.Keys(a.unwritten)) {
			s.Unwritten = append(s.Unwritten, string(id)+": "+a.unwritten[id])
		}
	})
	return s, err
}
