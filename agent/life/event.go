package life

import (
	"time"

	"cpns.example.net/pngw/cpns"
)

// An Event is what can happen to a PNE. [Apply] answers each of *cpns.Hello,
// *cpns.Acknowledgement, *cpns.AuthResponse, and those below.
type Event any

type (
	Started   struct{}             // the agent begins to serve the PNE
	Timeout   struct{}             // a deadline may have passed, see [PNE.Due]
	Requested struct{ R *Request } // a request is about to be sent
	Abandoned struct{}             // the request was refused
	Assigned  struct {             // the response has been checked, and [PNE.Refuses] has nothing against the set
		User     cpns.UserID
		Set      *Set
		Remember *cpns.PasswordHash // nil for not
		Reassign bool               // a person asked for it in spite of an alarm
	}
	AskForHello    struct{} // ask the PNE to say hello, on every link
	Authenticate   struct{} // a person asks for a mutual authentication
	ForgetPassword struct{} // the user's password is another by now
	Readmit        struct{} // a person takes a rolled-back PNE in again
)

// World is what [Apply] needs of the world: everything random, and the time, is
// handed in. Each call needs new random values.
type World struct {
	Now      time.Time
	ClockSet bool // Now can be believed
	Gateway  cpns.GatewayID
	Link     string                          // the link that a message came up, "" where the event is none
	Wait     func(link string) time.Duration // a link's first repeat; of the slowest link for ""
	RandGW   [cpns.NonceSize]byte
	IV       [cpns.IVSize]byte
	Chance   uint64        // random, for what must not happen to all PNEs at once
	Reauth   time.Duration // how often the schedule authenticates, 0 for never
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
}

// News is for those who wait for the PNE, and for the log.
type News struct {
	Kind   Kind
	Epoch  cpns.Epoch       // of the set that it is about
	Index  cpns.Index       // the latest key of it that is proved
	Length int              // keys in that set
	Status cpns.AckStatus   // of Refused
	Key    *cpns.SessionKey // of Authenticated; whoever is handed the News wipes it
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
	Unproved                      // the message proved nothing
)
