package agent

import (
	"crypto/rand"
	"time"

	"cpns.example.net/pngw/cpns"
)

// pairLife is how long one X25519 pair of the gateway's serves. It is in memory
// only, and no restart brings it back.
const pairLife = 10 * time.Minute

// pairing makes the gateway's X25519 pair when a PNE first needs it, in Run's
// goroutine.
type pairing struct {
	pair *cpns.X25519Pair
	made time.Time
}

func (p *pairing) get(now time.Time) *cpns.X25519Pair {
	if p.pair == nil || now.Sub(p.made) >= pairLife {
		p.wipe()
		var private [cpns.X25519Size]byte
		rand.Read(private[:])
		p.pair, p.made = cpns.NewX25519Pair(private), now
		clear(private[:])
	}
	return p.pair
}

func (p *pairing) wipe() {
	if p.pair != nil {
		p.pair.Wipe()
		p.pair = nil
	}
}
