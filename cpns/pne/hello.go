package pne

import (
	"fmt"
	"io"

	"cpns.example.net/pngw/cpns"
)

// hello is one that was said.
type hello struct {
	msg   string     // its bytes
	epoch cpns.Epoch // what it says is held
	index cpns.Index
	pair  cpns.X25519Pair // whose public key it has, where it has one
}

// A Counter is what a device that has no random source has instead: a place that
// outlives a power cut, and takes a write for each hello and each challenge.
type Counter interface {
	// Next returns a value that it has never returned before and never will
	// again. What makes sure of that is stored before Next returns.
	Next() (uint64, error)
}

// Hello makes a new hello. From now on a notification is taken only in answer to
// this one. A [Schedule] calls it when one is due. The error is that of the random
// source or of the counter: then there is nothing to say.
func (d *Device) Hello() ([]byte, error) {
	m := cpns.Hello{Entity: d.config.Entity, Algs: []int64{cpns.AlgChaCha20Poly1305}}
	_, m.Epoch, m.Index = d.Held()
	if d.config.X25519 {
		if err := d.makePair(); err != nil {
			return nil, fmt.Errorf("making an X25519 key: %w", err)
		}
		public := d.hello.pair.Public()
		m.X25519 = &public
	}
	nonce, err := d.random()
	if err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	m.Nonce = nonce
	made, err := cpns.NewHello(d.config.TK, m)
	if err != nil {
		return nil, err
	}
	msg, err := made.Marshal()
	if err != nil {
		return nil, err
	}
	d.hello.msg, d.hello.epoch, d.hello.index = string(msg), m.Epoch, m.Index
	return msg, nil
}

// SameHello is the latest hello, the same bytes as before; nil where that is
// spent or no longer says what is held. An answer to it is as good as one to a new
// hello, and an answer that is under way already is not made worthless.
func (d *Device) SameHello() []byte {
	_, epoch, index := d.Held()
	if d.hello.msg == "" || d.hello.epoch != epoch || d.hello.index != index {
		return nil
	}
	return []byte(d.hello.msg)
}

// spend ends the hello that was answered by a notification that is taken, and
// with it the X25519 pair. A second notification for it is not taken: a gateway
// that forgot that it had answered, and was shown a copy, would use up a key.
func (d *Device) spend() { d.hello = hello{} }

// makePair makes an X25519 pair where there is none: the first since the device
// was switched on, or since a notification was taken.
func (d *Device) makePair() error {
	if d.hello.pair != (cpns.X25519Pair{}) {
		return nil
	}
	var private [cpns.X25519Size]byte
	defer clear(private[:])
	if _, err := io.ReadFull(d.config.Rand, private[:]); err != nil {
		return err
	}
	pair := cpns.NewX25519Pair(private)
	defer pair.Wipe()
	d.hello.pair = *pair
	return nil
}

// random is the nonce of a hello, or rand-pne.
func (d *Device) random() (r [cpns.NonceSize]byte, err error) {
	if d.config.Rand != nil {
		_, err = io.ReadFull(d.config.Rand, r[:])
		return r, err
	}
	n, err := d.config.Counter.Next()
	if err != nil {
		return r, fmt.Errorf("counting on: %w", err)
	}
	return cpns.PNERandom(d.config.TK, n), nil
}
