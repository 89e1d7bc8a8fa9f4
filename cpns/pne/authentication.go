package pne

import (
	"errors"
	"fmt"
	"io"

	"cpns.example.net/pngw/cpns"
)

// auth-challenge -> auth-response

// challenge proves the EUKey that is held to the gateway that gave it, and to
// no other.
func (d *Device) challenge(msg []byte, m *cpns.AuthChallenge) ([]byte, Event) {
	if !d.held.holds() || m.Gateway != d.held.Gateway {
		return nil, Event{Kind: Refused, Err: errors.New("a challenge from a gateway whose EUKey is not held")}
	}
	var randPNE [cpns.NonceSize]byte
	if _, err := io.ReadFull(d.rand, randPNE[:]); err != nil {
		return nil, Event{Kind: Refused, Err: fmt.Errorf("drawing rand-pne: %w", err)}
	}
	reply, err := cpns.NewAuthResponse(&d.held.EUKey, m.Gateway, &m.RandGW, &randPNE, d.entity, d.held.Epoch, d.held.Index).Marshal()
	if err != nil {
		return nil, Event{Kind: Refused, Err: err}
	}
	// An authentication under way ends here. Anybody on the link can do that,
	// by a challenge in the gateway's name, and no more than that.
	d.auth.open, d.auth.randGW, d.auth.randPNE = true, m.RandGW, randPNE
	d.answered.keep(msg, reply)
	return reply, Event{Kind: Authenticated, Gateway: m.Gateway, Epoch: d.held.Epoch, Index: d.held.Index}
}

// eukey-update -> acknowledgement

// update takes an EUKey update under the challenge just answered, only if the
// new key's hash is the key that is held. An update that opens proves that the
// gateway holds TK and the EUKey: the authentication is mutual.
func (d *Device) update(msg []byte, m *cpns.EUKeyUpdate) ([]byte, Event) {
	if !d.auth.open {
		return d.refuse(cpns.AckCannotDecrypt, m.Epoch, m.Index, errors.New("an update without a challenge before it"))
	}
	key, err := m.Open(d.tk, &d.held.EUKey, d.held.Gateway, &d.auth.randGW, &d.auth.randPNE)
	if err != nil {
		return d.refuse(cpns.AckCannotDecrypt, m.Epoch, m.Index, err)
	}
	if key == nil {
		return d.usedUp(msg, m)
	}
	defer clear(key[:])
	if !d.held.below(m.Epoch, m.Index) {
		return d.refuse(cpns.AckStale, m.Epoch, m.Index, d.held.notBelow())
	}
	if m.Epoch != d.held.Epoch || m.Index != d.held.Index+1 || !d.held.EUKey.Precedes(key) {
		return d.refuse(cpns.AckChainBroken, m.Epoch, m.Index, d.held.notPreceding())
	}
	next := State{Gateway: d.held.Gateway, Epoch: m.Epoch, Index: m.Index, EUKey: *key}
	reply, err := d.store(msg, &next, cpns.UpdateContext(&d.auth.randGW, &d.auth.randPNE))
	if err != nil {
		return d.refuse(cpns.AckNotStored, m.Epoch, m.Index, err)
	}
	d.agree()
	return reply, Event{Kind: Stored, Gateway: d.held.Gateway, Epoch: m.Epoch, Index: m.Index}
}

// usedUp answers an empty update, which says that the set has no next EUKey.
// There is nothing to store: it is acknowledged under the key that is held,
// whose index it names.
func (d *Device) usedUp(msg []byte, m *cpns.EUKeyUpdate) ([]byte, Event) {
	if d.held.below(m.Epoch, m.Index) {
		return d.refuse(cpns.AckChainBroken, m.Epoch, m.Index, d.held.notPreceding())
	}
	if m.Epoch != d.held.Epoch || m.Index != d.held.Index {
		return d.refuse(cpns.AckStale, m.Epoch, m.Index, d.held.notBelow())
	}
	reply, err := d.acknowledge(&d.held, cpns.UpdateContext(&d.auth.randGW, &d.auth.randPNE))
	if err != nil {
		return nil, Event{Kind: Refused, Epoch: m.Epoch, Index: m.Index, Err: err}
	}
	d.took(msg, reply)
	d.agree()
	return reply, Event{Kind: UsedUp, Gateway: d.held.Gateway, Epoch: m.Epoch, Index: m.Index}
}

// agree derives the session key that a mutual authentication leaves with both
// sides. It is under the EUKey that the update has put in place.
func (d *Device) agree() {
	d.session.key = cpns.DeriveSessionKey(&d.held.EUKey, &d.auth.randGW, &d.auth.randPNE, d.entity, d.held.Gateway)
	d.session.agreed = true
}
