package life

import (
	"time"

	"cpns.example.net/pngw/cpns"
)

// An Event is something that happens to a PNE: a received *cpns.Hello,
// *cpns.Acknowledgement or *cpns.AuthResponse, or one of the types below. [Apply] handles
// all of them.
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
		Remember *cpns.PasswordHash // kept to renew the set with; nil if the user does not want that
		Reassign bool               // a person asked for it in spite of an alarm
		Hold     bool               // its first key waits for [World.Open]; a PNE that has proved a key is not held
	}
	AskForHello    struct{} // ask the PNE to say hello, on every link
	Authenticate   struct{} // a person asks for a mutual authentication
	ForgetPassword struct{} // the user has changed the password, so that the remembered hash is useless
	Readmit        struct{} // a person ends the alarm of a rolled-back PNE
	Opened         struct{} // World.Open has just become true
)

// World is the input of [Apply] that comes from outside: the time, random values, and the
// state of the links. Each call needs new random values.
type World struct {
	Now      time.Time
	ClockSet bool // Now can be believed
	Gateway  cpns.GatewayID
	Link     string // the link that a message came up, "" where the event is none

	// Wait returns how long to wait for an answer on a link before a message is
	// repeated for the first time, besides Line. For "" it is that of the slowest link.
	Wait func(link string) time.Duration

	// Line is what a slow line adds to each wait: it is neither doubled nor drawn at
	// random. Nil is none, on any link.
	Line func(link string) time.Duration

	RandGW [cpns.NonceSize]byte
	IV     [cpns.IVSize]byte
	Chance uint64 // random, to spread out what must not happen to all PNEs at the same time

	// Pair returns the gateway's X25519 key pair, which is used for ten minutes and is
	// never stored. It is called only if a hello whose tag verified has a public key.
	Pair func() *cpns.X25519Pair

	// Queued reports whether an Outgoing of this PNE still waits to be sent on a link:
	// such a message is not repeated. Nil means that none ever waits.
	Queued func(ticket uint64) bool

	Reauth time.Duration // how often the schedule authenticates, 0 for never

	// Open is true for a while after a person has pressed the gateway's button: PNEs that
	// are held then get their first key. Otherwise their hellos get no answer.
	Open bool
}

// An Effect is something that the caller of [Apply] has to do once the new record is
// stored: send an [Outgoing], or tell a [News]. Effects are in order.
type Effect any

// Outgoing is a message to one PNE, to be sent on the link named, or on all links if
// Link is "".
type Outgoing struct {
	Link string
	To   cpns.EntityID
	Wire []byte

	// Ticket identifies a message for which the wait for an answer starts when its last
	// byte has been sent, which the agent tells by [Sent] (for a message on several links,
	// any number of times). Without a Sent the wait starts now.
	Ticket uint64

	// Poll marks one of the identifies that are repeated until the PNE answers. On a link
	// without addresses, a single identify to everybody can replace all that are due.
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
	Present                       // the PNE has proved the key that it had proved before
	Authenticated                 // a mutual authentication has succeeded
	Refused                       // a message in the PNE's name says that it could not take the key; not authenticated
	Alarmed                       // an older key has been proved
	Unanswered                    // a challenge or an update was repeated in vain
	Superseded                    // a challenge or an update has ended because a new set came
	TagFails                      // a hello's tag does not verify; told once, see [View]
	Unproved                      // the message proved nothing
)

// TagFault is the likely reason why the tags of a PNE's hellos do not verify.
type TagFault string

// What such a hello can mean.
const (
	// TagNeverGood: no hello in the PNE's name has verified yet. The server has another
	// Temporary Key than the PNE, or somebody else sends the hellos.
	TagNeverGood TagFault = "never_good"
	// TagForeign: hellos of the PNE verified before. Somebody else now sends hellos in its
	// name, or it was given another Temporary Key.
	TagForeign TagFault = "foreign"
)
