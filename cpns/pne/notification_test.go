package pne_test

import (
	"errors"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// TestNotificationOrder is the rule: an epoch above the one held, or the same
// epoch and a higher index, or while none is held.
func TestNotificationOrder(t *testing.T) {
	v := vectors(t)[0]
	tests := []struct {
		name      string
		heldEpoch cpns.Epoch // 0: none was ever held
		heldIndex cpns.Index // 0: none is held
		epoch     cpns.Epoch
		index     cpns.Index
		taken     bool
	}{
		{"none held", 0, 0, 1, 1, true},
		{"none held, in the middle of a set", 0, 0, 3, 7, true},
		{"epoch above", 3, 2, 4, 2, true},
		{"epoch above, index below", 3, 5, 4, 1, true},
		{"epoch far above", 3, 5, 1<<32 - 1, 1, true},
		{"same epoch, next index", 3, 2, 3, 3, true},
		{"same epoch, index far above", 3, 2, 3, 8, true},
		{"same epoch, same index", 3, 2, 3, 2, false},
		{"same epoch, index below", 3, 2, 3, 1, false},
		{"epoch below", 3, 2, 2, 2, false},
		{"epoch below, index above", 3, 2, 2, 8, false},
		{"lost, epoch below the highest", 3, 0, 2, 8, false},
		{"lost, the highest epoch", 3, 0, 3, 1, true},
		{"lost, epoch above the highest", 3, 0, 4, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			held := pne.State{Epoch: tt.heldEpoch}
			if tt.heldIndex != 0 {
				held = pne.State{Gateway: "gw-before", Epoch: tt.heldEpoch, Index: tt.heldIndex, EUKey: *v.key(tt.heldIndex)}
			}
			r := newRig(t, &v, held)
			msg := r.notify(r.sayHello(), offer{epoch: tt.epoch, index: tt.index})
			if !tt.taken {
				r.wantRefused(msg, cpns.AckStale, tt.epoch, tt.index)
				return
			}
			r.wantTaken(msg, r.ack(r.said, v.Gateway, tt.epoch, tt.index), pne.Stored,
				pne.State{Gateway: v.Gateway, Epoch: tt.epoch, Index: tt.index, EUKey: *v.key(tt.index)})
		})
	}
}

// TestNotificationChain: in the same epoch a key must lead back to the one held,
// in as many steps as the index says; in another it may be anything.
func TestNotificationChain(t *testing.T) {
	v := vectors(t)[0]
	tests := []struct {
		name  string
		epoch cpns.Epoch
		index cpns.Index
		key   *cpns.EUKey
		taken bool
	}{
		{"the key of the index", v.Epoch, 5, v.key(5), true},
		{"another chain", v.Epoch, 5, &cpns.EUKey{1}, false},
		{"a later key", v.Epoch, 5, v.key(6), false},
		{"an earlier key", v.Epoch, 5, v.key(4), false},
		{"the key held", v.Epoch, 5, v.key(2), false},
		{"another chain, of a new epoch", v.Epoch + 1, 5, &cpns.EUKey{1}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, v.holding(2))
			msg := r.notify(r.sayHello(), offer{epoch: tt.epoch, index: tt.index, key: tt.key})
			if !tt.taken {
				r.wantRefused(msg, cpns.AckChainBroken, tt.epoch, tt.index)
				return
			}
			if _, ev := r.Handle(msg); ev.Kind != pne.Stored {
				t.Errorf("%v (%v), want stored", ev.Kind, ev.Err)
			}
		})
	}
}

// TestNotificationChecksInOrder breaks every check from the n-th on: the status is
// that of the n-th. A key that cannot be had is never looked at, nor stored.
func TestNotificationChecksInOrder(t *testing.T) {
	v := vectors(t)[0]
	tests := []struct {
		name   string
		offer  offer
		status cpns.AckStatus
	}{
		{"all", offer{epoch: v.Epoch - 1, index: 1, key: &cpns.EUKey{1}, tk: make(hexBytes, 16)}, cpns.AckCannotDecrypt},
		{"from the order on", offer{epoch: v.Epoch, index: 2, key: &cpns.EUKey{1}}, cpns.AckStale},
		{"from the chain on", offer{epoch: v.Epoch, index: 4, key: &cpns.EUKey{1}}, cpns.AckChainBroken},
		{"the storage", offer{epoch: v.Epoch, index: 4}, cpns.AckNotStored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, v.holding(3))
			r.storage.err = errors.New("no space left on device")
			r.wantRefused(r.notify(r.sayHello(), tt.offer), tt.status, tt.offer.epoch, tt.offer.index)
		})
	}
}

// TestNotificationSilence: what gets no answer at all.
func TestNotificationSilence(t *testing.T) {
	v := vectors(t)[0]
	other := v
	other.Entity = "pne-2"
	r := newRig(t, &v, pne.State{})
	forOther := r.notify(newRig(t, &other, pne.State{}).sayHello(), offer{index: 1})
	tests := []struct {
		name  string
		hello bool
		msg   []byte
		kind  pne.Kind
	}{
		{"before the first hello", false, v.Notification, pne.Refused},
		{"for another entity", true, forOther, pne.Ignored},
		{"of 513 bytes", true, make([]byte, 513), pne.Malformed},
		{"empty", true, nil, pne.Malformed},
		{"a hello, as another PNE of a shared line says", true, v.Hello, pne.Ignored},
		{"its own acknowledgement, as a line with an echo says", true, v.Ack, pne.Ignored},
		{"an auth-response", true, v.AuthResponse, pne.Ignored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, pne.State{})
			if tt.hello {
				r.sayHello()
			}
			r.wantSilence(tt.msg, tt.kind)
		})
	}
}

// TestLatestHelloOnly: the answer to an earlier hello does not open.
func TestLatestHelloOnly(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	r.sayHello()
	r.sayHelloWith(make([]byte, 16))
	r.wantRefused(v.Notification, cpns.AckCannotDecrypt, v.Epoch, 1)
	wantBytes(t, "reply", marshal(t, cpns.NewFailedAcknowledgement(cpns.AckCannotDecrypt, v.Entity, v.Epoch, 1)), v.AckFailed[0])
}

// TestOneHelloEarnsOneKey: a gateway that forgot what it had answered, and was
// shown a copy of the hello, gets no second key taken; not the next, not one of
// another epoch. What was not taken spends nothing.
func TestOneHelloEarnsOneKey(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	hello := r.sayHello()
	r.wantRefused(r.notify(hello, offer{index: 1, tk: make(hexBytes, 16)}), cpns.AckCannotDecrypt, v.Epoch, 1)
	r.wantTaken(v.Notification, v.Ack, pne.Stored, v.holding(1))
	r.wantSilence(r.notify(hello, offer{index: 2}), pne.Refused)
	r.wantSilence(r.notify(hello, offer{epoch: v.Epoch + 1, index: 1}), pne.Refused)
	if r.SameHello() != nil {
		t.Error("a spent hello may be said again")
	}
	r.wantRepeated("the notification that was taken", v.Notification, v.Ack)

	hello = r.sayHelloWith(make([]byte, 16))
	r.wantTaken(r.notify(hello, offer{index: 2}), r.ack(hello, v.Gateway, v.Epoch, 2), pne.Stored, v.holding(2))
}

// TestNotificationRepeats: the notification taken last gets the same bytes until
// another is taken, an update is, or the power goes.
func TestNotificationRepeats(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	r.sayHello()
	r.Handle(v.Notification)
	r.wantRepeated("at once", v.Notification, v.Ack)
	hello := r.sayHelloWith(make([]byte, 16)) // the acknowledgement was lost, the device asks again
	r.wantRepeated("after another hello", v.Notification, v.Ack)
	r.wantRefused(r.notify(hello, offer{index: 1}), cpns.AckStale, v.Epoch, 1)
	r.wantRepeated("after a refusal", v.Notification, v.Ack)
	r.challenged()
	r.wantRepeated("during an authentication", v.Notification, v.Ack)

	t.Run("until another is taken", func(t *testing.T) {
		r := newRig(t, &v, pne.State{})
		r.sayHello()
		r.Handle(v.Notification)
		hello := r.sayHelloWith(make([]byte, 16))
		r.Handle(r.notify(hello, offer{index: 2}))
		r.wantSilence(v.Notification, pne.Refused)
	})
	t.Run("until an update is taken", func(t *testing.T) {
		r.Handle(v.Update)
		r.wantRefused(v.Notification, cpns.AckCannotDecrypt, v.Epoch, 1)
	})
	t.Run("until the power goes", func(t *testing.T) {
		r := newRig(t, &v, pne.State{})
		r.sayHello()
		r.Handle(v.Notification)
		r.boot()
		r.wantSilence(v.Notification, pne.Refused)
	})
}

// TestNotificationEnds: a notification that is taken closes the open challenge and
// ends the session key; one that is not taken does neither.
func TestNotificationEnds(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, v.holding(1))
	r.challenged()
	r.Handle(v.Stay)
	r.challenged()
	hello := r.sayHello()
	r.wantRefused(r.notify(hello, offer{index: 1}), cpns.AckStale, v.Epoch, 1)
	r.wantSessionKey(v.StaySession)

	r.Handle(r.notify(hello, offer{epoch: v.Epoch + 1, index: 1})) // the same key, so only the rule is in the way
	if key, ok := r.SessionKey(); ok || key != (cpns.SessionKey{}) {
		t.Error("the session key has outlived its EUKey")
	}
	r.wantSilence(v.Update, pne.Refused)
}

// TestStorageFails: the old key is kept, the status says so, and the gateway's
// repeat of the same bytes is taken once the storage works.
func TestStorageFails(t *testing.T) {
	v := vectors(t)[0]
	full := errors.New("no space left on device")
	tests := []struct {
		name     string
		held     pne.State
		msg, ack []byte
		index    cpns.Index
	}{
		{"first notification", pne.State{}, v.Notification, v.Ack, 1},
		{"notification of a new epoch", pne.State{Gateway: "gw-before", Epoch: v.Epoch - 1, Index: 5, EUKey: *v.key(5)}, nil, nil, 1},
		{"update", v.holding(1), v.Update, v.UpdateAck, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, tt.held)
			r.sayHello()
			switch {
			case tt.index == 2:
				r.challenged()
			case tt.msg == nil:
				tt.msg, tt.ack = r.notify(r.said, offer{index: 1}), r.ack(r.said, v.Gateway, v.Epoch, 1)
			}
			r.storage.err = full
			before := *r.Device
			reply, ev := r.Handle(tt.msg)
			if ev.Kind != pne.Refused || ev.Status != cpns.AckNotStored || !errors.Is(ev.Err, full) {
				t.Errorf("%v, %v (%v); want refused, not stored", ev.Kind, ev.Status, ev.Err)
			}
			wantBytes(t, "reply", reply, marshal(t, cpns.NewFailedAcknowledgement(cpns.AckNotStored, v.Entity, v.Epoch, tt.index)))
			r.wantHeld(tt.held)
			if *r.Device != before {
				t.Error("the device's state has changed")
			}

			r.storage.err = nil
			r.wantTaken(tt.msg, tt.ack, pne.Stored, v.holding(tt.index))
		})
	}
}

// TestStoredBeforeAcknowledged: when the storage is asked, nothing has been said
// and nothing is held yet; g is part of the one record.
func TestStoredBeforeAcknowledged(t *testing.T) {
	v := vectors(t)[0]
	s := &asking{}
	d, err := pne.New(pne.Config{Entity: v.Entity, TK: cpns.TK(v.TK), Storage: s, Rand: constant(0)})
	if err != nil {
		t.Fatal(err)
	}
	s.ask = func(saved *pne.State) {
		if _, _, index := d.Held(); index != 0 {
			t.Error("held before it was stored")
		}
		if *saved != v.holding(1) {
			t.Errorf("the record is %q %d %d", saved.Gateway, saved.Epoch, saved.Index)
		}
	}
	d.SaidHello(v.Hello, 0, 0, nil)
	if _, ev := d.Handle(v.Notification); ev.Kind != pne.Stored || s.asked != 1 {
		t.Errorf("%v (%v), %d writes", ev.Kind, ev.Err, s.asked)
	}
}

// asking is a Storage that hands what it is given to a test.
type asking struct {
	pne.Volatile
	ask   func(*pne.State)
	asked int
}

func (a *asking) Save(s *pne.State) error { a.asked++; a.ask(s); return nil }

// constant is a random source that always says the same.
type constant byte

func (c constant) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(c)
	}
	return len(b), nil
}

// TestX25519: hello and notification both carry a key or neither does; the private
// key goes when a notification is taken, and the next hello has another.
func TestX25519(t *testing.T) {
	v := vectors(t)[0]
	gateway := cpns.NewX25519Pair([32]byte{1})
	r := newRig(t, &v, pne.State{})
	r.x25519 = true
	r.boot()
	first := r.sayHelloWith(append([]byte("a private key of thirty-two byte"), make([]byte, 16)...))
	again := r.sayHelloWith(append(make([]byte, 15), 1))
	key := parse[*cpns.Hello](t, first).X25519
	if key == nil {
		t.Fatal("no X25519 key in the hello")
	}
	if *parse[*cpns.Hello](t, again).X25519 != *key {
		t.Error("another pair for another hello, before a notification was taken")
	}
	without := *parse[*cpns.Hello](t, again)
	without.X25519 = nil
	r.wantRefused(r.notify(marshal(t, &without), offer{index: 1}), cpns.AckCannotDecrypt, v.Epoch, 1)
	r.wantTaken(r.notify(again, offer{index: 1, pair: gateway}), r.ack(again, v.Gateway, v.Epoch, 1), pne.Stored, v.holding(1))
	if !r.PrivateKeyGone() {
		t.Error("the private key is still there")
	}
	next := r.sayHelloWith(append([]byte("another private key of 32 bytes."), make([]byte, 16)...))
	if *parse[*cpns.Hello](t, next).X25519 == *key {
		t.Error("the same pair after a notification was taken")
	}

	t.Run("superfluous", func(t *testing.T) {
		r := newRig(t, &v, pne.State{})
		hello := *parse[*cpns.Hello](t, r.sayHello())
		hello.X25519 = key
		r.wantRefused(r.notify(marshal(t, &hello), offer{index: 1, pair: gateway}), cpns.AckCannotDecrypt, v.Epoch, 1)
	})
	t.Run("zero", func(t *testing.T) {
		msg := parse[*cpns.Notification](t, r.notify(next, offer{index: 2, pair: gateway}))
		msg.X25519 = new([32]byte)
		r.wantRefused(marshal(t, msg), cpns.AckCannotDecrypt, v.Epoch, 2)
	})
	t.Run("no randomness for the pair", func(t *testing.T) {
		r := newRig(t, &v, pne.State{})
		r.x25519 = true
		r.boot()
		r.rand.Write(make([]byte, 31))
		if msg, err := r.Hello(); err == nil || msg != nil {
			t.Errorf("hello %x (%v), want none", msg, err)
		}
	})
}
