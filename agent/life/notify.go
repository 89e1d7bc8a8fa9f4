package life

import (
	"crypto/sha256"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// hash is H of something: SHA-256.
type hash = [sha256.Size]byte

// maxHellos bounds how many unanswered hellos of a PNE the gateway remembers.
// Anybody can say hello in a PNE's name, so the latest nonce need not be the
// PNE's own: an acknowledgement counts under any of the last few.
const maxHellos = 16

// notifying is an EUKey Assignment Notification that waits for its
// acknowledgement. The zero value is none.
type notifying struct {
	repeat repeat
	epoch  cpns.Epoch
	index  cpns.Index
	hellos [maxHellos]hash
	count  int // of hellos ever put in; the ring holds the last maxHellos
}

// sendNotification is clause 7.4.2.1.1.3, steps 2 and 3: select the EUKey, and
// send it encrypted under TK. The key is the one after the last that the PNE
// proved, however often it is asked for: asking uses nothing up.
func (p PNE) sendNotification(t *Set, h *cpns.Hello, w World) (PNE, []Effect) {
	index := t.Proved + 1
	sum, err := h.Hash()
	if err != nil {
		panic("life: encoding a hello that was decoded: " + err.Error())
	}
	if n := &p.mem.notify; n.epoch != t.Epoch || n.index != index {
		if t.Proved > 0 && !p.mem.losses.take(w.Now, lossBurst, lossPace) {
			p.mem.remark = fmt.Sprintf("the device has said too often that it lost its key, and gets the next within %s: either its power fails often, or somebody on its link speaks in its name", lossPace)
			return p, nil
		}
		*n = notifying{epoch: t.Epoch, index: index}
	}
	key := t.key(index)
	n, err := cpns.SealNotification(t.TK, h, nil, w.Gateway, t.Epoch, index, &key, w.IV)
	if err != nil {
		panic("life: sealing a checked set: " + err.Error())
	}
	wire, err := n.Marshal()
	if err != nil {
		panic("life: encoding a notification: " + err.Error())
	}
	p.mem.notify.hellos[p.mem.notify.count%maxHellos] = sum
	p.mem.notify.count++
	m := Outgoing{w.Link, p.rec.entity, wire}
	p.mem.notify.repeat = startRepeat(m, w)
	return p, []Effect{m}
}

// acknowledgement takes a PNE's answer to a notification or to an eukey-update.
// Only a valid MAC under a key that is waited for moves the index.
func (p PNE) acknowledgement(m *cpns.Acknowledgement, w World) (PNE, []Effect) {
	if m.Status != cpns.AckSuccess {
		// Anybody can have said it: it is shown, and the repeats go on. A PNE that
		// has proved a key cannot decrypt what somebody else's hello led to, and
		// there is nothing wrong with its TK.
		if n := &p.mem.notify; m.Epoch == n.epoch && m.Index == n.index && p.rec.target().Proved > 0 && m.Status == cpns.AckCannotDecrypt {
			return p, nil
		}
		p.mem.remark = Refusal(m.Status)
		refused := p.news(Refused, p.rec.target())
		refused.Status = m.Status
		return p, []Effect{refused}
	}
	kind, before, taken := Delivered, p.rec, p.mem.taken
	var key *cpns.SessionKey
	switch hello := p.mem.notify.proves(m, p.rec, w.Gateway); {
	case hello != nil:
		p.rec, taken = p.rec.withProof(m.Epoch, m.Index), *hello
	case p.mem.auth.proves(m, p.rec, w.Gateway):
		kind, key = Authenticated, p.sessionKey(w.Gateway)
		p.rec = p.rec.withProof(m.Epoch, m.Index)
		if p.rec != before && w.ClockSet {
			p.rec.advanced = w.Now.Unix()
		}
	default:
		return p, []Effect{p.news(Unproved, p.rec.target())}
	}
	p.mem = memory{
		link: w.Link, seen: w.Now, claimedEpoch: m.Epoch, claimedIndex: m.Index,
		hellos: p.mem.hellos, losses: p.mem.losses, taken: taken, reauth: p.mem.reauth,
	}
	done := p.news(kind, p.rec.setOf(m.Epoch))
	done.Key = key
	return p, []Effect{done}
}

// proves gives the hello by which m acknowledges the notification, nil where
// it does not.
func (n *notifying) proves(m *cpns.Acknowledgement, r *record, g cpns.GatewayID) *hash {
	if n.count == 0 || m.Epoch != n.epoch || m.Index != n.index {
		return nil
	}
	t := r.setOf(n.epoch)
	if t == nil {
		return nil
	}
	key := t.key(n.index)
	for i := n.count; i > 0 && i > n.count-maxHellos; i-- {
		hello := &n.hellos[(i-1)%maxHellos]
		if m.Verify(&key, cpns.NotificationContext(hello), g) == nil {
			return hello
		}
	}
	return nil
}
