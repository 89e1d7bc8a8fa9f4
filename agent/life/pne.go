package life

import (
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// PNE is all that the gateway knows of one PNE: its record, which lies in the
// store, and what is in memory only, which a restart forgets. It is a value:
// [Apply] makes a new one, and whoever calls Apply stores the record before the
// new PNE counts.
type PNE struct {
	rec *record
	mem memory
}

// memory is what of a PNE is in memory only. Losing it costs a PNE nothing but
// another hello. A gateway may have ten thousand of them on a router with 64 MB: what
// is there only while it runs has a place only then.
type memory struct {
	link      string    // where it was last heard, by a hello that verified or a proof
	seen      time.Time // when
	proofLink string    // where its last proof came up, "" for none since the start
	remark    string    // for people: what stands in the way of delivery
	tag       tagging
	highest   cpns.Epoch // that a verified hello named
	epochs    budget     // of storing that
	hellos    budget     // of answers to hellos
	again     budget     // of answers to hellos that were answered before
	begun     budget     // of authentications that hellos began

	poll polling // asking it again and again to say hello, while a key waits for it
	// challenged is H of the last hello that a challenge answered, all zero for none.
	challenged hash
	taken      *answer // the notification that brought the last key: its hello can come again
	permit     permission
	advanced   time.Time // when a next key was first sent by an eukey-update
	reauth     time.Time // when the schedule asks next, zero for never
	tickets    uint64    // the last that was given out

	*underWay // never changed in place, but by the Apply that has made it
}

// underWay is what is under way with a PNE, or can still be answered.
type underWay struct {
	identify  repeat // asking the PNE to say hello
	notify    notifying
	challenge challenging
	update    updating
	offered   offer
}

// quiet is where nothing is under way. It is never changed.
var quiet underWay

// own makes what is under way m's alone, to be changed.
func (m *memory) own() {
	own := *m.underWay
	m.underWay = &own
}

// tidy is u without what no longer means anything.
func (u *underWay) tidy() *underWay {
	if !u.challenge.open() {
		u.challenge = challenging{}
	}
	if !u.identify.open() && !u.challenge.open() && u.notify.epoch == 0 && u.update.epoch == 0 {
		return &quiet
	}
	return u
}

// New is a PNE that a user asks for and of which nothing is known yet.
func New(id cpns.EntityID, user cpns.UserID) PNE {
	return begin(&record{entity: id, user: user})
}

// begin is a PNE of which only its record is known.
func begin(r *record) PNE { return PNE{rec: r, mem: memory{underWay: &quiet}} }

// Apply is the protocol of one PNE at the gateway: a pure function, the only
// place where what is known of a PNE changes. Where [PNE.SameRecord] says that
// the new PNE's record is another, it must be stored before anything else; where
// that fails the old PNE stays, and no effect is had.
func Apply(p PNE, ev Event, w World) (PNE, []Effect) {
	p.mem.own()
	p, effects := p.apply(ev, w)
	p.mem.underWay = p.mem.tidy()
	return p, effects
}

func (p PNE) apply(ev Event, w World) (PNE, []Effect) {
	switch ev := ev.(type) {
	case *cpns.Hello:
		return p.hello(ev, w)
	case *cpns.Acknowledgement:
		return p.acknowledgement(ev, w)
	case *cpns.AuthResponse:
		return p.authResponse(ev, w)
	case Timeout:
		return p.timeout(w)
	case Sent:
		return p.sent(ev.Ticket, w), nil
	case AskForHello:
		return p.askForHello(w)
	case Authenticate:
		return p.authenticate(w)
	case Assigned:
		return p.assigned(ev, w)
	case Readmit:
		return p.readmit(w)
	case Opened:
		return p.opened(w)
	case Started:
		if w.Reauth > 0 {
			p.mem.reauth = w.Now.Add(portion(w.Reauth, w.Chance))
		}
		p.pollNext(pollFirst, w)
	case ForgetPassword:
		rec := *p.rec
		rec.remember = nil
		p.rec = &rec
	case Requested:
		rec := *p.rec
		rec.request = ev.R
		if rec.target() == nil {
			rec.user = ev.R.User
		}
		p.rec = &rec
	case Abandoned:
		rec := *p.rec
		rec.request = nil
		p.rec = &rec
	default:
		panic(fmt.Sprintf("life: no such event %T", ev))
	}
	return p, nil
}

// assigned takes a checked response. What was under way about the sets before ends
// with a new one; the same answer again disturbs nothing.
func (p PNE) assigned(ev Assigned, w World) (PNE, []Effect) {
	set := *ev.Set
	if set.Gateway == "" {
		set.Gateway = w.Gateway
	}
	was := p.rec.target()
	p.rec = p.rec.withSet(ev.User, &set)
	p.rec.remember = ev.Remember
	p.rec.held = ev.Hold && p.rec.next == nil && p.rec.current.Proved == 0
	if ev.Reassign {
		p.rec.alarm = nil
	}
	var effects []Effect
	if p.rec.target() != was {
		p.rec.readmitted = false
		if p.mem.challenge.open() || p.mem.update.open() {
			effects = []Effect{p.news(Superseded, was)}
		}
		p.endExchanges()
		p.mem.tag = tagging{}
	}
	if was == nil { // what was heard so far nobody could verify
		p.mem.link, p.mem.seen = "", time.Time{}
	}
	p.mem.remark = ""
	p.pollNext(pollFirst, w)
	return p, effects
}

// readmit ends an alarm: the PNE gets its next key by notification, whatever it
// holds.
func (p PNE) readmit(w World) (PNE, []Effect) {
	rec := *p.rec
	rec.alarm, rec.readmitted = nil, true
	p.rec, p.mem.remark = &rec, ""
	p.pollNext(pollFirst, w)
	return p.askForHello(w)
}

// noteProof notes a proof of a key of a set that is here. A later one than before
// moves the index, which ends all that was about the key before.
func (p *PNE) noteProof(e cpns.Epoch, i cpns.Index, x25519 bool, w World) {
	p.heard(w)
	if i <= p.rec.setOf(e).Proved {
		return
	}
	p.rec = p.rec.withProof(e, i, x25519)
	if when := p.mem.advanced; w.ClockSet {
		if !p.mem.permit.used || when.IsZero() { // it has its key otherwise, or from before a restart
			when = w.Now
		}
		p.rec.advanced = when.Unix()
	}
	taken := p.mem.taken
	p.endExchanges()
	p.mem.taken = taken
	if !p.pending() {
		p.mem.poll = polling{}
	}
}

// heard notes that the PNE itself has spoken, just now: it has proved a key.
func (p *PNE) heard(w World) {
	p.mem.link, p.mem.proofLink, p.mem.seen, p.mem.remark = w.Link, w.Link, w.Now, ""
	p.mem.identify, p.mem.tag.failing = repeat{}, false
}

// endExchanges forgets what waits for an answer, and the leave to move the PNE on
// from the key that it was about.
func (p *PNE) endExchanges() {
	p.mem.notify, p.mem.challenge, p.mem.update = notifying{}, challenging{}, updating{}
	p.mem.offered, p.mem.permit = offer{}, permission{}
	p.mem.taken = nil
}

// pending reports whether a key waits for the PNE: it has proved nothing of the newest
// set, or has been readmitted.
func (p PNE) pending() bool {
	t := p.rec.target()
	return t != nil && p.rec.alarm == nil && (t.Proved == 0 || p.rec.readmitted && !t.usedUp())
}

// timeout repeats what is due, and gives up what has been sent often enough: the
// PNE then stays pending until its next hello, or the next identify.
func (p PNE) timeout(w World) (PNE, []Effect) {
	passed := func(t time.Time) bool { return !t.IsZero() && !w.Now.Before(t) }
	var effects []Effect
	authenticating := p.mem.challenge.open() || p.mem.update.open()
	for _, r := range p.mem.repeats() {
		switch {
		case !passed(r.due):
		case r.queued(w):
			r.due = w.Now.Add(r.wait)
		case r.sent < sends:
			effects = append(effects, p.sendRepeat(r, w))
		default:
			*r = repeat{}
		}
	}
	if authenticating && !p.mem.challenge.open() && !p.mem.update.open() {
		if !p.mem.permit.used { // who gave leave is told that nothing came of it
			p.mem.permit = permission{}
		}
		effects = append(effects, p.news(Unanswered, p.rec.target()))
	}
	if passed(p.mem.poll.due) {
		var more []Effect
		p, more = p.poll(w)
		effects = append(effects, more...)
	}
	if passed(p.mem.reauth) {
		p.scheduleNext(w)
		var more []Effect
		p, more = p.authenticate(w)
		effects = append(effects, more...)
	}
	return p, effects
}

// news is News of a kind about a set, which may be nil.
func (p PNE) news(k Kind, t *Set) News {
	n := News{Kind: k}
	if t != nil {
		n.Epoch, n.Index, n.Length = t.Epoch, t.Proved, int(t.Length)
	}
	return n
}

// Due is the earliest moment at which a [Timeout] has something to do, zero for none.
func (p PNE) Due() time.Time {
	first := p.mem.reauth
	for _, t := range []time.Time{p.mem.poll.due, p.mem.identify.due, p.mem.notify.due, p.mem.challenge.due, p.mem.update.due} {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
