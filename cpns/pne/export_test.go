package pne

import "cpns.example.net/pngw/cpns"

// SaidHello has the device have said a hello of the vectors, which another
// implementation made. pair is nil where it has no X25519 key.
func (d *Device) SaidHello(msg []byte, epoch cpns.Epoch, index cpns.Index, pair *cpns.X25519Pair) {
	d.hello = hello{msg: string(msg), epoch: epoch, index: index}
	c := *d.config
	if c.X25519 = pair != nil; c.X25519 {
		d.hello.pair = *pair
	}
	d.config = &c
}

// PrivateKeyGone tells that no X25519 key is in memory.
func (d *Device) PrivateKeyGone() bool { return d.hello.pair == (cpns.X25519Pair{}) }
