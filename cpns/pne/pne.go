// Package pne is the PNE's half of CPNS-1: what a headless device does with the
// messages of docs/protocol.md, section 4, "What a PNE does". Its files are that
// text's paragraphs, in its order, and the checks stand in the text's order too:
//
//	hello.go           what a hello says, and what makes it fresh
//	schedule.go        when it is said
//	notification.go    notification -> acknowledgement
//	authentication.go  auth-challenge -> auth-response, eukey-update -> acknowledgement
//	storage.go         what outlives a power cut
//	line.go            when one may speak on a serial line that others share (section 5)
//
// A driver (cmd/pne is one) owns the link, the clock and the storage. It calls
// [Device.Handle] with every message that the link brings, and sends what that
// returns; it asks a [Schedule] when a hello is due, and sends that. This is all
// that a device ever says. There is no goroutine, clock, I/O or randomness in here
// that the driver did not hand in. A Device is for one goroutine.
//
// # States
//
// What a device holds changes on two occasions, and each time it is stored before
// it is acknowledged:
//
//	            notification                      eukey-update with a key
//	holds none ---------------> holds (epoch, i) --------------------------> holds (epoch, i+1)
//	                               |        ^
//	                               +--------+ notification of a higher epoch, or of a higher
//	                                          index of the same epoch and the same chain
//
// Beside that it remembers, until the power goes, one of each:
//
//	hello      said --> spent, when a notification has been taken in answer to it
//	challenge  open --> closed, when an update or a notification has been taken
//	session    agreed, when an update has been taken --> ended, when a notification has
//	taken      the notification or update taken last, whose repeat gets the same bytes
//
// # Answers
//
// One message in gives at most one message out. What does not decode, is for
// another, or is for a gateway gets no answer; nor does a notification that no
// hello waits for, a challenge from any gateway but the one whose key is held, or
// an update that no challenge waits for. A notification or update that fails a
// check of its contents is answered with a status, and changes nothing.
//
// A Device is a comparable value: a copy of it is a second device in the same
// state, with the same storage and random source.
package pne

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"cpns.example.net/pngw/cpns"
)

// Config is what a device is made of.
type Config struct {
	Entity  cpns.EntityID // the device's own name
	TK      cpns.TK       // set by the manufacturer, 16 to 64 bytes
	Storage Storage       // where the EUKey outlives a power cut: a file, or Volatile

	// One of the two: a cryptographic random source; or, for a device that has
	// none, a counter.
	Rand    io.Reader
	Counter Counter

	// X25519 has hellos carry a key of their own, so that who listens, and learns
	// TK later, reads no EUKey. It needs Rand.
	X25519 bool
}

// Device is one PNE.
type Device struct {
	config *Config // as New was given it, which never changes
	held   State   // as Storage has it

	hello     hello     // the latest, zero where there is none that is not spent
	taken     exchange  // the notification or update taken last
	challenge challenge // the open one, zero where none is open
	session   struct {  // what the last mutual authentication agreed on
		agreed bool
		key    cpns.SessionKey
	}
}

// exchange remembers a message by its hash, and the answer that it was given.
type exchange struct {
	message [sha256.Size]byte
	reply   string // "" where nothing is remembered
}

func (x *exchange) keep(msg, reply []byte) {
	x.message, x.reply = sha256.Sum256(msg), string(reply)
}

// again tells whether msg is the message that is remembered.
func (x *exchange) again(msg []byte) bool {
	return x.reply != "" && x.message == sha256.Sum256(msg)
}

// New makes a device that holds what its storage holds. It has been switched on.
func New(c Config) (*Device, error) {
	if _, err := cpns.ParseEntityID(string(c.Entity)); err != nil {
		return nil, err
	}
	tk, err := cpns.ParseTK(c.TK)
	if err != nil {
		return nil, err
	}
	c.TK = tk
	switch {
	case c.Storage == nil:
		return nil, errors.New("a device needs a storage")
	case (c.Rand == nil) == (c.Counter == nil):
		return nil, errors.New("a device needs a random source or a counter, one of them")
	case c.X25519 && c.Rand == nil:
		return nil, errors.New("X25519 needs a random source: a counter will not do")
	}
	held, err := c.Storage.Load()
	if err := cmp.Or(err, held.check()); err != nil {
		return nil, fmt.Errorf("loading the EUKey: %w", err)
	}
	return &Device{config: &c, held: held}, nil
}

// Held tells which EUKey the device holds, and from which gateway: all zero
// where it holds none.
func (d *Device) Held() (g cpns.GatewayID, epoch cpns.Epoch, index cpns.Index) {
	if !d.held.holds() {
		return "", 0, 0
	}
	return d.held.Gateway, d.held.Epoch, d.held.Index
}

// SessionKey returns the key that the last mutual authentication has left with
// both sides; ok is false before the first update is taken, and again once a
// notification is.
func (d *Device) SessionKey() (key cpns.SessionKey, ok bool) {
	return d.session.key, d.session.agreed
}

// ApplicationKey returns what the device's program speaks with an application by: the
// identity, and the key of a label (cpns.ApplicationTLS13, cpns.ApplicationTLS12). ok is
// false where there is no session key, or the Entity ID is too long for an identity.
func (d *Device) ApplicationKey(label string) (identity string, key cpns.ApplicationKey, ok bool) {
	identity, fits := cpns.ApplicationIdentity(d.config.Entity)
	if !d.session.agreed || !fits {
		return "", key, false
	}
	return identity, cpns.DeriveApplicationKey(&d.session.key, label), true
}

// Handle takes one message from the link. The reply is to be sent; nil means
// silence. The event tells what has happened; it is for a [Schedule], a [Line] and
// the driver's log.
func (d *Device) Handle(msg []byte) (reply []byte, ev Event) {
	m, err := cpns.ParseMessage(msg)
	if err != nil {
		return nil, Event{Kind: Malformed, Err: err}
	}
	e := entityOf(m)
	switch m := m.(type) {
	case *cpns.Identify:
		if e == d.config.Entity || e == "" {
			return nil, Event{Kind: Identify, Everybody: e == ""}
		}
	case *cpns.Notification:
		if e == d.config.Entity {
			return d.notification(msg, m)
		}
	case *cpns.AuthChallenge:
		if e == d.config.Entity {
			return d.authChallenge(msg, m)
		}
	case *cpns.EUKeyUpdate:
		if e == d.config.Entity {
			return d.eukeyUpdate(msg, m)
		}
	}
	// For another PNE, or from one; or its own, on a line with an echo.
	return nil, Event{Kind: Ignored, Entity: e, Type: m.MessageType()}
}

// entityOf is the PNE that m is for, or from: "" where it is for everybody.
func entityOf(m cpns.Message) cpns.EntityID {
	switch m := m.(type) {
	case *cpns.Identify:
		return m.Entity
	case *cpns.Hello:
		return m.Entity
	case *cpns.Notification:
		return m.Entity
	case *cpns.Acknowledgement:
		return m.Entity
	case *cpns.AuthChallenge:
		return m.Entity
	case *cpns.AuthResponse:
		return m.Entity
	case *cpns.EUKeyUpdate:
		return m.Entity
	}
	return ""
}

// repeated gives the answer that a message was given before.
func repeated(x *exchange) ([]byte, Event) {
	return []byte(x.reply), Event{Kind: Repeated}
}

// silent says nothing: nobody is owed an answer, and nothing was changed.
func silent(why string) ([]byte, Event) {
	return nil, Event{Kind: Refused, Err: errors.New(why)}
}

// refuse answers a notification or an update with a failure status. Nothing was
// changed: a repeat is looked at anew.
func (d *Device) refuse(s cpns.AckStatus, epoch cpns.Epoch, index cpns.Index, why error) ([]byte, Event) {
	reply, err := cpns.NewFailedAcknowledgement(s, d.config.Entity, epoch, index).Marshal()
	return reply, Event{Kind: Refused, Status: s, Epoch: epoch, Index: index, Err: cmp.Or(err, why)}
}
