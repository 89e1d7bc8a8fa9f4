package agent

import (
	"crypto/sha256"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

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
	hellos [maxHellos][sha256.Size]byte
	count  int // of hellos ever put in; the ring holds the last maxHellos
}

// sendNotification is clause 7.4.2.1.1.3, steps 2 and 3: select the EUKey, and
// send it encrypted under TK. The key is the one after the last that the PNE
// proved, however often it is asked for: asking uses nothing up.
func (s state) sendNotification(t *set, h *cpns.Hello, w around) (state, []effect) {
	index := t.proved + 1
	hash, err := h.Hash()
	if err != nil {
		panic("agent: encoding a hello that was decoded: " + err.Error())
	}
	if n := &s.ses.notify; n.epoch != t.epoch || n.index != index {
		if t.proved > 0 && !s.ses.losses.take(w.now, lossBurst, lossPace) {
			s.ses.remark = fmt.Sprintf("the device has said too often that it lost its key, and gets the next within %s: either its power fails often, or somebody on its link speaks in its name", lossPace)
			return s, nil
		}
		*n = notifying{epoch: t.epoch, index: index}
	}
	key := t.key(index)
	n, err := cpns.SealNotification(t.tk, h, nil, w.gateway, t.epoch, index, &key, w.iv)
	if err != nil {
		panic("agent: sealing a checked set: " + err.Error())
	}
	wire, err := n.Marshal()
	if err != nil {
		panic("agent: encoding a notification: " + err.Error())
	}
	s.ses.notify.hellos[s.ses.notify.count%maxHellos] = hash
	s.ses.notify.count++
	m := send{w.link, s.rec.entity, wire}
	s.ses.notify.repeat = startRepeat(m, w)
	return s, []effect{m}
}

// acknowledgement takes a PNE's answer to a notification or to an eukey-update.
// Only a valid MAC under a key that is waited for moves the index.
func (s state) acknowledgement(m *cpns.Acknowledgement, w around) (state, []effect) {
	if m.Status != cpns.AckSuccess {
		// Anybody can have said it: it is shown, and the repeats go on. A PNE that
		// has proved a key cannot decrypt what somebody else's hello led to, and
		// there is nothing wrong with its TK.
		if n := &s.ses.notify; m.Epoch == n.epoch && m.Index == n.index && s.rec.target().proved > 0 && m.Status == cpns.AckCannotDecrypt {
			return s, nil
		}
		s.ses.remark = refusal(m.Status)
		return s, []effect{tell{kind: refused, status: m.Status}}
	}
	done, before, taken := tell{kind: delivered}, s.rec, s.ses.taken
	switch hello := s.ses.notify.proves(m, s.rec, w.gateway); {
	case hello != nil:
		s.rec, taken = s.rec.withProof(m.Epoch, m.Index), *hello
	case s.ses.auth.proves(m, s.rec, w.gateway):
		done = tell{kind: authenticated, session: s.sessionKey(w.gateway)}
		s.rec = s.rec.withProof(m.Epoch, m.Index)
		if s.rec != before && w.clockSet {
			s.rec.stepped = w.now.Unix()
		}
	default:
		return s, []effect{tell{kind: unproved}}
	}
	s.ses = session{
		link: w.link, seen: w.now, claimedEpoch: m.Epoch, claimedIndex: m.Index,
		hellos: s.ses.hellos, losses: s.ses.losses, taken: taken, reauth: s.ses.reauth,
	}
	return s, []effect{done}
}

// proves gives the hello by which m acknowledges the notification, nil where
// it does not.
func (n *notifying) proves(m *cpns.Acknowledgement, r *record, g cpns.GatewayID) *[sha256.Size]byte {
	if n.count == 0 || m.Epoch != n.epoch || m.Index != n.index {
		return nil
	}
	t := r.set(n.epoch)
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

func refusal(s cpns.AckStatus) string {
	switch s {
	case cpns.AckCannotDecrypt:
		return "the device cannot decrypt its key: the Temporary Key that the server knows is not the device's"
	case cpns.AckStale:
		return "the device holds a newer key than it was sent: it may have been assigned by another gateway since"
	case cpns.AckChainBroken:
		return "the device holds a key that is not of this set: provision it again"
	case cpns.AckNotStored:
		return "the device could not store its key: its memory is full, worn out or read-only"
	}
	return fmt.Sprintf("the device answered with status %d", s)
}
