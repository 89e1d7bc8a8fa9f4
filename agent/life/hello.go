package life

import (
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// hello answers a PNE's hello, which says what key the PNE holds. Its tag proves that it
// was made by a holder of TK, but not when: it may be a copy of an old one. A hello
// therefore never moves the index; it only decides what the gateway sends.
//
//	0, 0                                      notification of the newest set's next key
//	the newest set's epoch, any index up to n auth-challenge
//	an older epoch                            notification of the newest set's next key
//	a newer epoch, or an index above n        nothing: it has been assigned elsewhere since
//	after Readmit, an index not above the
//	last proved                               notification of the next key
func (p PNE) hello(h *cpns.Hello, w World) (PNE, []Effect) {
	t := p.rec.target()
	if t == nil { // without TK the hello cannot be verified
		p.mem.link, p.mem.seen = w.Link, w.Now
		return p, nil
	}
	if h.Verify(t.TK) != nil {
		return p.tagFails(w)
	}
	p.mem.link, p.mem.seen = w.Link, w.Now
	p.tagVerified(h, w)
	if p.rec.alarm != nil || p.closed(w) {
		return p, nil
	}
	sum, err := h.Hash()
	if err != nil {
		panic("life: encoding a hello that was decoded: " + err.Error())
	}
	wire := p.mem.answerTo(&sum)
	answers := &p.mem.hellos
	if wire != nil || sum == p.mem.challenged {
		answers = &p.mem.again
	}
	if !answers.take(w.Now, helloBurst, helloPace) {
		return p, nil
	}
	p.mem.identify = repeat{}
	if wire != nil { // the same hello again
		return p, []Effect{Outgoing{Link: w.Link, To: p.rec.entity, Wire: wire}}
	}
	p.mem.offered.overtaken = true
	switch {
	case !h.Opens(cpns.AlgChaCha20Poly1305):
		p.mem.remark = "the device does not offer ChaCha20-Poly1305 (COSE algorithm 24), which its keys travel under"
	case h.Epoch > t.Epoch:
		p.mem.remark = fmt.Sprintf("the device holds epoch %d, newer than this gateway's %d: it has been assigned elsewhere since, by another gateway; to serve it here, provision it here again", h.Epoch, t.Epoch)
	case h.Epoch == t.Epoch && h.Index > t.Length:
		p.mem.remark = fmt.Sprintf("the device holds key %d of epoch %d, of which this gateway has %d keys: it has been assigned elsewhere since; to serve it here, provision it here again", h.Index, h.Epoch, t.Length)
	case h.Epoch == t.Epoch && !(p.rec.readmitted && h.Index <= t.Proved):
		return p.challenged(&sum, w)
	case t.usedUp():
		p.mem.remark = "the device has lost its key and the set is used up: provision it again"
	default:
		return p.sendNotification(t, h, &sum, w)
	}
	return p, nil
}

// CanBeOf reports whether h can be the PNE's: where its TK is here, that h's tag
// verifies.
func (p PNE) CanBeOf(h *cpns.Hello) bool {
	t := p.rec.target()
	return t == nil || h.Verify(t.TK) == nil
}

// tagging records how the tags of a PNE's hellos have verified so far.
type tagging struct {
	good    bool      // one has verified under the newest set's TK
	failing bool      // one has not; reset by a proof and, until there was one, by a hello that verifies
	told    time.Time // when the failure was last reported
	link    string    // where the failing one came up
}

// tagPace is the shortest time between two reports of failing tags.
const tagPace = time.Hour

// tagVerified records that a holder of TK made h, and the highest epoch that the PNE
// knows, because the next epoch from the server has to be higher. The epoch is stored,
// but only within a budget: a holder of TK could name a higher one in each hello.
func (p *PNE) tagVerified(h *cpns.Hello, w World) {
	if !p.mem.tag.good && p.rec.target().Proved == 0 {
		p.mem.tag.failing = false
	}
	p.mem.tag.good = true
	if h.Epoch <= p.highest() {
		return
	}
	p.mem.highest = h.Epoch
	if p.mem.epochs.take(w.Now, epochBurst, epochPace) {
		rec := *p.rec
		rec.highest = h.Epoch
		p.rec = &rec
	}
}

// tagFails handles a hello whose sender does not hold TK. It gets no answer.
func (p PNE) tagFails(w World) (PNE, []Effect) {
	tag := &p.mem.tag
	if tag.failing {
		return p, nil
	}
	tag.failing, tag.link = true, w.Link
	if !tag.told.IsZero() && w.Now.Sub(tag.told) < tagPace {
		return p, nil
	}
	tag.told = w.Now
	n := p.news(TagFails, p.rec.target())
	n.Fault = p.tagFault()
	return p, []Effect{n}
}

// tagFault is the likely reason why hellos do not verify, "" if they do.
func (p PNE) tagFault() TagFault {
	switch t := p.rec.target(); {
	case !p.mem.tag.failing || t == nil:
		return ""
	case p.mem.tag.good || t.Proved > 0:
		return TagForeign
	}
	return TagNeverGood
}

// highest is the highest epoch that is known of the PNE: of its sets, and of
// hellos whose tag verified.
func (p PNE) highest() cpns.Epoch {
	e := max(p.rec.highest, p.mem.highest)
	for _, t := range []*Set{p.rec.current, p.rec.next} {
		if t != nil {
			e = max(e, t.Epoch)
		}
	}
	return e
}
