package main

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/scripts/rs485"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/serial"
)

// TestSerialLinesAreShared: the program waits its turn on a serial line, and only there.
func TestSerialLinesAreShared(t *testing.T) {
	for _, tt := range []struct {
		o      options
		shared bool
	}{
		{options{serial: serial.Config{Name: "serial", Device: "/dev/ttyS0"}}, true},
		{options{mqtt: mqtt.Config{Name: "mqtt", URL: "mqtt://h", Role: mqtt.PNE, Entity: "pne-1"}}, false},
	} {
		link, err := tt.o.link(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if d := newDriver(&tt.o, nil, link, nil, nil); (d.shared != nil) != tt.shared {
			t.Errorf("%s: a shared line is %v, want %v", link.Name(), d.shared != nil, tt.shared)
		}
	}
}

// A party is one line that several devices share, in a bubble, with the test as the
// gateway.
type party struct {
	t     *testing.T
	ctx   context.Context
	bus   *rs485.Bus
	gw    *rs485.Link
	start time.Time
	ended chan error
	n     int // of goroutines to wait for

	mu    sync.Mutex
	heard []heardMessage // by the gateway
}

type heardMessage struct {
	cpns.Message
	at time.Duration // when it had come in
}

// onSharedLine runs test in a bubble, with an echo on the line and without.
func onSharedLine(t *testing.T, test func(t *testing.T, p *party)) {
	for _, echo := range []bool{false, true} {
		t.Run(fmt.Sprintf("echo=%v", echo), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &party{t: t, bus: rs485.New(rs485.Config{Echo: echo, Seed: 1}), ended: make(chan error, 16), start: time.Now()}
				p.gw = p.bus.NewLink("gateway")
				ctx, cancel := context.WithCancel(t.Context())
				p.ctx = ctx
				defer func() {
					cancel()
					for range p.n {
						if err := <-p.ended; err != nil {
							t.Error(err)
						}
					}
					p.bus.Close()
				}()
				p.run(func() error {
					return p.gw.Run(ctx, transport.Handler{Message: func(m transport.Message) {
						if msg, err := cpns.ParseMessage(m.Data); err == nil {
							p.mu.Lock()
							defer p.mu.Unlock()
							p.heard = append(p.heard, heardMessage{msg, time.Since(p.start)})
						}
					}})
				})
				synctest.Wait()
				test(t, p)
			})
		})
	}
}

func (p *party) run(f func() error) {
	p.n++
	go func() { p.ended <- f() }()
}

// switchOn puts one more device on the line. It holds an EUKey where held is not zero.
func (p *party) switchOn(e cpns.EntityID, held pne.State) {
	p.t.Helper()
	p.switchOnWith(testTK, e, held)
}

func (p *party) switchOnWith(tk cpns.TK, e cpns.EntityID, held pne.State) {
	p.t.Helper()
	device, err := pne.New(pne.Config{Entity: e, TK: tk, Storage: kept{held}, Rand: cryptorand.Reader})
	if err != nil {
		p.t.Fatal(err)
	}
	link := p.bus.NewLink(string(e))
	d := &driver{
		device: device,
		hellos: pne.NewSchedule(device, pne.FirstPause, rand.N[time.Duration]),
		link:   link,
		shared: newSharedLine(link.RetryInterval() / 2),
		events: &eventWriter{w: new(bytes.Buffer), entity: e},
		log:    slog.New(slog.DiscardHandler),
	}
	p.run(func() error { return d.run(p.ctx) })
}

// say sends a message, and returns when its last byte is on the line.
func (p *party) say(m cpns.Message) {
	p.t.Helper()
	data, err := m.Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.gw.Send(p.ctx, "", data); err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(time.Duration(len(transport.EncodeFrame(nil, data))) * 10 * time.Second / 115200)
}

// hellos are those that the gateway heard.
func (p *party) hellos() (hellos []heardMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.heard {
		if _, ok := m.Message.(*cpns.Hello); ok {
			hellos = append(hellos, m)
		}
	}
	return hellos
}

func challengeFor(e cpns.EntityID) *cpns.AuthChallenge {
	return &cpns.AuthChallenge{Entity: e, Gateway: testGateway}
}

// TestWaitsForAnothersAnswer: while the gateway waits for another's answer a device
// says no hello of its own, for 600 ms; and none within 20 ms of anything on the line.
func TestWaitsForAnothersAnswer(t *testing.T) {
	onSharedLine(t, func(t *testing.T, p *party) {
		p.switchOn("pne-1", pne.State{})
		var last time.Duration
		for range 8 { // the gateway asks others, time and again, and none answers
			p.say(challengeFor("pne-2"))
			last = time.Since(p.start)
			time.Sleep(500 * time.Millisecond)
		}
		if n := len(p.hellos()); n != 0 {
			t.Errorf("%d hellos while another was asked", n)
		}
		time.Sleep(2 * time.Second)
		hellos := p.hellos()
		if len(hellos) != 1 {
			t.Fatalf("%d hellos once the line was free, want one", len(hellos))
		}
		if wait := hellos[0].at - last; wait < 600*time.Millisecond || wait > 950*time.Millisecond {
			t.Errorf("its hello came %v after the last question, want 600 ms and the random time", wait)
		}
	})
}

// TestBusyLine: bytes that are no message keep a device silent too.
func TestBusyLine(t *testing.T) {
	onSharedLine(t, func(t *testing.T, p *party) {
		noise := p.bus.NewStation()
		defer noise.Close()
		p.switchOn("pne-1", pne.State{})
		for range 200 {
			if _, err := noise.Write([]byte("*")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(15 * time.Millisecond)
		}
		if n := p.bus.Counts().Carried; n > 200 {
			t.Errorf("%d bytes on the line, 200 of them noise", n)
		}
		time.Sleep(time.Second)
		if n := len(p.hellos()); n != 1 {
			t.Errorf("%d hellos once the line was quiet, want one", n)
		}
	})
}

// TestSpokenToOnABusyLine: asked by its name, a device answers at once.
func TestSpokenToOnABusyLine(t *testing.T) {
	onSharedLine(t, func(t *testing.T, p *party) {
		p.switchOn("pne-1", pne.State{})
		p.say(challengeFor("pne-2"))
		p.say(&cpns.Identify{Entity: "pne-1"})
		asked := time.Since(p.start)
		time.Sleep(100 * time.Millisecond)
		hellos := p.hellos()
		if len(hellos) != 1 || hellos[0].at-asked > 20*time.Millisecond {
			t.Errorf("asked at %v, hellos %v; want one at once", asked, hellos)
		}
	})
}

// TestEverybodyAskedOnABusyLine: an identify for everybody does not have a device speak
// up that was waiting for its turn.
func TestEverybodyAskedOnABusyLine(t *testing.T) {
	onSharedLine(t, func(t *testing.T, p *party) {
		p.switchOn("pne-1", pne.State{})
		p.say(challengeFor("pne-2"))
		asked := time.Since(p.start)
		p.say(&cpns.Identify{})
		time.Sleep(2 * time.Second)
		hellos := p.hellos()
		if len(hellos) == 0 || hellos[0].at-asked < 600*time.Millisecond {
			t.Errorf("another was asked at %v, hellos %v; want none for 600 ms", asked, hellos)
		}
	})
}

// TestSwitchedOnTogether: of eight devices that get their power at one moment, most
// are understood before their first pause is over (all but one in sixteen, on average).
// For a millisecond, until the first bytes have come out of a UART's buffer, nobody can
// tell that another has begun.
func TestSwitchedOnTogether(t *testing.T) {
	const rounds, devices = 10, 8
	understood := 0
	for range rounds {
		onSharedLine(t, func(t *testing.T, p *party) {
			for i := range devices {
				p.switchOn(cpns.EntityID(fmt.Sprintf("pne-%d", i)), pne.State{})
			}
			time.Sleep(pne.FirstPause/2 - time.Millisecond)
			understood += len(p.hellos())
			t.Log(p.bus)
		})
	}
	if all := 2 * rounds * devices; understood < all*3/4 {
		t.Errorf("%d of %d hellos understood", understood, all)
	}
}
