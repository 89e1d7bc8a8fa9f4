package life

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
func (p PNE) hello(h *cpns.Hello, w World) (PNE, []Effect) {
	p.mem.link, p.mem.seen = w.Link, w.Now
	p.mem.claimedEpoch, p.mem.claimedIndex = h.Epoch, h.Index
	p.mem.identify = repeat{}
	t := p.rec.target()
	if t == nil || p.rec.alarm != nil || !p.mem.hellos.take(w.Now, helloBurst, helloPace) {
		return p, nil
	}
	if h.Verify(t.TK) != nil || h.X25519 != nil {
		return p, nil
	}
	sum, err := h.Hash()
	if err != nil {
		panic("life: encoding a hello that was decoded: " + err.Error())
	}
	switch {
	case !slices.Contains(h.Algs, algChaCha20Poly1305):
		p.mem.remark = "the device does not offer ChaCha20-Poly1305 (COSE algorithm 24), which its keys travel under"
	case h.Epoch > t.Epoch:
		p.mem.remark = fmt.Sprintf("the device says that it holds epoch %d, newer than this gateway's %d: it was assigned by another gateway; to serve it here, provision it here again", h.Epoch, t.Epoch)
	case h.Epoch == t.Epoch && !p.rec.readmitted:
		return p.challenge(w)
	case t.usedUp():
		p.mem.remark = "the device has lost its key and the set is used up: provision it again"
	case sum == p.mem.taken: // a copy of the hello that has had its key
	default:
		return p.sendNotification(t, h, w)
	}
	return p, nil
}
