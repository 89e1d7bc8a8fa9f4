package pne

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// EUKey Assignment Notification -> acknowledgement
// (CR EUKey Assignment, 6.3.2.2 steps 7 and 8)

// notification takes a notification for this Entity ID. It answers the latest
// hello, which earns one key and is then spent.
func (d *Device) notification(msg []byte, m *cpns.Notification) ([]byte, Event) {
	if d.taken.again(msg) {
		return repeated(&d.taken)
	}
	if d.hello.msg == "" {
		return silent("a notification, and no hello waits for one")
	}
	hello := sha256.Sum256([]byte(d.hello.msg))
	var pair *cpns.X25519Pair
	if d.config.X25519 {
		pair = &d.hello.pair
	}
	key, err := m.Open(d.config.TK, &hello, pair)
	if err != nil {
		return d.refuse(cpns.AckCannotDecrypt, m.Epoch, m.Index, err)
	}
	defer clear(key[:])
	if !d.held.below(m.Epoch, m.Index) {
		return d.refuse(cpns.AckStale, m.Epoch, m.Index, d.held.notBelow())
	}
	if !d.held.leadsTo(m.Epoch, m.Index, &key) {
		return d.refuse(cpns.AckChainBroken, m.Epoch, m.Index, d.held.notLeading())
	}
	next := State{Gateway: m.Gateway, Epoch: m.Epoch, Index: m.Index, EUKey: key}
	reply, err := d.store(&next, cpns.NotificationContext(&hello))
	if err != nil {
		return d.refuse(cpns.AckNotStored, m.Epoch, m.Index, err)
	}
	d.taken.keep(msg, reply)
	d.spend()
	d.challenge = challenge{}
	d.session.agreed = false
	clear(d.session.key[:])
	return reply, Event{Kind: Stored, Gateway: m.Gateway, Epoch: m.Epoch, Index: m.Index}
}

// below tells whether an EUKey of that epoch and index is newer than the one
// held: an epoch above, the same epoch and a higher index, or any where none
// is held. A device that has lost its key and knows its last epoch takes that one
// again, and none before it.
func (s *State) below(epoch cpns.Epoch, index cpns.Index) bool {
	return epoch > s.Epoch || epoch == s.Epoch && index > s.Index
}

func (s *State) notBelow() error {
	return fmt.Errorf("epoch %d index %d is held, not below the one offered", s.Epoch, s.Index)
}

// leadsTo tells whether key, of a higher index, is of the chain that the key held
// is of: H, applied often enough, leads back to it. Of another epoch it may be
// anything.
func (s *State) leadsTo(epoch cpns.Epoch, index cpns.Index, key *cpns.EUKey) bool {
	if !s.holds() || epoch != s.Epoch {
		return true
	}
	back := cpns.EUKeyAt(key, index, s.Index)
	defer clear(back[:])
	return subtle.ConstantTimeCompare(back[:], s.EUKey[:]) == 1
}

func (s *State) notLeading() error {
	return fmt.Errorf("the EUKey offered does not lead back to the one held, epoch %d index %d", s.Epoch, s.Index)
}

// store puts next in place of what is held, durably before anything else, and
// returns the acknowledgement in that context. After an error all is as it was.
func (d *Device) store(next *State, c cpns.AckContext) ([]byte, error) {
	defer clear(next.EUKey[:])
	reply, err := d.acknowledge(next, c)
	if err != nil {
		return nil, err
	}
	if err := d.config.Storage.Save(next); err != nil {
		return nil, fmt.Errorf("storing the EUKey: %w", err)
	}
	d.held = *next // overwrites the key before in place
	return reply, nil
}

// acknowledge makes the acknowledgement that proves s.
func (d *Device) acknowledge(s *State, c cpns.AckContext) ([]byte, error) {
	reply, err := cpns.NewAcknowledgement(&s.EUKey, c, d.config.Entity, s.Gateway, s.Epoch, s.Index).Marshal()
	if err != nil {
		return nil, fmt.Errorf("acknowledging the EUKey: %w", err)
	}
	return reply, nil
}
