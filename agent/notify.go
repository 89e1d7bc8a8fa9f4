package agent

import (
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// maxNonces bounds how many unanswered hellos of a PNE the gateway remembers.
// Anybody can say hello in a PNE's name, so the latest nonce need not be the
// PNE's own: an acknowledgement counts under any of the last few.
const maxNonces = 16

// notifying is an EUKey Assignment Notification that waits for its
// acknowledgement. The zero value is none.
type notifying struct {
	repeat repeat
	epoch  cpns.Epoch
	index  cpns.Index
	nonces [maxNonces][cpns.NonceSize]byte
	count  int // of nonces ever put in; the ring holds the last maxNonces
}

// sendNotification is clause 7.4.2.1.1.3, steps 2 and 3: select the EUKey, and
// send it encrypted under TK. The key is the one after the last that the PNE
// proved, however often it is asked for: asking uses nothing up.
func (s state) sendNotification(t *set, h *cpns.Hello, w around) (state, []effect) {
	index := t.proved + 1
	if n := &s.ses.notify; n.epoch != t.epoch || n.index != index {
		if t.proved > 0 && !s.ses.losses.take(w.now, lossBurst, lossPace) {
			s.ses.remark = fmt.Sprintf("the device has said too often that it lost its key, and gets the next within %s: either its power fails often, or somebody on its link speaks in its name", lossPace)
			return s, nil
		}
		*n = notifying{epoch: t.epoch, index: index}
	}
	key := t.key(index)
	n, err := cpns.SealNotification(t.tk, &h.Nonce, s.rec.entity, w.gateway, t.epoch, index, &key, w.iv)
	if err != nil {
		panic("agent: sealing a checked set: " + err.Error())
	}
	wire, err := n.Marshal()
	if err != nil {
		panic("agent: encoding a notification: " + err.Error())
	}
	s.ses.notify.nonces[s.ses.notify.count%maxNonces] = h.Nonce
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
	switch nonce := s.ses.notify.proves(m, s.rec); {
	case nonce != nil:
		s.rec, taken = s.rec.withProof(m.Epoch, m.Index), *nonce
	case s.ses.auth.proves(m, s.rec):
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

// proves gives the nonce under which m acknowledges the notification, nil where
// it does not.
func (n *notifying) proves(m *cpns.Acknowledgement, r *record) *[cpns.NonceSize]byte {
	if n.count == 0 || m.Epoch != n.epoch || m.Index != n.index {
		return nil
	}
	t := r.set(n.epoch)
	if t == nil {
		return nil
	}
	key := t.key(n.index)
	for i := n.count; i > 0 && i > n.count-maxNonces; i-- {
		nonce := &n.nonces[(i-1)%maxNonces]
		if m.Verify(&key, nonce[:]) == nil {
			return nonce
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
	case cpns.AckUnsupported:
		return "the device does not support what it was sent"
	}
	return fmt.Sprintf("the device answered with status %d", s)
}
