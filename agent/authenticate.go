package agent

import (
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// authenticating is a mutual authentication under way. The zero value is none.
//
//	auth-challenge -> auth-response -> eukey-update -> acknowledgement
type authenticating struct {
	repeat  repeat
	randGW  [cpns.NonceSize]byte
	randPNE [cpns.NonceSize]byte
	epoch   cpns.Epoch // of the eukey-update that waits, 0 while the challenge does
	index   cpns.Index
	step    bool // a person or the schedule began it: the PNE is moved on
}

// open says that an answer is waited for.
func (a *authenticating) open() bool { return !a.repeat.due.IsZero() }

// helloStepPace is how often a hello may move a PNE on to its next key. Anybody
// can say hello in a PNE's name and have the PNE prove its key; if each such
// proof cost a key, a flood of hellos would use the set up.
const helloStepPace = 24 * time.Hour

// challenge asks the PNE to prove the key that it says it holds. One challenge
// stands until it is answered or given up: a hello meanwhile gets the same one,
// so that hellos in the PNE's name cannot disturb it. An update stands until it
// had its first repeat: a PNE that says hello after that has lost the challenge
// that it was for, or its acknowledgement was lost, which the next proof mends.
func (s state) challenge(w around) (state, []effect) {
	a, step := &s.ses.auth, false
	switch {
	case a.open() && a.epoch == 0:
		return s, []effect{send{w.link, s.rec.entity, a.repeat.wire}}
	case a.open() && a.repeat.times == 0:
		return s, nil
	case a.open():
		step = a.step
	}
	wire, err := (&cpns.AuthChallenge{Entity: s.rec.entity, Gateway: w.gateway, RandGW: w.randGW}).Marshal()
	if err != nil {
		panic("agent: encoding a challenge: " + err.Error())
	}
	m := send{w.link, s.rec.entity, wire}
	s.ses.auth = authenticating{randGW: w.randGW, repeat: startRepeat(m, w), step: step}
	return s, []effect{m}
}

// authenticate begins a mutual authentication because a person or the schedule
// wants one. A PNE of which nothing is proved, or that is under alarm, is left
// alone; one that a newer set waits for is given that instead. Where the PNE has not been heard the challenge goes out on every link.
func (s state) authenticate(w around) (state, []effect) {
	s.ses.reauth = time.Time{}
	if w.reauth > 0 {
		s.ses.reauth = w.now.Add(w.reauth/2 + w.jitter) // on average each reauth, no two devices in step
	}
	switch t := s.rec.current; {
	case t == nil || t.proved == 0 || s.rec.alarm != nil:
		return s, nil
	case s.rec.next != nil: // it is to say hello, and be given the newer set
		return s.askForHello(w)
	}
	w.link = s.ses.link
	s, effects := s.challenge(w)
	s.ses.auth.step = true
	return s, effects
}

// authResponse takes the PNE's proof of the key that it holds. A key later than
// the record's means that an acknowledgement was lost, or that the gateway's
// store went back: the proof is what counts. An earlier one means that the PNE
// was rolled back or cloned.
func (s state) authResponse(m *cpns.AuthResponse, w around) (state, []effect) {
	a, t := &s.ses.auth, s.rec.set(m.Epoch)
	if a.epoch != 0 && m.RandPNE == a.randPNE {
		return s, nil // the response that the eukey-update under way answers, once more
	}
	if !a.open() || a.epoch != 0 || t == nil || m.Index > t.length || s.rec.alarm != nil {
		return s, []effect{tell{kind: unproved}}
	}
	held := t.key(m.Index)
	if m.Verify(&held, w.gateway, &a.randGW) != nil {
		return s, []effect{tell{kind: unproved}}
	}
	s.ses.link, s.ses.seen, s.ses.remark = w.link, w.now, ""
	if m.Index < t.proved {
		rec := *s.rec
		rec.alarm = &alarm{epoch: m.Epoch, proved: t.proved, shown: m.Index}
		s.rec, s.ses.auth, s.ses.notify = &rec, authenticating{}, notifying{}
		return s, []effect{tell{kind: alarmed}}
	}
	effects := []effect{tell{kind: present}}
	if m.Index > t.proved {
		s.rec = s.rec.withProof(m.Epoch, m.Index)
		s.ses.notify = notifying{}
		effects = []effect{tell{kind: delivered}}
	}
	if !a.step && !s.mayStep(w) {
		s.ses.auth = authenticating{}
		return s, effects
	}
	return s.sendUpdate(m, &held, effects, w)
}

// mayStep says whether a proof that a hello led to may move the PNE on.
func (s state) mayStep(w around) bool {
	return w.clockSet && w.now.Sub(time.Unix(s.rec.stepped, 0)) >= max(helloStepPace, w.reauth)
}

// sendUpdate gives a PNE that has proved the key held the next one. Of a set
// that is used up it sends no key, which still tells the PNE that this is its
// gateway.
func (s state) sendUpdate(m *cpns.AuthResponse, held *cpns.EUKey, effects []effect, w around) (state, []effect) {
	t, a := s.rec.set(m.Epoch), &s.ses.auth
	a.epoch, a.index, a.randPNE = m.Epoch, m.Index, m.RandPNE
	var next *cpns.EUKey
	if m.Index < t.length {
		a.index++
		key := t.key(a.index)
		next = &key
	}
	u, err := cpns.SealEUKeyUpdate(t.tk, held, w.gateway, &a.randGW, &a.randPNE, s.rec.entity, a.epoch, a.index, next, w.iv)
	if err != nil {
		panic("agent: sealing a checked set: " + err.Error())
	}
	wire, err := u.Marshal()
	if err != nil {
		panic("agent: encoding an eukey-update: " + err.Error())
	}
	send := send{w.link, s.rec.entity, wire}
	a.repeat = startRepeat(send, w)
	return s, append(effects, send)
}

// proves says whether m acknowledges the eukey-update that waits.
func (a *authenticating) proves(m *cpns.Acknowledgement, r *record, g cpns.GatewayID) bool {
	t := r.set(a.epoch)
	if a.epoch == 0 || t == nil || m.Epoch != a.epoch || m.Index != a.index {
		return false
	}
	key := t.key(a.index)
	return m.Verify(&key, cpns.UpdateContext(&a.randGW, &a.randPNE), g) == nil
}

// alarm is why a PNE gets no key until a person says so.
type alarm struct {
	epoch         cpns.Epoch
	proved, shown cpns.Index
}

func (a *alarm) String() string {
	return fmt.Sprintf("the device proved key %d of epoch %d after it had proved key %d: it was rolled back or cloned", a.shown, a.epoch, a.proved)
}

// sessionKey is what both sides hold once the eukey-update under way is
// acknowledged: it is of the key that the update has put in place.
func (s state) sessionKey(g cpns.GatewayID) *cpns.SessionKey {
	a := &s.ses.auth
	key := s.rec.set(a.epoch).key(a.index)
	session := cpns.DeriveSessionKey(&key, &a.randGW, &a.randPNE, s.rec.entity, g)
	return &session
}
