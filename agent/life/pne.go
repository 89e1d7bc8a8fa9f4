package life

import (
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// PNE is everything that the gateway knows about one PNE: its record, which is in the
// store, and what is only in memory and lost at a restart. It is a value:
// [Apply] returns a new one, and the caller of Apply has to store its record before it
// uses the new PNE.
type PNE struct {
	rec *record
	mem memory
}

// memory is what the gateway keeps about a PNE only in memory. If it is lost, the PNE has
// to say hello once more, nothing else. A router with 64 MB may have ten thousand of
// these, so that what is needed only during an exchange is allocated only then (underWay).
type memory struct {
	link      string    // where it was last heard, by a hello that verified or a proof
	seen      time.Time // when
	proofLink string    // where its last proof came up, "" for none since the start
	remark    string    // for people: what prevents delivery
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
	reauth     time.Time // when the schedule authenticates next, zero for never
	tickets    uint64    // the last ticket that was given out

	*underWay // changed only by the call of Apply that allocated it
}

// underWay holds the exchanges with a PNE that are not finished.
type underWay struct {
	identify  repeat // asking the PNE to say hello
	notify    notifying
	challenge challenging
	update    updating
	offered   offer
}

// quiet is the underWay of all PNEs without an exchange. It is never changed.
var quiet underWay

// own gives m an underWay of its own, which may be changed.
func (m *memory) own() {
	own := *m.underWay
	m.underWay = &own
}

// tidy is u without exchanges that have ended.
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

// Apply is the protocol of one PNE at the gateway: a pure function, and the only
// place where a PNE's state changes. If the new PNE's record differs from the old one's
// (see [PNE.SameRecord]), the caller has to store it first; if that fails it keeps the
// old PNE and drops the effects.
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

// assigned handles a response of the server that has been checked. A new set ends all
// exchanges about earlier ones; the same set again changes nothing.
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
	if was == nil { // without a TK, nothing that was heard so far could be verified
		p.mem.link, p.mem.seen = "", time.Time{}
	}
	p.mem.remark = ""
	p.pollNext(pollFirst, w)
	return p, effects
}

// readmit ends an alarm: the PNE gets its next key by a notification, whichever key it
// holds.
func (p PNE) readmit(w World) (PNE, []Effect) {
	rec := *p.rec
	rec.alarm, rec.readmitted = nil, true
	p.rec, p.mem.remark = &rec, ""
	p.pollNext(pollFirst, w)
	return p.askForHello(w)
}

// noteProof records that the PNE has proved a key of a stored set. If it is a later key
// than before, the index moves, and all exchanges about the earlier key end.
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

// heard records that the PNE itself was heard just now, because it has proved a key.
func (p *PNE) heard(w World) {
	p.mem.link, p.mem.proofLink, p.mem.seen, p.mem.remark = w.Link, w.Link, w.Now, ""
	p.mem.identify, p.mem.tag.failing = repeat{}, false
}

// endExchanges drops everything that waits for an answer, and the permission to move the
// PNE on to the next key.
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

// timeout repeats messages that are due, and gives up those that have been sent often
// enough: the PNE then stays pending until its next hello.
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
		if !p.mem.permit.used { // tell whoever gave the permission that it led to nothing
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
