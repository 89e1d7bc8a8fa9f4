// Package pne is the PNE's half of CPNS-1: what a headless device does with
// the messages of docs/protocol.md, section 4. A driver (cmd/pne is one) owns
// the link, the timers and the storage, and calls:
//
//	Hello    when the link has come up, when an identify was heard, and now
//	         and then while the device holds no EUKey
//	Handle   with every message that the link brings; what it returns is sent
//	         back, and that is all a device ever says
//
// One file a procedure: assignment.go (EUKey Assignment Notification),
// authentication.go (mutual authentication and EUKey update), storage.go (what
// outlives a power cut). There is no goroutine, clock, I/O or randomness in
// here that the driver did not hand in. A Device is for one goroutine.
//
//	            notification                      eukey-update
//	holds none ---------------> holds (epoch, i) --------------> holds (epoch, i+1)
//	                               |        ^
//	                               +--------+ notification of a higher epoch,
//	                                          or of a higher index of the same
//
// # What it answers, and to whom
//
// One message in gives at most one message out. What does not decode, is not
// for this Entity ID, or is not for a PNE at all gets no answer, nor does a
// challenge from any gateway but the one whose key is held. A notification or
// update that is refused is answered with a status, at most [MaxRefusals] of
// them to each hello and none before the first: enough for a gateway to say
// what is wrong, too little to keep a battery-powered device talking. Checks
// run in the order of the protocol's text, so that a status other than "cannot
// decrypt" goes only to someone who holds TK.
//
// # Size
//
// A Device takes at most 800 bytes of memory besides the message in hand. A port
// to a microcontroller takes 635: docs/integrating.md counts them.
package pne

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"cpns.example.net/pngw/cpns"
)

// MaxRefusals is how many notifications and updates a device answers with a
// failure status after each hello. Ours, not the protocol's: a gateway sends a
// message once and repeats it 5 times.
const MaxRefusals = 8

// Config is what a device is made of. All of it is required.
type Config struct {
	Entity  cpns.EntityID // the device's own name
	TK      cpns.TK       // set by the manufacturer, 16 to 64 bytes
	Storage Storage       // where the EUKey outlives a power cut: a file, or Volatile
	Rand    io.Reader     // a cryptographic random source
}

// Device is one PNE.
type Device struct {
	entity  cpns.EntityID
	tk      cpns.TK
	storage Storage
	rand    io.Reader

	held  State // as Storage has it
	hello struct {
		said bool
		hash [sha256.Size]byte // of the latest, the only one a notification is taken under
	}
	refusals int // failure statuses that may still be sent before the next hello

	taken    exchange // the notification or update just taken, with its acknowledgement
	answered exchange // the challenge just answered, with its auth-response
	auth     struct { // the authentication that the challenge began
		open            bool
		randGW, randPNE [cpns.NonceSize]byte
	}
	session struct { // what the last mutual authentication agreed on
		agreed bool
		key    cpns.SessionKey
	}
}

// exchange remembers a message by its hash and the answer that was given, so
// that a repeat gets the same answer.
type exchange struct {
	message [sha256.Size]byte
	reply   []byte // nil before the first
}

func (x *exchange) keep(msg, reply []byte) {
	x.message, x.reply = sha256.Sum256(msg), reply
}

// repeat returns the answer to the notification or update just taken, or to the
// challenge just answered, where msg is that message again; otherwise nil.
func (d *Device) repeat(msg []byte) []byte {
	switch sum := sha256.Sum256(msg); {
	case d.taken.reply != nil && sum == d.taken.message:
		return d.taken.reply
	case d.answered.reply != nil && sum == d.answered.message:
		return d.answered.reply
	}
	return nil
}

// New makes a device that holds what its storage holds.
func New(c Config) (*Device, error) {
	if _, err := cpns.ParseEntityID(string(c.Entity)); err != nil {
		return nil, err
	}
	tk, err := cpns.ParseTK(c.TK)
	if err != nil {
		return nil, err
	}
	if c.Storage == nil || c.Rand == nil {
		return nil, errors.New("a device needs a storage and a random source")
	}
	held, err := c.Storage.Load()
	if err != nil {
		return nil, fmt.Errorf("loading the EUKey: %w", err)
	}
	if err := held.check(); err != nil {
		return nil, fmt.Errorf("loading the EUKey: %w", err)
	}
	return &Device{entity: c.Entity, tk: tk, storage: c.Storage, rand: c.Rand, held: held}, nil
}

// Held tells which EUKey the device holds, and from which gateway: all zero
// where it holds none.
func (d *Device) Held() (g cpns.GatewayID, epoch cpns.Epoch, index cpns.Index) {
	return d.held.Gateway, d.held.Epoch, d.held.Index
}

// SessionKey returns the key that the last mutual authentication has left with
// both sides; ok is false before the first, and again once a notification has
// put another EUKey in place.
func (d *Device) SessionKey() (key cpns.SessionKey, ok bool) {
	return d.session.key, d.session.agreed
}

// Hello makes a hello. From now on a notification is taken only under its
// nonce. The error is that of the random source.
func (d *Device) Hello() ([]byte, error) {
	var nonce [cpns.NonceSize]byte
	if _, err := io.ReadFull(d.rand, nonce[:]); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	m, err := cpns.NewHello(d.tk, cpns.Hello{
		Entity: d.entity,
		Nonce:  nonce,
		Epoch:  d.held.Epoch,
		Index:  d.held.Index,
		Algs:   []int64{cpns.AlgChaCha20Poly1305},
	})
	if err != nil {
		return nil, err
	}
	msg, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	d.hello.said, d.hello.hash = true, sha256.Sum256(msg)
	d.refusals = MaxRefusals
	return msg, nil
}

// Handle takes one message from the link. The reply is to be sent; nil means
// silence. The device keeps the reply for a repeat: it is not to be written to.
// The event tells what has happened, for the driver's log; only
// Identify asks something of it: a Hello, after a random delay of up to
// [MaxIdentifyDelay] where everybody was asked.
func (d *Device) Handle(msg []byte) (reply []byte, ev Event) {
	m, err := cpns.ParseMessage(msg)
	if err != nil {
		return nil, Event{Kind: Malformed, Err: err}
	}
	if reply := d.repeat(msg); reply != nil {
		return reply, Event{Kind: Repeated}
	}
	switch m := m.(type) {
	case *cpns.Identify:
		if m.Entity == "" || m.Entity == d.entity {
			return nil, Event{Kind: Identify, Everybody: m.Entity == ""}
		}
	case *cpns.Notification:
		if m.Entity == d.entity {
			return d.notification(msg, m)
		}
	case *cpns.AuthChallenge:
		if m.Entity == d.entity {
			return d.challenge(msg, m)
		}
	case *cpns.EUKeyUpdate:
		if m.Entity == d.entity {
			return d.update(msg, m)
		}
	}
	return nil, Event{Kind: Ignored} // for another PNE, or from one: a shared line carries both
}
