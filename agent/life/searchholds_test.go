package life

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"cpns.example.net/pngw/cpns"
)

// check is what must hold in every state.
func (r *search) check(n *node) {
	_, epoch, index := n.dev.Held()
	t := n.gw.rec.target()
	if epoch > n.epochs {
		r.fail(n, "the PNE holds epoch %d, which never was", epoch)
	}
	if t.Epoch == n.epochs && t.Proved > n.highest {
		r.fail(n, "the gateway counts key %d, the PNE never had more than %d", t.Proved, n.highest)
	}
	if n.highest > 1+cpns.Index(n.causes) {
		r.fail(n, "key %d is used up, with %d reasons for another than the first", n.highest, n.causes)
	}
	if epoch != t.Epoch || n.left.rollbacks != r.s.rollbacks || r.s.begin == alarmed {
		return
	}
	if index < t.Proved {
		r.fail(n, "the gateway counts key %d, the PNE holds %d", t.Proved, index)
	}
	if index > t.Proved+1 {
		r.fail(n, "the gateway counts key %d, the PNE is at %d", t.Proved, index)
	}
}

// lives lets the line work, from a state, and wants the PNE to prove a key of the
// newest set. For an hour the PNE says hello only where its own rules have it do so;
// then its link comes up anew.
func (r *search) lives(from *node) {
	n := *from
	if n.gw.rec.alarm != nil {
		return // it waits for a person
	}
	n.left.challenges, n.left.hellos = 1000, 1000
	w := r.world(&n)
	at := w.Now
	for round := range 8 {
		before := n.list()
		if _, _, i := n.dev.Held(); !n.quiet || i == 0 || round > 3 {
			r.hello(&n)
		}
		r.drain(&n, before)
		if n.gw.rec.alarm != nil {
			if !n.rolled {
				r.fail(from, "the line works, and there is an alarm without a rollback")
			}
			return
		}
		_, epoch, index := n.dev.Held()
		if t := n.gw.rec.target(); epoch == t.Epoch && index == t.Proved && index > 0 && !n.gw.pending() {
			return
		}
		// What was under way is given up, and the identifies go on.
		before = n.list()
		at = at.Add(20 * time.Minute)
		w.Now = at
		r.passTime(&n, w)
		if asked := r.ids[string(identifyFor(testEntity))]; n.polled && slices.Contains(n.list(), asked) {
			n.polled = false
			r.deliver(&n, asked)
		}
		r.drain(&n, before)
		if round == 3 && n.gw.pending() {
			r.fail(from, "the line works for an hour, and the two wait for each other")
		}
	}
	_, epoch, index := n.dev.Held()
	r.fail(from, "the line works, and the PNE stays at epoch %d key %d, the gateway at %d %d (%s)", epoch, index, n.gw.rec.target().Epoch, n.gw.rec.target().Proved, n.gw.View().Note)
}

// drain delivers everything that has been said since, and what comes of it.
func (r *search) drain(n *node, before []uint32) {
	for {
		var fresh []uint32
		for _, id := range n.list() {
			if !slices.Contains(before, id) {
				fresh = append(fresh, id)
			}
		}
		if len(fresh) == 0 {
			return
		}
		for _, id := range fresh {
			before = append(before, id)
			r.deliver(n, id)
		}
	}
}

// errFound ends a search that found something.
var errFound = errors.New("found")

// fail tells how it came to this.
func (r *search) fail(n *node, format string, args ...any) {
	panic(fmt.Errorf("%w: %s", errFound, fmt.Sprintf(format, args...)))
}
