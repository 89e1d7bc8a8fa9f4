package life

import (
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
	advance bool // a person or the schedule began it: the PNE is moved on
}

// open says that an answer is waited for.
func (a *authenticating) open() bool { return !a.repeat.due.IsZero() }

// helloPeriod is how often a hello may move a PNE on to its next key. Anybody
// can say hello in a PNE's name and have the PNE prove its key; if each such
// proof cost a key, a flood of hellos would use the set up.
const helloPeriod = 24 * time.Hour

// challenge asks the PNE to prove the key that it says it holds. One challenge
// stands until it is answered or given up: a hello meanwhile gets the same one,
// so that hellos in the PNE's name cannot disturb it. An update stands until it
// had its first repeat: a PNE that says hello after that has lost the challenge
// that it was for, or its acknowledgement was lost, which the next proof mends.
func (p PNE) challenge(w World) (PNE, []Effect) {
	a, advance := &p.mem.auth, false
	switch {
	case a.open() && a.epoch == 0:
		return p, []Effect{Outgoing{w.Link, p.rec.entity, a.repeat.Wire}}
	case a.open() && a.repeat.times == 0:
		return p, nil
	case a.open():
		advance = a.advance
	}
	wire, err := (&cpns.AuthChallenge{Entity: p.rec.entity, Gateway: w.Gateway, RandGW: w.RandGW}).Marshal()
	if err != nil {
		panic("life: encoding a challenge: " + err.Error())
	}
	m := Outgoing{w.Link, p.rec.entity, wire}
	p.mem.auth = authenticating{randGW: w.RandGW, repeat: startRepeat(m, w), advance: advance}
	return p, []Effect{m}
}

// authenticate begins a mutual authentication because a person or the schedule
// wants one. A PNE of which nothing is proved, or that is under alarm, is left
// alone; one that a newer set waits for is given that instead. Where the PNE has not been heard the challenge goes out on every link.
func (p PNE) authenticate(w World) (PNE, []Effect) {
	p.mem.reauth = time.Time{}
	if w.Reauth > 0 {
		p.mem.reauth = w.Now.Add(w.Reauth/2 + portion(w.Reauth, w.Chance)) // on average each reauth, no two devices in step
	}
	switch t := p.rec.current; {
	case t == nil || t.Proved == 0 || p.rec.alarm != nil:
		return p, nil
	case p.rec.next != nil: // it is to say hello, and be given the newer set
		return p.askForHello(w)
	}
	w.Link = p.mem.link
	p, effects := p.challenge(w)
	p.mem.auth.advance = true
	return p, effects
}

// authResponse takes the PNE's proof of the key that it holds. A key later than
// the record's means that an acknowledgement was lost, or that the gateway's
// store went back: the proof is what counts. An earlier one means that the PNE
// was rolled back or cloned.
func (p PNE) authResponse(m *cpns.AuthResponse, w World) (PNE, []Effect) {
	a, t := &p.mem.auth, p.rec.setOf(m.Epoch)
	if a.epoch != 0 && m.RandPNE == a.randPNE {
		return p, nil // the response that the eukey-update under way answers, once more
	}
	if !a.open() || a.epoch != 0 || t == nil || m.Index > t.Length || p.rec.alarm != nil {
		return p, []Effect{p.news(Unproved, p.rec.target())}
	}
	held := t.key(m.Index)
	if m.Verify(&held, w.Gateway, &a.randGW) != nil {
		return p, []Effect{p.news(Unproved, p.rec.target())}
	}
	p.mem.link, p.mem.seen, p.mem.remark = w.Link, w.Now, ""
	if m.Index < t.Proved {
		rec := *p.rec
		rec.alarm = &alarm{epoch: m.Epoch, proved: t.Proved, shown: m.Index}
		p.rec, p.mem.auth, p.mem.notify = &rec, authenticating{}, notifying{}
		return p, []Effect{p.news(Alarmed, t)}
	}
	effects := []Effect{p.news(Present, t)}
	if m.Index > t.Proved {
		p.rec = p.rec.withProof(m.Epoch, m.Index)
		p.mem.notify = notifying{}
		effects = []Effect{p.news(Delivered, p.rec.setOf(m.Epoch))}
	}
	if !a.advance && !p.mayAdvance(w) {
		p.mem.auth = authenticating{}
		return p, effects
	}
	return p.sendUpdate(m, &held, effects, w)
}

// mayAdvance says whether a proof that a hello led to may move the PNE on.
func (p PNE) mayAdvance(w World) bool {
	return w.ClockSet && w.Now.Sub(time.Unix(p.rec.advanced, 0)) >= max(helloPeriod, w.Reauth)
}

// sendUpdate gives a PNE that has proved the key held the next one. Of a set
// that is used up it sends no key, which still tells the PNE that this is its
// gateway.
func (p PNE) sendUpdate(m *cpns.AuthResponse, held *cpns.EUKey, effects []Effect, w World) (PNE, []Effect) {
	t, a := p.rec.setOf(m.Epoch), &p.mem.auth
	a.epoch, a.index, a.randPNE = m.Epoch, m.Index, m.RandPNE
	var next *cpns.EUKey
	if m.Index < t.Length {
		a.index++
		key := t.key(a.index)
		next = &key
	}
	u, err := cpns.SealEUKeyUpdate(t.TK, held, w.Gateway, &a.randGW, &a.randPNE, p.rec.entity, a.epoch, a.index, next, w.IV)
	if err != nil {
		panic("life: sealing a checked set: " + err.Error())
	}
	wire, err := u.Marshal()
	if err != nil {
		panic("life: encoding an eukey-update: " + err.Error())
	}
	out := Outgoing{w.Link, p.rec.entity, wire}
	a.repeat = startRepeat(out, w)
	return p, append(effects, out)
}

// proves says whether m acknowledges the eukey-update that waits.
func (a *authenticating) proves(m *cpns.Acknowledgement, r *record, g cpns.GatewayID) bool {
	t := r.setOf(a.epoch)
	if a.epoch == 0 || t == nil || m.Epoch != a.epoch || m.Index != a.index {
		return false
	}
	key := t.key(a.index)
	return m.Verify(&key, cpns.UpdateContext(&a.randGW, &a.randPNE), g) == nil
}

// sessionKey is what both sides hold once the eukey-update under way is
// acknowledged: it is of the key that the update has put in place.
func (p PNE) sessionKey(g cpns.GatewayID) *cpns.SessionKey {
	a := &p.mem.auth
	key := p.rec.setOf(a.epoch).key(a.index)
	session := cpns.DeriveSessionKey(&key, &a.randGW, &a.randPNE, p.rec.entity, g)
	return &session
}
