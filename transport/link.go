// Package transport carries CPNS-1 messages between the PN GW and its PNEs: the
// [Link] contract that every carrier keeps, the framing of byte streams
// (docs/protocol.md, section 5), the back-off with which a lost carrier is
// looked for again, and the errors of the way to the CPNS Server.
//
// The agent holds a set of Links and knows nothing else about them. The carriers
// are the packages below this one, each around one library: serial, usb, mqtt.
// [NewPair] makes two ends of a link in memory, for tests of whoever uses links.
// Package linktest is the contract as a test; every carrier passes it.
//
// A link moves opaque bytes. It neither knows CBOR nor keys, and it vouches for
// nothing: not for the sender that it names, not for delivery, not for order
// across a reconnection. Everything that comes up is hostile until package cpns
// has opened it.
package transport

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// MaxMessage is the size in bytes of the longest CPNS-1 message, a limit of the
// protocol. No link sends or delivers a longer one.
const MaxMessage = 512

// ErrLinkDown is returned by Send while the link is not up.
var ErrLinkDown = errors.New("link is down")

// A TooLongError is returned by Send for a message of more than MaxMessage bytes.
type TooLongError struct {
	Size int // bytes
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("message of %d bytes is longer than the %d that a link carries", e.Size, MaxMessage)
}

// A Message is one CPNS-1 message that came up a link.
type Message struct {
	// Peer is the Entity ID that the link names as the sender (MQTT: from the
	// topic), empty where the link names none (serial, USB). It is a hint for
	// routing and never evidence.
	Peer string

	// Data is the message, at most MaxMessage bytes. The receiver owns it.
	Data []byte
}

// A Handler is what Run calls. Its functions are called from one goroutine, one
// call at a time, and may block: the link then holds its source back, or loses
// messages and counts them, but never keeps more than a fixed number of them.
// Once Run's context has ended a blocked call must return soon, because Run
// waits for it.
type Handler struct {
	// Message is called for each message received. It must not be nil.
	Message func(Message)

	// Noise is called when something came in on a byte stream that was no message: what two
	// who spoke at once have left, say. Nil is allowed.
	Noise func()

	// Up is called each time that the link has come up, before the first Message
	// of that connection. Nil is allowed.
	Up func()
}

// A Link carries CPNS-1 messages to and from PNEs over one serial line, USB
// device or broker. All methods are safe for concurrent use.
type Link interface {
	// Name is the link's name as configured, such as "rs232".
	Name() string

	// Run keeps the link alive until ctx ends: it opens the carrier, waits for
	// one that is not there, and opens it again after it went away, at a bounded
	// and jittered rate. It returns nil once ctx has ended and every goroutine
	// that it started has too. It returns an error only for what waiting cannot
	// cure, such as a second Run while the first has not returned.
	Run(ctx context.Context, h Handler) error

	// Send hands one message to the carrier, for the PNE with Entity ID peer; the
	// empty peer means everybody who listens. At the PNE's end of a link there is
	// only the gateway, and peer is ignored.
	//
	// Send never keeps a message for later. It returns ErrLinkDown at once while
	// the link is not up, a *TooLongError for more than MaxMessage bytes, and
	// otherwise returns when the carrier has taken the message, when it
	// refused it, or when ctx ends. Nil says that the carrier has it, not that the
	// peer does; after an error the peer may still have received it. The link
	// does not keep msg.
	Send(ctx context.Context, peer string, msg []byte) error

	// Status says how the link is doing. It is Absent while Send says ErrLinkDown,
	// and only then, and Up before Up is called.
	Status() Status

	// RetryInterval is the time after which an unanswered message is sent again
	// for the first time (docs/protocol.md, section 5).
	RetryInterval() time.Duration

	// Addressed says that a PNE hears only what is for it or for everybody, as a
	// broker has it. On a byte stream everybody hears everything, and two who
	// speak at once garble each other.
	Addressed() bool
}

// Times after which an unanswered message is sent again for the first time.
const (
	RetryStream = 500 * time.Millisecond // serial, USB
	RetryMQTT   = 2 * time.Second
)

// RetryLine is RetryStream on a serial line of that many bits a second, with the time
// that the line takes. A repeat's wait doubles RetryStream and adds that time once.
func RetryLine(baud int) time.Duration { return RetryStream + LineTime(baud) }

// LineTime is by how much every wait for an answer is longer on a serial line of that
// many bits a second. Send returns when the kernel has the message, not when its last
// byte has left: it is the time of the longest frame out and of the longest answer.
func LineTime(baud int) time.Duration {
	return 2 * MaxFrame * 10 * time.Second / time.Duration(baud)
}

// LineTimeOf is the part of a link's RetryInterval that does not double.
func LineTimeOf(l Link) time.Duration {
	if l.Addressed() {
		return 0
	}
	return max(0, l.RetryInterval()-RetryStream)
}
