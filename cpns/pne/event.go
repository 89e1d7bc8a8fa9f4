package pne

import (
	"time"

	"cpns.example.net/pngw/cpns"
)

// MaxIdentifyDelay bounds the random time that a device waits before it
// answers an identify for everybody, so that the devices of a shared link do
// not all speak at once (section 4, rules).
const MaxIdentifyDelay = time.Second

// Kind says what a message has done to a device.
type Kind uint8

// The kinds of Event, with the fields of Event that each fills in.
const (
	Ignored       Kind = iota // not for this device, or nothing that a PNE answers
	Malformed                 // not a message of the protocol: Err
	Repeated                  // the same message again, given the same answer
	Identify                  // the gateway asks who is there: say hello. Everybody
	Stored                    // another EUKey is held now: Gateway, Epoch, Index
	Authenticated             // a challenge was answered: Gateway, and the Epoch and Index proved
	UsedUp                    // the gateway is authentic and has no next EUKey: Gateway, Epoch, Index
	Refused                   // nothing was changed: Status, Err, and the Epoch and Index offered
)

var kindNames = [...]string{"ignored", "malformed", "repeated", "identify", "stored", "authenticated", "used_up", "refused"}

// String returns the kind's name.
func (k Kind) String() string { return kindNames[k] }

// Event tells a driver what a message has done. It holds no secret.
type Event struct {
	Kind      Kind
	Everybody bool // an identify that was not for this device alone

	Gateway cpns.GatewayID
	Epoch   cpns.Epoch
	Index   cpns.Index

	Status cpns.AckStatus // why Refused; 0 of a challenge, which is refused in silence
	Err    error          // why, for people
}
