package pne

import (
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// auth-challenge -> auth-response

// challenge is one that was answered, and waits for its update.
type challenge struct {
	exchange
	randGW, randPNE [cpns.NonceSize]byte
}

// authChallenge proves the EUKey that is held to the gateway that gave it, and to
// no other. A challenge is open from its response until an update or a
// notification is taken, or another challenge comes: anybody on the link can
// send that in the gateway's name, and do no more by it than have the gateway
// begin again.
func (d *Device) authChallenge(msg []byte, m *cpns.AuthChallenge) ([]byte, Event) {
	if !d.held.holds() || m.Gateway != d.held.Gateway {
		return silent("a challenge from a gateway whose EUKey is not held")
	}
	if d.challenge.again(msg) {
		return repeated(&d.challenge.exchange)
	}
	randPNE, err := d.random()
	if err != nil {
		return nil, Event{Kind: Refused, Err: fmt.Errorf("drawing rand-pne: %w", err)}
	}
	reply, err := cpns.NewAuthResponse(&d.held.EUKey, m.Gateway, &m.RandGW, &randPNE, d.config.Entity, d.held.Epoch, d.held.Index).Marshal()
	if err != nil {
		return nil, Event{Kind: Refused, Err: err}
	}
	d.challenge = challenge{randGW: m.RandGW, randPNE: randPNE}
	d.challenge.keep(msg, reply)
	return reply, Event{Kind: Authenticated, Gateway: m.Gateway, Epoch: d.held.Epoch, Index: d.held.Index}
}

// eukey-update -> acknowledgement

// eukeyUpdate takes the update that ends the authentication of the open
// challenge: the next EUKey, whose hash is the one that is held; or none, where
// the device stays on its key. An update that opens proves that the gateway holds
// TK and the EUKey: the authentication is mutual, and leaves a session key.
func (d *Device) eukeyUpdate(msg []byte, m *cpns.EUKeyUpdate) ([]byte, Event) {
	if d.taken.again(msg) {
		return repeated(&d.taken)
	}
	if d.challenge.reply == "" {
		return silent("an update, and no challenge waits for one")
	}
	randGW, randPNE := &d.challenge.randGW, &d.challenge.randPNE
	key, err := m.Open(d.config.TK, &d.held.EUKey, d.held.Gateway, randGW, randPNE)
	if errors.Is(err, cpns.ErrNotAuthentic) {
		return d.refuse(cpns.AckCannotDecrypt, m.Epoch, m.Index, err)
	}
	if key != nil {
		defer clear(key[:])
	}
	next := d.held
	defer clear(next.EUKey[:])
	if key != nil {
		next.Index, next.EUKey = next.Index+1, *key
	}
	if err != nil || m.Epoch != next.Epoch || m.Index != next.Index {
		return d.refuse(cpns.AckStale, m.Epoch, m.Index, d.held.notNext(err))
	}
	if key != nil && !d.held.EUKey.Precedes(key) {
		return d.refuse(cpns.AckChainBroken, m.Epoch, m.Index, d.held.notLeading())
	}
	reply, err := d.take(&next, key != nil, cpns.UpdateContext(randGW, randPNE))
	if err != nil {
		return d.refuse(cpns.AckNotStored, m.Epoch, m.Index, err)
	}
	d.taken.keep(msg, reply)
	d.session.key = cpns.DeriveSessionKey(&d.held.EUKey, randGW, randPNE, d.config.Entity, d.held.Gateway)
	d.session.agreed = true
	d.challenge = challenge{} // one update for each
	kind := Stayed
	if key != nil {
		kind = Stored
	}
	return reply, Event{Kind: kind, Gateway: d.held.Gateway, Epoch: m.Epoch, Index: m.Index}
}

// take stores next, or only acknowledges it where it is what is held already.
func (d *Device) take(next *State, moves bool, c cpns.AckContext) ([]byte, error) {
	if moves {
		return d.store(next, c)
	}
	return d.acknowledge(next, c)
}

// notNext says why an update that opened is none that may follow. why is not nil
// where it carries neither an EUKey nor nothing.
func (s *State) notNext(why error) error {
	if why != nil {
		return why
	}
	return fmt.Errorf("neither the EUKey after the one held, epoch %d index %d, nor staying on it", s.Epoch, s.Index)
}
