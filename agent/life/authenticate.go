package life

import (
	"time"

	"cpns.example.net/pngw/cpns"
)

// auth-challenge -> auth-response -> eukey-update -> acknowledgement

// challenging is an auth-challenge that waits for its auth-response; the zero value
// means that there is none. It ends with the first valid response, and with any move of
// the index; a response that arrives later proves nothing.
type challenging struct {
	repeat
	randGW [cpns.NonceSize]byte
	hello  hash // H of the hello that it answers, all zero if no hello started it
}

// updating is an eukey-update that waits for its acknowledgement, which is accepted
// until another update replaces it. The zero value means that there is none.
type updating struct {
	repeat
	randGW, randPNE [cpns.NonceSize]byte
	hello           hash // of the challenge that it follows
	epoch           cpns.Epoch
	index           cpns.Index // the key that the PNE has once it has taken the update
	key             cpns.EUKey // that key
}

// permission allows the gateway to move the PNE on from one key to the next; a person,
// a command, or the schedule gives it. It is for one key only. Once the next key has
// been sent, it is sent again whenever the PNE still proves the old one, which uses up
// no further key. The zero value means that there is no permission.
type permission struct {
	epoch cpns.Epoch
	index cpns.Index
	used  bool // the next key has been sent
}

// challenged answers a hello with a challenge, to have the PNE prove the key that it
// claims to hold. While a challenge is open it sends that one again, so that copies of
// hellos cannot disturb it.
func (p PNE) challenged(hello *hash, w World) (PNE, []Effect) {
	if c := &p.mem.challenge; c.open() {
		p.mem.challenged = *hello
		return p, []Effect{Outgoing{Link: w.Link, To: p.rec.entity, Wire: c.Wire}}
	}
	if u := &p.mem.update; u.open() && u.hello == *hello {
		return p, nil // it has had its challenge, and the PNE has answered
	}
	if !p.mem.begun.take(w.Now, beginBurst, beginPace) {
		return p, nil
	}
	p.mem.challenged = *hello
	return p.challenge(w.Link, hello, w)
}

// challenge opens a challenge about the newest set. A waiting eukey-update is no longer
// repeated, because a PNE that has answered the challenge cannot open it any more.
func (p PNE) challenge(link string, hello *hash, w World) (PNE, []Effect) {
	p.mem.update.repeat = repeat{}
	c := &p.mem.challenge
	*c = challenging{randGW: w.RandGW}
	if hello != nil {
		c.hello = *hello
	}
	wire := encode(&cpns.AuthChallenge{Entity: p.rec.entity, Gateway: p.rec.target().Gateway, RandGW: w.RandGW})
	return p, []Effect{p.startRepeat(&c.repeat, Outgoing{Link: link, To: p.rec.entity, Wire: wire}, 0, w)}
}

// authenticate begins a mutual authentication that a person or the schedule asked for.
// It does nothing for a PNE that has not proved any key, or is under alarm; a PNE for
// which a key waits is given that instead. The challenge is sent on the link of the
// PNE's last proof, or on every link if it has proved nothing since the start.
func (p PNE) authenticate(w World) (PNE, []Effect) {
	switch t := p.rec.current; {
	case t == nil || t.Proved == 0 || p.rec.alarm != nil:
		return p, nil
	case p.pending(): // it is to say hello, and be given the key
		return p.askForHello(w)
	default:
		if q := &p.mem.permit; q.epoch != t.Epoch || q.index != t.Proved {
			*q = permission{epoch: t.Epoch, index: t.Proved}
		}
	}
	if c := &p.mem.challenge; c.open() {
		return p, []Effect{Outgoing{Link: p.mem.proofLink, To: p.rec.entity, Wire: c.Wire}}
	}
	return p.challenge(p.mem.proofLink, nil, w)
}

// scheduleNext sets when the schedule authenticates next: one period later on average,
// drawn at random so that PNEs do not all do it at the same time.
func (p *PNE) scheduleNext(w World) {
	p.mem.reauth = time.Time{}
	if w.Reauth > 0 {
		p.mem.reauth = w.Now.Add(w.Reauth/2 + portion(w.Reauth, w.Chance))
	}
}

// authResponse takes the PNE's proof of the key that it holds. A key later than
// the record's means that an acknowledgement was lost, or that the gateway's
// store went back: the proof is what counts. An earlier one means that the PNE
// was rolled back or cloned, unless a person has readmitted it as such.
func (p PNE) authResponse(m *cpns.AuthResponse, w World) (PNE, []Effect) {
	if u := &p.mem.update; u.open() && m.RandPNE == u.randPNE {
		return p, nil // the response that the eukey-update under way answers, once more
	}
	c, t := p.mem.challenge, p.rec.setOf(m.Epoch)
	if !c.open() || t == nil || m.Index > t.Length || p.rec.alarm != nil {
		return p, []Effect{p.news(Unproved, p.rec.target())}
	}
	held, next := t.keys(m.Index)
	defer clear(held[:])
	defer clear(next[:])
	if m.Verify(&held, t.Gateway, &c.randGW) != nil {
		return p, []Effect{p.news(Unproved, p.rec.target())}
	}
	p.mem.challenge = challenging{}
	switch {
	case m.Index <= t.Proved && p.rec.readmitted: // its next key is to come by notification
		p.heard(w)
		present := p.news(Present, t)
		p, effects := p.askForHello(w)
		return p, append([]Effect{present}, effects...)
	case m.Index < t.Proved:
		return p.raiseAlarm(t, m.Index, w)
	}
	later := m.Index > t.Proved
	p.noteProof(m.Epoch, m.Index, p.deliveredUnderX25519(t, m.Index), w)
	t = p.rec.setOf(m.Epoch)
	kind := Present
	if later {
		kind = Delivered
	}
	effects := []Effect{p.news(kind, t)}
	return p.sendUpdate(t, m, &held, &next, &c, effects, w)
}

// raiseAlarm records that a PNE has proved an older key than before.
func (p PNE) raiseAlarm(t *Set, shown cpns.Index, w World) (PNE, []Effect) {
	rec := *p.rec
	rec.alarm = &alarm{epoch: t.Epoch, proved: t.Proved, shown: shown}
	p.rec = &rec
	p.heard(w)
	p.endExchanges()
	p.mem.poll = polling{}
	return p, []Effect{p.news(Alarmed, t)}
}

// mayAdvance reports whether a PNE that has proved the key t.Proved gets the next one,
// and records that it does: that is so if a person, a command or the schedule began
// the authentication, or if the schedule is due. The schedule's period starts anew.
func (p *PNE) mayAdvance(t *Set, w World) bool {
	if t != p.rec.target() || t.usedUp() {
		return false
	}
	q := &p.mem.permit
	if asked := q.epoch == t.Epoch && q.index == t.Proved; !asked && !p.scheduleDue(t, w) {
		return false
	} else if !asked {
		*q = permission{epoch: t.Epoch, index: t.Proved}
	}
	if !q.used {
		q.used = true
		p.mem.advanced = w.Now
	}
	return true
}

// scheduleDue says whether the schedule's period is over since the PNE was last
// moved on. Where a clock that is right by now says that this was in the future,
// nothing is known of when it was, and it is due.
func (p PNE) scheduleDue(t *Set, w World) bool {
	if w.Reauth <= 0 || !w.ClockSet || !p.mem.advanced.IsZero() && w.Now.Sub(p.mem.advanced) < w.Reauth {
		return false
	}
	last := time.Unix(max(p.rec.advanced, t.Taken), 0)
	return last.After(w.Now) || w.Now.Sub(last) >= w.Reauth
}

// sendUpdate answers a PNE that has proved the key that it holds. The update carries the
// next key if the PNE may have it; without one it still proves to the PNE that this is
// its gateway, and gives both sides a session key.
func (p PNE) sendUpdate(t *Set, m *cpns.AuthResponse, held, following *cpns.EUKey, c *challenging, effects []Effect, w World) (PNE, []Effect) {
	u := &p.mem.update
	*u = updating{randGW: c.randGW, randPNE: m.RandPNE, hello: c.hello, epoch: m.Epoch, index: m.Index, key: *held}
	var next *cpns.EUKey
	if p.mayAdvance(t, w) {
		u.index++
		u.key, next = *following, following
	}
	sealed, err := cpns.SealEUKeyUpdate(t.TK, held, t.Gateway, &u.randGW, &u.randPNE, p.rec.entity, u.epoch, u.index, next, w.IV)
	if err != nil {
		panic("life: sealing a checked set: " + err.Error())
	}
	p.mem.offered = offer{epoch: u.epoch, index: u.index}
	out := p.startRepeat(&u.repeat, Outgoing{Link: w.Link, To: p.rec.entity, Wire: encode(sealed)}, 0, w)
	return p, append(effects, out)
}

// proves returns the session key that both sides hold if m acknowledges the
// eukey-update, else nil.
func (u *updating) proves(m *cpns.Acknowledgement, r *record) *cpns.SessionKey {
	t := r.setOf(u.epoch)
	if u.epoch == 0 || t == nil || m.Epoch != u.epoch || m.Index != u.index {
		return nil
	}
	if m.Verify(&u.key, cpns.UpdateContext(&u.randGW, &u.randPNE), t.Gateway) != nil {
		return nil
	}
	return u.sessionKey(r.entity, t)
}

// deliveredUnderX25519 says whether key i of t, whose acknowledgement was lost,
// certainly came under X25519, or by an eukey-update under a key that did. Where a
// restart lies between, nobody knows how it came.
func (p PNE) deliveredUnderX25519(t *Set, i cpns.Index) bool {
	n, q := &p.mem.notify, &p.mem.permit
	notified := n.epoch == t.Epoch && n.index == i
	updated := q.epoch == t.Epoch && q.index+1 == i && q.used
	return (notified || updated) && (!notified || n.x25519) && (!updated || t.X25519)
}

// sessionKey is the session key that both sides hold once the eukey-update is
// acknowledged. It is derived from the key that is in use after the update.
func (u *updating) sessionKey(e cpns.EntityID, t *Set) *cpns.SessionKey {
	session := cpns.DeriveSessionKey(&u.key, &u.randGW, &u.randPNE, e, t.Gateway)
	return &session
}
