package pne

import "cpns.example.net/pngw/cpns"

// Kind says what a message has done to a device.
type Kind uint8

// The kinds of Event, with the fields of Event that each fills in.
const (
	Ignored       Kind = iota // not for this device, or nothing that a PNE answers: Entity, Type
	Malformed                 // not a message of the protocol: Err
	Repeated                  // the same message again, given the same answer
	Identify                  // the gateway asks who is there: a hello is due. Everybody
	Stored                    // another EUKey is held now: Gateway, Epoch, Index
	Authenticated             // a challenge was answered: Gateway, and the Epoch and Index proved
	Stayed                    // the gateway is authentic and has no other EUKey now: Gateway, Epoch, Index
	Refused                   // nothing was changed: Status, Err, and the Epoch and Index offered
)

var kindNames = [...]string{"ignored", "malformed", "repeated", "identify", "stored", "authenticated", "stayed", "refused"}

// String returns the kind's name.
func (k Kind) String() string { return kindNames[k] }

// Event tells a driver what a message has done. It holds no secret.
type Event struct {
	Kind      Kind
	Everybody bool // an identify that was not for this device alone

	Entity cpns.EntityID    // whom a message that is ignored is for, or from
	Type   cpns.MessageType // and what it is

	Gateway cpns.GatewayID
	Epoch   cpns.Epoch
	Index   cpns.Index

	Status cpns.AckStatus // why Refused; 0 of what is refused in silence
	Err    error          // why, for people
}

// Opened tells whether a notification or an eukey-update has opened: who sent it
// holds TK, whatever became of it.
func (ev *Event) Opened() bool {
	return ev.Kind == Stored || ev.Kind == Stayed || ev.Kind == Refused && ev.Status > cpns.AckCannotDecrypt
}
