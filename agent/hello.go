package agent

import (
	"fmt"
	"slices"

	"cpns.example.net/pngw/cpns"
)

// algChaCha20Poly1305 is the COSE algorithm that every EUKey travels under. A
// PNE that lists its algorithms in a hello must have it among them.
const algChaCha20Poly1305 = 24

// hello answers a PNE that says what it holds. Nothing in a hello is proved, so
// nothing in it moves the record: it decides only what the gateway sends.
//
//	PNE holds              gateway sends
//	nothing                notification of the next key
//	an older epoch         notification of the next key of the newer set
//	this epoch             auth-challenge; notification of the next key after a readmission
//	a newer epoch          nothing: another gateway has assigned it since
func (s state) hello(h *cpns.Hello, w around) (state, []effect) {
	s.ses.link, s.ses.seen = w.link, w.now
	s.ses.claimedEpoch, s.ses.claimedIndex = h.Epoch, h.Index
	s.ses.identify = repeat{}
	t := s.rec.target()
	if t == nil || s.rec.alarm != nil || !s.ses.hellos.take(w.now, helloBurst, helloPace) {
		return s, nil
	}
	if h.Verify(t.tk) != nil || h.X25519 != nil {
		return s, nil
	}
	hash, err := h.Hash()
	if err != nil {
		panic("agent: encoding a hello that was decoded: " + err.Error())
	}
	switch {
	case !slices.Contains(h.Algs, algChaCha20Poly1305):
		s.ses.remark = "the device does not offer ChaCha20-Poly1305 (COSE algorithm 24), which its keys travel under"
	case h.Epoch > t.epoch:
		s.ses.remark = fmt.Sprintf("the device says that it holds epoch %d, newer than this gateway's %d: it was assigned by another gateway; to serve it here, provision it here again", h.Epoch, t.epoch)
	case h.Epoch == t.epoch && !s.rec.readmitted:
		return s.challenge(w)
	case t.usedUp():
		s.ses.remark = "the device has lost its key and the set is used up: provision it again"
	case hash == s.ses.taken: // a copy of the hello that has had its key
	default:
		return s.sendNotification(t, h, w)
	}
	return s, nil
}
