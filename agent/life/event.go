package life

import (
	"time"

	"cpns.example.net/pngw/cpns"
)

// An Event is what can happen to a PNE. [Apply] answers each of *cpns.Hello,
// *cpns.Acknowledgement, *cpns.AuthResponse, and those below.
type Event any

type (
	Started   struct{}                // the agent begins to serve the PNE
	Timeout   struct{}                // a deadline may have passed, see [PNE.Due]
	Sent      struct{ Ticket uint64 } // the last byte of the Outgoing with that ticket has left
	Requested struct{ R *Request }    // a request is about to be sent
	Abandoned struct{}                // the request was refused
	Assigned  struct {                // the response has been checked, and [PNE.Refuses] has nothing against the set
		User     cpns.UserID
		Set      *Set
		Remember *cpns.PasswordHash // nil for not
		Reassign bool               // a person asked for it in spite of an alarm
		Hold     bool               // its first key waits for [World.Open]; a PNE that has proved a key is not held
	}
	AskForHello    struct{} // ask the PNE to say hello, on every link
	Authenticate   struct{} // a person asks for a mutual authentication
	ForgetPassword struct{} // the user's password is another by now
	Readmit        struct{} // a person takes a rolled-back PNE in again
	Opened         struct{} // World.Open has just become true
)

// World is what [Apply] needs of the world: everything random, and the time, is
// handed in. Each call needs new random values.
type World struct {
	Now      time.Time
	ClockSet bool // Now can be believed
	Gateway  cpns.GatewayID
	Link     string // the link that a message came up, "" where the event is none

	// Wait is how long a link takes to bring an answer: after that a message is
	// repeated for the first time. Of the slowest link for "".
	Wait func(link string) time.Duration

	RandGW [cpns.NonceSize]byte
	IV     [cpns.IVSize]byte
	Chance uint64 // random, for what must not happen to all PNEs at once

	// Pair is the gateway's X25519 pair, which may serve for ten minutes, and
	// never lies in the store. It is called only where a hello whose tag verified
	// has a public key.
	Pair func() *cpns.X25519Pair

	// Queued says that an Outgoing of this PNE waits for its turn on a link: what has
	// not left is not made again. Nil says that none ever does.
	Queued func(ticket uint64) bool

	Reauth time.Duration // how often the schedule authenticates, 0 for never

	// Open says that a person at the gateway has just pressed its button: PNEs that
	// are held get their first key. While it is not, their hellos get no answer.
	Open bool
}

// An Effect is what [Apply] asks for, in order, once the new record is stored:
// an [Outgoing] or a [News].
type Effect any

// Outgoing is a message to put on a link, on all of them where Link is "", for
// one PNE.
type Outgoing struct {
	Link string
	To   cpns.EntityID
	Wire []byte

	// Ticket names a message whose repeat waits from when its last byte has left:
	// the agent says so by [Sent]. Of a message that goes out on several links each
	// may say so. Where nobody does, the wait is from now.
	Ticket uint64

	// Poll says that this is one of the identifies that go on until the PNE
	// answers. On a link that has no addresses one identify for everybody serves
	// all that are due.
	Poll bool

	Identify bool // it asks this one PNE to say hello
}

// News is for those who wait for the PNE, and for the log.
type News struct {
	Kind   Kind
	Epoch  cpns.Epoch       // of the set that it is about
	Index  cpns.Index       // the latest key of it that is proved
	Length int              // keys in that set
	Status cpns.AckStatus   // of Refused
	Key    *cpns.SessionKey // of Authenticated; whoever is handed the News wipes it
	Fault  TagFault         // of TagFails
}

// Kind says what a News tells.
type Kind int

// The kinds of news.
const (
	Delivered     Kind = iota + 1 // a later key has been proved, outside a mutual authentication
	Present                       // the PNE has proved the key that the record says
	Authenticated                 // a mutual authentication has ended well
	Refused                       // the PNE says that it could not take the key; unproved
	Alarmed                       // an older key has been proved
	Unanswered                    // a challenge or an update was repeated in vain
	Superseded                    // a challenge or an update has ended because a new set came
	TagFails                      // a hello's tag does not verify; told once, see [View]
	Unproved                      // the message proved nothing
)

// TagFault says what to make of hellos whose tag does not verify.
type TagFault string

// What such a hello can mean.
const (
	// TagNeverGood: no hello in the PNE's name has verified yet. The Temporary Key
	// that the server gave is another than the PNE's, or somebody else speaks.
	TagNeverGood TagFault = "never_good"
	// TagForeign: the PNE's own did before. Somebody else speaks in its name, or
	// it was given another Temporary Key since.
	TagForeign TagFault = "foreign"
)
