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
// another hello.
type memory struct {
	link         string    // where it was last heard
	seen         time.Time // when
	claimedEpoch cpns.Epoch
	claimedIndex cpns.Index // what the last hello said, unproved
	remark       string     // for people: what stands in the way of delivery

	hellos   budget // of answers to hellos
	losses   budget // of keys for a PNE that says that it lost its own
	taken    hash   // H(hello) under which the PNE took its latest key: a replay gets none
	identify repeat // asking the PNE to say hello
	notify   notifying
	auth     authenticating
	reauth   time.Time // when the schedule asks next, zero for never
}

// New is a PNE that a user asks for and of which nothing is known yet.
func New(id cpns.EntityID, user cpns.UserID) PNE {
	return PNE{rec: &record{entity: id, user: user}}
}

// Apply is the protocol of one PNE at the gateway: a pure function, the only
// place where what is known of a PNE changes. Where [PNE.SameRecord] says that
// the new PNE's record is another, it must be stored before anything else; where
// that fails the old PNE stays, and no effect is had.
func Apply(p PNE, ev Event, w World) (PNE, []Effect) {
	switch ev := ev.(type) {
	case *cpns.Hello:
		return p.hello(ev, w)
	case *cpns.Acknowledgement:
		return p.acknowledgement(ev, w)
	case *cpns.AuthResponse:
		return p.authResponse(ev, w)
	case Timeout:
		return p.timeout(w)
	case AskForHello:
		return p.askForHello(w)
	case Authenticate:
		return p.authenticate(w)
	case Started:
		if w.Reauth > 0 {
			p.mem.reauth = w.Now.Add(portion(w.Reauth, w.Chance))
		}
	case ForgetPassword:
		rec := *p.rec
		rec.remember = nil
		p.rec = &rec
	case Readmit:
		rec := *p.rec
		rec.alarm, rec.readmitted = nil, true
		p.rec, p.mem.remark = &rec, ""
		return p.askForHello(w)
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
	case Assigned:
		p.rec = p.rec.withSet(ev.User, ev.Set)
		p.rec.remember = ev.Remember
		if ev.Reassign {
			p.rec.alarm, p.rec.readmitted = nil, false
		}
		p.mem.notify, p.mem.remark = notifying{}, ""
	default:
		panic(fmt.Sprintf("life: no such event %T", ev))
	}
	return p, nil
}

// askForHello sends an identify for this PNE on every link. Only an answer to a
// hello can carry a key, because the hello's nonce makes it fresh.
func (p PNE) askForHello(w World) (PNE, []Effect) {
	wire, err := (&cpns.Identify{Entity: p.rec.entity}).Marshal()
	if err != nil {
		panic("life: a checked Entity ID does not encode: " + err.Error())
	}
	all := Outgoing{To: p.rec.entity, Wire: wire}
	p.mem.identify = startRepeat(all, w)
	return p, []Effect{all}
}

// timeout repeats what is due, and gives up what has been repeated enough: the
// PNE then stays pending until its next hello.
func (p PNE) timeout(w World) (PNE, []Effect) {
	var effects []Effect
	open := p.mem.auth.open()
	for _, r := range []*repeat{&p.mem.identify, &p.mem.notify.repeat, &p.mem.auth.repeat} {
		if r.due.IsZero() || w.Now.Before(r.due) {
			continue
		}
		if r.again(w.Now) {
			effects = append(effects, r.Outgoing)
			continue
		}
		*r = repeat{}
	}
	if open && !p.mem.auth.open() {
		p.mem.auth = authenticating{}
		effects = append(effects, p.news(Unanswered, p.rec.target()))
	}
	if p.mem.reauth.IsZero() || w.Now.Before(p.mem.reauth) {
		return p, effects
	}
	p, more := p.authenticate(w)
	return p, append(effects, more...)
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
	var first time.Time
	for _, t := range []time.Time{p.mem.identify.due, p.mem.notify.repeat.due, p.mem.auth.repeat.due, p.mem.reauth} {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// portion is d times chance, which is 0 to (all but) 1.
func portion(d time.Duration, chance uint64) time.Duration {
	return time.Duration(float64(d) * (float64(chance>>11) / (1 << 53)))
}
