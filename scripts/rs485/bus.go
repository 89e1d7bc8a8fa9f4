// Package rs485 is a half-duplex line that several stations share, for tests: one
// gateway and several PNEs on one pair of wires, as on RS-485.
//
// It keeps what makes such a line hard. A byte takes its time at the baud rate.
// Everybody hears what anybody says. Where two speak at once, every byte that
// overlaps another arrives garbled, at everybody. A station hears itself where the
// line echoes; where it does not, it is deaf while it speaks.
//
// A station is a stream of bytes (Bus.NewStation), a transport.Link in memory
// (Bus.NewLink), or a device file that a serial port's program can open (Bus.NewPTY).
// All time is taken from package time, so that in a bubble of testing/synctest
// the line runs by the bubble's clock: what lasts seconds takes none, and a busy
// machine changes nothing. A pseudo-terminal runs by the real clock only.
package rs485

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Config says what a line is like.
type Config struct {
	Baud int    // 8N1: ten bits a byte; 0 is 115200
	Echo bool   // a station hears what it says itself
	Seed uint64 // of what bytes become that collide
}

// A Bus is a line. It lies until Close.
type Bus struct {
	baud int
	echo bool

	mu       sync.Mutex
	random   *rand.Rand
	stations []*Station
	counts   Counts
	wake     chan struct{} // holds a token when a station has something to say
	over     chan struct{} // closed by Close
	goes     sync.WaitGroup
}

// Counts are of the bytes that have gone over a line since it was laid.
type Counts struct {
	Carried int64 // all of them
	Garbled int64 // those of them that met another
	Lost    int64 // those that a station had no room for, each station's counted
}

// New lays a line.
func New(cfg Config) *Bus {
	if cfg.Baud == 0 {
		cfg.Baud = 115200
	}
	b := &Bus{
		baud:   cfg.Baud,
		echo:   cfg.Echo,
		random: rand.New(rand.NewPCG(cfg.Seed, 0)),
		wake:   make(chan struct{}, 1),
		over:   make(chan struct{}),
	}
	b.goes.Go(b.carry)
	return b
}

// Close takes the line away. Stations then read and write no more.
func (b *Bus) Close() {
	b.mu.Lock()
	select {
	case <-b.over:
	default:
		close(b.over)
	}
	b.mu.Unlock()
	b.goes.Wait()
}

// Counts returns what the line has carried so far.
func (b *Bus) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}

// takes returns how long n bytes take.
func (b *Bus) takes(n int) time.Duration {
	return time.Duration(n) * (10 * time.Second / time.Duration(b.baud))
}

// fifo is how many bytes of one station are handed on at a time: what a 16550 holds.
const fifo = 16

// carry moves bytes until the line is taken away.
func (b *Bus) carry() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(b.settle(time.Now()))
		select {
		case <-timer.C:
		case <-b.wake:
		case <-b.over:
			return
		}
	}
}

// settle delivers every byte that is through by now, and returns how long until more
// are. However late it is called, each byte has the time that it would have had: when
// a station began is known, and whoever begins later than a byte's end has not met it.
func (b *Bus) settle(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		first := b.first()
		if first == nil || first.end().After(now) {
			break
		}
		b.deliver(first)
	}
	next := time.Hour // until woken
	for _, s := range b.stations {
		if n := len(s.out); n > 0 {
			next = min(next, s.began.Add(b.takes(min(n, fifo))).Sub(now))
		}
	}
	return next
}

// first returns the station whose byte under way ends before all others', nil where
// all are silent.
func (b *Bus) first() *Station {
	var first *Station
	for _, s := range b.stations {
		if len(s.out) > 0 && (first == nil || s.end().Before(first.end())) {
			first = s
		}
	}
	return first
}

// deliver hands from's byte under way to all who hear it.
func (b *Bus) deliver(from *Station) {
	end, value := from.end(), from.out[0]
	for _, s := range b.stations {
		if s != from && len(s.out) > 0 && s.began.Before(end) {
			s.met, from.met = true, true
		}
	}
	b.counts.Carried++
	if from.met {
		b.counts.Garbled++
		value ^= byte(1 + b.random.IntN(255))
	}
	for _, s := range b.stations {
		speaks := len(s.out) > 0 && s.began.Before(end)
		if b.echo || !speaks {
			b.counts.Lost += s.hear(value)
		}
	}
	from.out = from.out[1:]
	from.began, from.met = end, false
	if len(from.out) == 0 {
		from.out = nil
	}
	from.room.signal()
}

// String says what the line is, for a test's log.
func (b *Bus) String() string {
	c := b.Counts()
	return fmt.Sprintf("%d baud, echo %v: %d bytes carried, %d garbled, %d lost", b.baud, b.echo, c.Carried, c.Garbled, c.Lost)
}
