package agent

import (
	"crypto/sha256"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// state is all that the gateway knows of one PNE: the record, which lies in the
// store, and the session, which a restart forgets. A record is never changed in
// place: step makes a new one, and whoever runs step stores it before the new
// state counts.
type state struct {
	rec *record
	ses session
}

// session is what of a PNE's state lives in memory only. Losing it costs a
// PNE nothing but another hello.
type session struct {
	link         string    // where it was last heard
	seen         time.Time // when
	claimedEpoch cpns.Epoch
	claimedIndex cpns.Index // what the last hello said, unproved
	remark       string     // for people: what stands in the way of delivery

	hellos   budget            // of answers to hellos
	losses   budget            // of keys for a PNE that says that it lost its own
	taken    [sha256.Size]byte // H(hello) under which the PNE took its latest key: a replay gets none
	identify repeat            // asking the PNE to say hello
	notify   notifying
	auth     authenticating
	reauth   time.Time // when the schedule asks next, zero for never
}

// An event is what can happen to a PNE's state. step answers each of: *cpns.Hello,
// *cpns.Acknowledgement, *cpns.AuthResponse, and those below.
type event any

type (
	timeout   struct{}               // a deadline of the session may have passed
	requested struct{ req *request } // a request is about to be sent
	abandoned struct{}               // the request was refused
	assigned  struct {               // the response has been checked
		user     cpns.UserID
		set      *set
		remember *cpns.PasswordHash // nil for not
		reassign bool               // a person asked for it in spite of an alarm
	}
	identify     struct{} // ask the PNE to say hello, on every link
	authenticate struct{} // a person or the schedule asks for a mutual authentication
	unremember   struct{} // the user's password is another by now
	readmit      struct{} // a person takes a rolled-back PNE in again
)

// around is what step needs of the world: everything random, and the time, is
// handed in.
type around struct {
	now      time.Time
	clockSet bool // now can be believed
	gateway  cpns.GatewayID
	link     string        // the link that the event came up, "" for none
	retry    time.Duration // that link's first repeat
	randGW   [cpns.NonceSize]byte
	iv       [cpns.IVSize]byte
	reauth   time.Duration // how often the schedule authenticates, 0 for never
	jitter   time.Duration // random, below reauth
}

// An effect is what step asks for, in order, once its new record is stored.
type effect any

type (
	// send puts a message on a link, on all of them where link is "", for one
	// PNE, for everybody where to is "".
	send struct {
		link string
		to   cpns.EntityID
		wire []byte
	}
	// tell lets those who wait for the PNE know.
	tell struct {
		kind    happening
		status  cpns.AckStatus   // of refused
		session *cpns.SessionKey // of authenticated
		err     error            // of unstored
	}
)

type happening int

const (
	delivered     happening = iota // a later key has been proved, outside a mutual authentication
	present                        // the PNE has proved the key that the record says
	authenticated                  // a mutual authentication has ended well
	refused                        // the PNE says that it could not take the key; unproved
	alarmed                        // an older key has been proved
	unanswered                     // a challenge or an update was repeated in vain
	unproved                       // the message proved nothing
	unstored                       // it did, but the store failed, and nothing has changed; not step's to know
)

// step is the protocol of one PNE at the gateway: a pure function, the only
// place where a PNE's state moves.
func step(s state, ev event, w around) (state, []effect) {
	switch ev := ev.(type) {
	case *cpns.Hello:
		return s.hello(ev, w)
	case *cpns.Acknowledgement:
		return s.acknowledgement(ev, w)
	case *cpns.AuthResponse:
		return s.authResponse(ev, w)
	case timeout:
		return s.timeout(w)
	case identify:
		return s.askForHello(w)
	case authenticate:
		return s.authenticate(w)
	case unremember:
		rec := *s.rec
		rec.remember = nil
		s.rec = &rec
	case readmit:
		rec := *s.rec
		rec.alarm, rec.readmitted = nil, true
		s.rec, s.ses.remark = &rec, ""
		return s.askForHello(w)
	case requested:
		rec := *s.rec
		rec.request = ev.req
		if rec.target() == nil {
			rec.user = ev.req.user
		}
		s.rec = &rec
	case abandoned:
		rec := *s.rec
		rec.request = nil
		s.rec = &rec
	case assigned:
		s.rec = s.rec.withSet(ev.user, ev.set)
		s.rec.remember = ev.remember
		if ev.reassign {
			s.rec.alarm, s.rec.readmitted = nil, false
		}
		s.ses.notify, s.ses.remark = notifying{}, ""
	default:
		panic(fmt.Sprintf("agent: no such event %T", ev))
	}
	return s, nil
}

// askForHello sends an identify for this PNE on every link. Only an answer to a
// hello can carry a key, because the hello's nonce makes it fresh.
func (s state) askForHello(w around) (state, []effect) {
	wire, err := (&cpns.Identify{Entity: s.rec.entity}).Marshal()
	if err != nil {
		panic("agent: a checked Entity ID does not encode: " + err.Error())
	}
	all := send{wire: wire} // a PNE may be on any link, and listens to what is for everybody
	s.ses.identify = startRepeat(all, w)
	return s, []effect{all}
}

// timeout repeats what is due, and gives up what has been repeated enough: the
// PNE then stays pending until its next hello.
func (s state) timeout(w around) (state, []effect) {
	var effects []effect
	open := s.ses.auth.open()
	for _, r := range []*repeat{&s.ses.identify, &s.ses.notify.repeat, &s.ses.auth.repeat} {
		if r.due.IsZero() || w.now.Before(r.due) {
			continue
		}
		if r.again(w.now) {
			effects = append(effects, r.send)
			continue
		}
		*r = repeat{}
	}
	if open && !s.ses.auth.open() {
		s.ses.auth = authenticating{}
		effects = append(effects, tell{kind: unanswered})
	}
	if s.ses.reauth.IsZero() || w.now.Before(s.ses.reauth) {
		return s, effects
	}
	s, more := s.authenticate(w)
	return s, append(effects, more...)
}

// due is the earliest deadline of the session, zero for none.
func (s session) due() time.Time {
	var first time.Time
	for _, t := range []time.Time{s.identify.due, s.notify.repeat.due, s.auth.repeat.due, s.reauth} {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

func (s state) note() string {
	switch r := s.rec; {
	case r.alarm != nil:
		return r.alarm.String()
	case s.ses.remark != "":
		return s.ses.remark
	case r.next != nil && r.current != nil:
		return fmt.Sprintf("holds key %d of epoch %d until it takes the new set", r.current.proved, r.current.epoch)
	case r.target() != nil && r.target().runningOut():
		what := "provision it again for a new set"
		if r.remember != nil {
			what = "the gateway is getting a new set"
		}
		return fmt.Sprintf("%d of %d keys are used: %s", r.target().proved, r.target().length, what)
	}
	return ""
}
