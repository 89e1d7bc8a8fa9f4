package pne

import (
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// EUKey Assignment Notification -> acknowledgement
// (CR EUKey Assignment, 6.3.2.2 steps 7 and 8)

// notification takes a notification for this Entity ID, only under the nonce
// of the latest hello, and only with an epoch above the one held, or the same
// epoch and a higher index, or while none is held.
func (d *Device) notification(msg []byte, m *cpns.Notification) ([]byte, Event) {
	if !d.hello.said {
		return d.refuse(cpns.AckCannotDecrypt, m.Epoch, m.Index, errors.New("a notification before the first hello"))
	}
	key, err := m.Open(d.tk, &d.hello.hash, nil)
	if err != nil {
		return d.refuse(cpns.AckCannotDecrypt, m.Epoch, m.Index, err)
	}
	defer clear(key[:])
	if !d.held.below(m.Epoch, m.Index) {
		return d.refuse(cpns.AckStale, m.Epoch, m.Index, d.held.notBelow())
	}
	next := State{Gateway: m.Gateway, Epoch: m.Epoch, Index: m.Index, EUKey: key}
	reply, err := d.store(msg, &next, cpns.NotificationContext(&d.hello.hash))
	if err != nil {
		return d.refuse(cpns.AckNotStored, m.Epoch, m.Index, err)
	}
	// Whatever was agreed under the key before is over.
	d.answered, d.auth.open = exchange{}, false
	d.session.agreed = false
	clear(d.session.key[:])
	return reply, Event{Kind: Stored, Gateway: m.Gateway, Epoch: m.Epoch, Index: m.Index}
}

// store puts next in place of what is held, durably before anything else, and
// returns the acknowledgement under context. After an error all is as it was.
func (d *Device) store(msg []byte, next *State, context cpns.AckContext) ([]byte, error) {
	defer clear(next.EUKey[:])
	reply, err := d.acknowledge(next, context)
	if err != nil {
		return nil, err
	}
	if err := d.storage.Save(next); err != nil {
		return nil, fmt.Errorf("storing the EUKey: %w", err)
	}
	d.held = *next // overwrites the key before in place
	d.took(msg, reply)
	return reply, nil
}

// acknowledge makes the acknowledgement that proves s.
func (d *Device) acknowledge(s *State, context cpns.AckContext) ([]byte, error) {
	return cpns.NewAcknowledgement(&s.EUKey, context, d.entity, s.Gateway, s.Epoch, s.Index).Marshal()
}

// took remembers the message that was just taken and how it was acknowledged.
func (d *Device) took(msg, reply []byte) {
	d.taken.keep(msg, reply)
	d.refusals = MaxRefusals
}

// refuse answers with a failure status and changes nothing. Once the refusals
// of the latest hello are used up it says nothing at all.
func (d *Device) refuse(s cpns.AckStatus, epoch cpns.Epoch, index cpns.Index, why error) ([]byte, Event) {
	ev := Event{Kind: Refused, Status: s, Epoch: epoch, Index: index, Err: why}
	if d.refusals == 0 {
		return nil, ev
	}
	d.refusals--
	reply, err := cpns.NewFailedAcknowledgement(s, d.entity, epoch, index).Marshal()
	if err != nil {
		ev.Err = errors.Join(why, err)
	}
	return reply, ev
}
