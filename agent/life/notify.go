package life

import (
	"crypto/sha256"
	"slices"
	"time"

	"cpns.example.net/pngw/cpns"
)

// hash is H of something: SHA-256.
type hash = [sha256.Size]byte

// maxAnswers is how many answered hellos of a PNE the gateway remembers. A copy of an old
// hello may arrive after the PNE's own, so that an acknowledgement is accepted for the
// answer to any of the last few hellos.
const maxAnswers = 8

// notifying is an EUKey Assignment Notification that waits for its
// acknowledgement, in answer to one hello or several. The zero value is none.
type notifying struct {
	repeat
	epoch   cpns.Epoch
	index   cpns.Index
	key     cpns.EUKey // of that index: the chain is not computed again for the acknowledgement
	answers []answer   // the latest last; never changed in place
	x25519  bool       // every answer for this key went under X25519
}

// answer is the answer to one hello.
type answer struct {
	hello  hash
	wire   []byte
	x25519 bool
}

// answerTo is the notification that answered a hello, nil if there was none.
func (m *memory) answerTo(hello *hash) []byte {
	if m.taken != nil && m.taken.hello == *hello {
		return m.taken.wire
	}
	for _, a := range m.notify.answers {
		if a.hello == *hello {
			return a.wire
		}
	}
	return nil
}

// sendNotification is clause 7.4.2.1.1.3, steps 2 and 3: select the EUKey, and
// send it encrypted under TK. It is always the key after the last one that the PNE
// proved, so that repeated hellos use up no keys. The PNE can open it only with this
// one hello, and takes at most one key for each hello.
func (p PNE) sendNotification(t *Set, h *cpns.Hello, sum *hash, w World) (PNE, []Effect) {
	index := t.Proved + 1
	n := &p.mem.notify
	again := n.epoch == t.Epoch && n.index == index
	key := n.key
	if !again {
		key = t.key(index)
	}
	defer clear(key[:])
	var pair *cpns.X25519Pair
	m := Outgoing{Link: w.Link, To: p.rec.entity}
	atLeast := time.Duration(0)
	if h.X25519 != nil {
		pair, atLeast = w.Pair(), X25519Wait
	}
	sealed, err := cpns.SealNotification(t.TK, h, pair, t.Gateway, t.Epoch, index, &key, w.IV)
	if err != nil { // its public key makes a shared secret of zero
		p.mem.remark = "the device's X25519 key is of no use: it gets no answer"
		return p, nil
	}
	m.Wire = encode(sealed)
	if !again {
		*n = notifying{epoch: t.Epoch, index: index, key: key, x25519: true}
	}
	n.x25519 = n.x25519 && h.X25519 != nil
	n.answers = append(slices.Clone(n.answers[max(0, len(n.answers)-maxAnswers+1):]), answer{*sum, m.Wire, h.X25519 != nil})
	p.mem.offered = offer{epoch: t.Epoch, index: index}
	return p, []Effect{p.startRepeat(&n.repeat, m, atLeast, w)}
}

// acknowledgement handles a PNE's answer to a notification or an eukey-update.
// Only a valid MAC under a key that was offered moves the index.
func (p PNE) acknowledgement(m *cpns.Acknowledgement, w World) (PNE, []Effect) {
	if m.Status != cpns.AckSuccess {
		return p.refused(m)
	}
	if a := p.mem.notify.proves(m, p.rec); a != nil {
		taken := *a
		p.noteProof(m.Epoch, m.Index, taken.x25519, w)
		p.mem.taken = &taken
		return p, []Effect{p.news(Delivered, p.rec.setOf(m.Epoch))}
	}
	if key := p.mem.update.proves(m, p.rec); key != nil {
		p.mem.update = updating{}
		p.noteProof(m.Epoch, m.Index, p.rec.setOf(m.Epoch).X25519, w)
		n := p.news(Authenticated, p.rec.setOf(m.Epoch))
		n.Key = key
		return p, []Effect{n}
	}
	return p, []Effect{p.news(Unproved, p.rec.target())}
}

// proves returns the answer that m acknowledges, nil if it acknowledges none.
func (n *notifying) proves(m *cpns.Acknowledgement, r *record) *answer {
	t := r.setOf(n.epoch)
	if t == nil || len(n.answers) == 0 || m.Epoch != n.epoch || m.Index != n.index {
		return nil
	}
	for i := range slices.Backward(n.answers) {
		if m.Verify(&n.key, cpns.NotificationContext(&n.answers[i].hello), t.Gateway) == nil {
			return &n.answers[i]
		}
	}
	return nil
}

// offer is the key that was offered last, by a notification or an eukey-update.
type offer struct {
	epoch     cpns.Epoch
	index     cpns.Index
	overtaken bool // a newer hello has come since
}

// refused handles an acknowledgement with a status other than success. It is not
// authenticated: anybody can have sent it. It therefore only changes what people are
// shown, and only if it is about the current offer; repeats go on. The status that the
// PNE could not open the message is believed only for the latest offer, and not if the
// PNE has said hello since, because it then opens nothing but the answer to that hello.
func (p PNE) refused(m *cpns.Acknowledgement) (PNE, []Effect) {
	o, n, u := &p.mem.offered, &p.mem.notify, &p.mem.update
	last := !o.overtaken && m.Epoch == o.epoch && m.Index == o.index
	about := m.Epoch == n.epoch && m.Index == n.index || m.Epoch == u.epoch && m.Index == u.index
	if !about || m.Status == cpns.AckCannotDecrypt && !last {
		return p, []Effect{p.news(Unproved, p.rec.target())}
	}
	p.mem.remark = Refusal(m.Status)
	refused := p.news(Refused, p.rec.target())
	refused.Status = m.Status
	return p, []Effect{refused}
}
