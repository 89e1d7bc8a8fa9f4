package pne_test

import (
	"bytes"
	"errors"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// TestHelloSaysWhatIsHeld, with a fresh nonce each time, under TK.
func TestHelloSaysWhatIsHeld(t *testing.T) {
	v := vectors(t)[0]
	for _, held := range []pne.State{v.holding(2), {Epoch: 5}, {}} {
		r := newRig(t, &v, held)
		epoch := held.Epoch
		if held.Index == 0 {
			epoch = 0 // it has lost its key, or never had one
		}
		for i := range 2 {
			nonce := bytes.Repeat([]byte{byte(i)}, 16)
			hello := parse[*cpns.Hello](t, r.sayHelloWith(nonce))
			if hello.Entity != v.Entity || hello.Epoch != epoch || hello.Index != held.Index || hello.Nonce != [16]byte(nonce) {
				t.Errorf("hello of %q, %d, %d, nonce %x; want %q, %d, %d, %x", hello.Entity, hello.Epoch, hello.Index, hello.Nonce, v.Entity, epoch, held.Index, nonce)
			}
			if err := hello.Verify(cpns.TK(v.TK)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestSameHello: as long as the latest hello is not spent and says what is held.
func TestSameHello(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, v.holding(1))
	want := func(when string, hello []byte) {
		t.Helper()
		wantBytes(t, when, r.SameHello(), hello)
	}
	want("before the first", nil)
	hello := r.sayHello()
	want("after it", hello)
	r.challenged()
	want("challenged", hello)
	r.Handle(v.Stay)
	want("stayed", hello)
	r.challenged()
	r.Handle(v.Update)
	want("moved on", nil)
	hello = r.sayHello()
	want("after the next", hello)
	r.Handle(r.notify(hello, offer{index: 3}))
	want("spent", nil)
}

// TestHelloWithoutRandomness says nothing, and the hello before it stays good.
func TestHelloWithoutRandomness(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	r.sayHello()
	r.rand.Write(make([]byte, 15))
	if msg, err := r.Hello(); err == nil || msg != nil {
		t.Errorf("hello %x (%v), want none", msg, err)
	}
	r.wantTaken(v.Notification, v.Ack, pne.Stored, v.holding(1))
}

// counter is a Counter in memory.
type counter struct {
	n   uint64
	err error
}

func (c *counter) Next() (uint64, error) {
	c.n++
	return c.n, c.err
}

// TestCounter: nonce and rand-pne come of a counter, each value once, and where
// that cannot be stored nothing is said.
func TestCounter(t *testing.T) {
	v := vectors(t)[0]
	c := &counter{n: 1<<32 - 1}
	d, err := pne.New(pne.Config{Entity: v.Entity, TK: cpns.TK(v.TK), Storage: &storage{state: v.holding(1)}, Counter: c})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := d.Hello()
	if err != nil {
		t.Fatal(err)
	}
	hello := parse[*cpns.Hello](t, msg)
	if want := cpns.PNERandom(cpns.TK(v.TK), 1<<32); hello.Nonce != want || hello.X25519 != nil {
		t.Errorf("nonce %x, want %x; X25519 key %x, want none", hello.Nonce, want, hello.X25519)
	}
	reply, _ := d.Handle(v.AuthChallenge)
	if got, want := parse[*cpns.AuthResponse](t, reply).RandPNE, cpns.PNERandom(cpns.TK(v.TK), 1<<32+1); got != want {
		t.Errorf("rand-pne %x, want %x", got, want)
	}
	d.Handle(v.AuthChallenge) // a repeat takes no value
	if c.n != 1<<32+1 {
		t.Errorf("the counter stands at %d, want %d", c.n, uint64(1<<32+1))
	}
	c.err = errors.New("no space left on device")
	if msg, err := d.Hello(); msg != nil || !errors.Is(err, c.err) {
		t.Errorf("hello %x (%v), want none", msg, err)
	}
	other := marshal(t, &cpns.AuthChallenge{Entity: v.Entity, Gateway: v.Gateway})
	if reply, ev := d.Handle(other); reply != nil || !errors.Is(ev.Err, c.err) {
		t.Errorf("auth-response %x (%v), want none", reply, ev.Err)
	}
}

// TestVolatile: a device that keeps only its TK takes the next EUKey each time.
func TestVolatile(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	for index := cpns.Index(1); index <= v.n(); index++ {
		d, err := pne.New(pne.Config{Entity: v.Entity, TK: cpns.TK(v.TK), Storage: pne.Volatile{}, Rand: bytes.NewReader(v.Nonce)})
		if err != nil {
			t.Fatal(err)
		}
		hello, err := d.Hello()
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, "hello", hello, v.Hello) // epoch 0, index 0
		if _, ev := d.Handle(r.notify(hello, offer{index: index})); ev.Kind != pne.Stored || ev.Index != index {
			t.Errorf("index %d: %v (%v)", index, ev.Kind, ev.Err)
		}
	}
}

// epochOnly is the Storage of a device that can keep four bytes.
type epochOnly struct{ epoch cpns.Epoch }

func (s *epochOnly) Load() (pne.State, error) { return pne.State{Epoch: s.epoch}, nil }
func (s *epochOnly) Save(state *pne.State) error {
	s.epoch = state.Epoch
	return nil
}

// TestHighestEpoch: a device that lost its key, and kept the epoch, says that it
// holds none, takes the next key of that epoch, and none of an earlier one.
func TestHighestEpoch(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	kept := &epochOnly{}
	boot := func() (d *pne.Device, hello []byte) {
		d, err := pne.New(pne.Config{Entity: v.Entity, TK: cpns.TK(v.TK), Storage: kept, Rand: bytes.NewReader(v.Nonce)})
		if err != nil {
			t.Fatal(err)
		}
		if hello, err = d.Hello(); err != nil {
			t.Fatal(err)
		}
		wantBytes(t, "hello", hello, v.Hello)
		return d, hello
	}
	d, hello := boot()
	d.Handle(r.notify(hello, offer{index: 1}))
	d, hello = boot()
	if _, ev := d.Handle(r.notify(hello, offer{epoch: v.Epoch - 1, index: 8})); ev.Status != cpns.AckStale {
		t.Errorf("an epoch below: %v, %v", ev.Kind, ev.Status)
	}
	if _, ev := d.Handle(r.notify(hello, offer{index: 2})); ev.Kind != pne.Stored {
		t.Errorf("the same epoch: %v (%v)", ev.Kind, ev.Err)
	}
}

func TestNewRefuses(t *testing.T) {
	v := vectors(t)[0]
	good := func() pne.Config {
		return pne.Config{Entity: v.Entity, TK: cpns.TK(v.TK), Storage: pne.Volatile{}, Rand: new(bytes.Buffer)}
	}
	if _, err := pne.New(good()); err != nil {
		t.Fatal(err)
	}
	holding := func(s pne.State) func(*pne.Config) {
		return func(c *pne.Config) { c.Storage = &storage{state: s} }
	}
	tests := []struct {
		name string
		set  func(*pne.Config)
	}{
		{"no Entity ID", func(c *pne.Config) { c.Entity = "" }},
		{"Entity ID with a space", func(c *pne.Config) { c.Entity = "a b" }},
		{"TK of 15 bytes", func(c *pne.Config) { c.TK = c.TK[:15] }},
		{"no storage", func(c *pne.Config) { c.Storage = nil }},
		{"no randomness", func(c *pne.Config) { c.Rand = nil }},
		{"a counter beside a random source", func(c *pne.Config) { c.Counter = new(counter) }},
		{"X25519 of a counter", func(c *pne.Config) { c.Rand, c.Counter, c.X25519 = nil, new(counter), true }},
		{"stored: index without epoch", holding(pne.State{Gateway: "g", Index: 1})},
		{"stored: epoch and gateway without index", holding(pne.State{Gateway: "g", Epoch: 1})},
		{"stored: epoch and key without index", holding(pne.State{EUKey: *v.key(1), Epoch: 1})},
		{"stored: index of 1025", holding(pne.State{Gateway: "g", Epoch: 1, Index: 1025})},
		{"stored: no gateway", holding(pne.State{Epoch: 1, Index: 1})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.set(&c)
			if _, err := pne.New(c); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestCopy: a copy of a Device is a second device in the same state.
func TestCopy(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, v.holding(1))
	r.sayHello()
	r.challenged()
	before := *r.Device
	r.Handle(v.Update)
	if *r.Device == before {
		t.Error("an update has changed nothing")
	}
	r.Device, r.storage.state = &before, v.holding(1)
	r.wantTaken(v.Update, v.UpdateAck, pne.Stored, v.holding(2))
}
