package pne_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"slices"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// TestChallenge answers the gateway whose notification was taken, nobody else.
func TestChallenge(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, v.holding(1))
	forOther := marshal(t, &cpns.AuthChallenge{Entity: "pne-2", Gateway: v.Gateway})
	tests := []struct {
		name string
		held pne.State
		msg  []byte
		kind pne.Kind
	}{
		{"another gateway", v.holding(1), r.challenge("gw-0002", 1), pne.Refused},
		{"no EUKey held", pne.State{}, r.challenge(v.Gateway, 1), pne.Refused},
		{"EUKey lost", pne.State{Epoch: v.Epoch}, r.challenge(v.Gateway, 1), pne.Refused},
		{"another entity", v.holding(1), forOther, pne.Ignored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, tt.held)
			r.sayHello()
			r.rand.Write(v.RandPNE)
			r.wantSilence(tt.msg, tt.kind)
		})
	}
	t.Run("no randomness", func(t *testing.T) {
		newRig(t, &v, v.holding(1)).wantSilence(v.AuthChallenge, pne.Refused)
	})
	t.Run("a gateway that took over", func(t *testing.T) {
		r := newRig(t, &v, v.holding(1))
		r.Handle(r.notify(r.sayHello(), offer{gateway: "gw-0002", epoch: v.Epoch + 1, index: 1}))
		r.rand.Write(v.RandPNE)
		r.wantSilence(v.AuthChallenge, pne.Refused)
		if _, ev := r.Handle(r.challenge("gw-0002", 1)); ev.Kind != pne.Authenticated {
			t.Errorf("the new gateway: %v (%v)", ev.Kind, ev.Err)
		}
	})
}

// TestChallengeRepeats: while it is open a challenge gets the same response, and
// once it is closed a fresh one.
func TestChallengeRepeats(t *testing.T) {
	v := vectors(t)[0]
	fresh := func(t *testing.T, r *rig) {
		t.Helper()
		r.rand.Write(bytes.Repeat([]byte{9}, 16))
		reply, ev := r.Handle(v.AuthChallenge)
		if ev.Kind != pne.Authenticated || parse[*cpns.AuthResponse](t, reply).RandPNE != [16]byte(bytes.Repeat([]byte{9}, 16)) {
			t.Errorf("%v (%v), want another rand-pne", ev.Kind, ev.Err)
		}
	}
	open := func(t *testing.T) *rig {
		r := newRig(t, &v, v.holding(1))
		r.challenged()
		r.wantRepeated("an open challenge", v.AuthChallenge, v.AuthResponse)
		return r
	}
	t.Run("refused update", func(t *testing.T) {
		r := open(t)
		r.wantRefused(r.update(1, v.Epoch, 2, &cpns.EUKey{1}), cpns.AckChainBroken, v.Epoch, 2)
		r.sayHello()
		r.wantRepeated("still open", v.AuthChallenge, v.AuthResponse)
	})
	t.Run("closed by an update", func(t *testing.T) {
		r := open(t)
		r.Handle(v.Stay)
		fresh(t, r)
	})
	t.Run("closed by a notification", func(t *testing.T) {
		r := open(t)
		r.Handle(r.notify(r.sayHello(), offer{index: 2}))
		fresh(t, r)
	})
	t.Run("followed by another", func(t *testing.T) {
		r := open(t)
		r.rand.Write(make([]byte, 16))
		r.Handle(r.challenge(v.Gateway, 1))
		fresh(t, r)
	})
}

// TestUpdate holds the rule of the chain, and the status of everything else.
func TestUpdate(t *testing.T) {
	v := vectors(t)[0]
	const held = 3
	tests := []struct {
		name   string
		epoch  cpns.Epoch
		index  cpns.Index
		key    *cpns.EUKey // nil: stay
		kind   pne.Kind
		status cpns.AckStatus
	}{
		{"the next", v.Epoch, held + 1, v.key(held + 1), pne.Stored, 0},
		{"stay", v.Epoch, held, nil, pne.Stayed, 0},
		{"a key of another chain", v.Epoch, held + 1, &cpns.EUKey{1}, pne.Refused, cpns.AckChainBroken},
		{"the key after the next, as the next", v.Epoch, held + 1, v.key(held + 2), pne.Refused, cpns.AckChainBroken},
		{"the key held, as the next", v.Epoch, held + 1, v.key(held), pne.Refused, cpns.AckChainBroken},
		{"the key after the next", v.Epoch, held + 2, v.key(held + 2), pne.Refused, cpns.AckStale},
		{"the next key under a later index", v.Epoch, held + 2, v.key(held + 1), pne.Refused, cpns.AckStale},
		{"the next key under another epoch", v.Epoch + 1, held + 1, v.key(held + 1), pne.Refused, cpns.AckStale},
		{"the next key under an epoch past", v.Epoch - 1, held + 1, v.key(held + 1), pne.Refused, cpns.AckStale},
		{"the key held", v.Epoch, held, v.key(held), pne.Refused, cpns.AckStale},
		{"the next key under the index held", v.Epoch, held, v.key(held + 1), pne.Refused, cpns.AckStale},
		{"the key before", v.Epoch, held - 1, v.key(held - 1), pne.Refused, cpns.AckStale},
		{"stay, at a later index", v.Epoch, held + 1, nil, pne.Refused, cpns.AckStale},
		{"stay, at an earlier index", v.Epoch, held - 1, nil, pne.Refused, cpns.AckStale},
		{"stay, in another epoch", v.Epoch + 1, held, nil, pne.Refused, cpns.AckStale},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, v.holding(held))
			r.sayHello()
			r.challenged()
			msg := r.update(held, tt.epoch, tt.index, tt.key)
			if tt.kind == pne.Refused {
				r.wantRefused(msg, tt.status, tt.epoch, tt.index)
			} else {
				r.wantTaken(msg, r.updateAck(tt.index), tt.kind, v.holding(tt.index))
			}
			if _, agreed := r.SessionKey(); agreed != (tt.kind != pne.Refused) {
				t.Errorf("a session key: %v", agreed)
			}
		})
	}
}

// TestUpdateLastIndex: there is no key after the 1024th.
func TestUpdateLastIndex(t *testing.T) {
	v := vectors(t)[0]
	held := v.holding(1)
	held.Index = cpns.MaxSetLength
	r := newRig(t, &v, held)
	r.challenged()
	r.wantRefused(r.update(1, v.Epoch, cpns.MaxSetLength, v.key(2)), cpns.AckStale, v.Epoch, cpns.MaxSetLength)
}

// TestUpdateOfAnotherLength: what opens, and is neither an EUKey nor nothing, is no
// update that may follow.
func TestUpdateOfAnotherLength(t *testing.T) {
	v := vectors(t)[0]
	key, err := hkdf.Key(sha256.New, slices.Concat(v.TK, v.EUKeys[0]), slices.Concat(v.RandGW, v.RandPNE), "CPNS EUKey Update\x00"+string(v.Entity), 32)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		t.Fatal(err)
	}
	const epoch, index = 3, 1
	name := func(s string) []byte { return append([]byte{0x78, byte(len(s))}, s...) }
	g := append([]byte{0x60 + byte(len(v.Gateway))}, v.Gateway...)
	external := slices.Concat([]byte{0x87, 6}, name(string(v.Entity)), g, []byte{0x50}, v.RandGW, []byte{0x50}, v.RandPNE, []byte{epoch, index})
	aad := slices.Concat([]byte("\x83\x68Encrypt0\x44\xa1\x01\x18\x18\x58"), []byte{byte(len(external))}, external)
	for _, size := range []int{0, 1, 31, 33} {
		sealed := aead.Seal(nil, make([]byte, 12), make([]byte, size), aad)
		ciphertext := append([]byte{0x58, byte(len(sealed))}, sealed...)
		if len(sealed) < 24 {
			ciphertext = append([]byte{0x40 + byte(len(sealed))}, sealed...)
		}
		msg := slices.Concat([]byte{0x85, 6}, name(string(v.Entity)), []byte("\x03\x01\x83\x44\xa1\x01\x18\x18\xa1\x05\x4c"), make([]byte, 12), ciphertext)
		r := newRig(t, &v, v.holding(index))
		r.challenged()
		if size == 0 { // the making of it is right
			r.wantTaken(msg, v.StayAck, pne.Stayed, v.holding(index))
			continue
		}
		r.wantRefused(msg, cpns.AckStale, epoch, index)
	}
}

// TestUpdateChecksInOrder breaks every check from the n-th on: the status is that
// of the n-th.
func TestUpdateChecksInOrder(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, v.holding(3))
	r.challenged()
	r.storage.err = bytes.ErrTooLarge
	r.wantRefused(r.update(2, v.Epoch+1, 4, &cpns.EUKey{1}), cpns.AckCannotDecrypt, v.Epoch+1, 4)
	r.wantRefused(r.update(3, v.Epoch+1, 4, &cpns.EUKey{1}), cpns.AckStale, v.Epoch+1, 4)
	r.wantRefused(r.update(3, v.Epoch, 4, &cpns.EUKey{1}), cpns.AckChainBroken, v.Epoch, 4)
	r.wantRefused(r.update(3, v.Epoch, 4, v.key(4)), cpns.AckNotStored, v.Epoch, 4)
	r.wantTaken(r.update(3, v.Epoch, 3, nil), r.updateAck(3), pne.Stayed, v.holding(3)) // needs no storage
}

// TestUpdateSilence: an update gets an answer only under an open challenge.
func TestUpdateSilence(t *testing.T) {
	v := vectors(t)[0]
	tests := []struct {
		name string
		do   func(*rig)
	}{
		{"no challenge", func(*rig) {}},
		{"a restart", func(r *rig) {
			r.challenged()
			r.boot()
			r.sayHello()
		}},
		{"a notification", func(r *rig) {
			r.challenged()
			r.Handle(r.notify(r.said, offer{epoch: v.Epoch + 1, index: 1}))
		}},
		{"an update", func(r *rig) {
			r.challenged()
			r.Handle(r.update(1, v.Epoch, 1, nil))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, v.holding(1))
			r.sayHello()
			tt.do(r)
			r.wantSilence(v.Update, pne.Refused)
		})
	}
	t.Run("a later challenge", func(t *testing.T) {
		r := newRig(t, &v, v.holding(1))
		r.challenged()
		r.rand.Write(v.RandPNE)
		r.Handle(r.challenge(v.Gateway, 1))
		r.wantRefused(v.Update, cpns.AckCannotDecrypt, v.Epoch, 2)
	})
}

// TestOneUpdateAChallenge: several servers or several tries of one make several
// updates; one is taken.
func TestOneUpdateAChallenge(t *testing.T) {
	v := vectors(t)[0]
	for _, first := range []struct {
		name  string
		index cpns.Index
		key   *cpns.EUKey
	}{{"stay", 1, nil}, {"the next", 2, v.key(2)}} {
		t.Run(first.name, func(t *testing.T) {
			r := newRig(t, &v, v.holding(1))
			r.challenged()
			msg := r.update(1, v.Epoch, first.index, first.key)
			r.Handle(msg)
			r.wantSilence(r.update(first.index, v.Epoch, first.index+1, v.key(first.index+1)), pne.Refused)
			r.wantSilence(r.update(first.index, v.Epoch, first.index, nil), pne.Refused)
			r.wantRepeated("the update that was taken", msg, r.updateAck(first.index))
		})
	}
}

// TestUpdateRepeats: the update taken last gets the same bytes until another
// message is taken, or the power goes.
func TestUpdateRepeats(t *testing.T) {
	v := vectors(t)[0]
	taken := func(t *testing.T) *rig {
		r := newRig(t, &v, v.holding(1))
		r.challenged()
		r.Handle(v.Update)
		r.sayHello()
		r.wantRepeated("update", v.Update, v.UpdateAck)
		return r
	}
	t.Run("until an update is taken", func(t *testing.T) {
		r := taken(t)
		r.challenged()
		r.wantRepeated("under the next challenge", v.Update, v.UpdateAck)
		r.Handle(r.update(2, v.Epoch, 2, nil))
		r.wantSilence(v.Update, pne.Refused)
	})
	t.Run("until a notification is taken", func(t *testing.T) {
		r := taken(t)
		r.Handle(r.notify(r.said, offer{index: 3}))
		r.wantSilence(v.Update, pne.Refused)
	})
	t.Run("until the power goes", func(t *testing.T) {
		r := taken(t)
		r.boot()
		r.wantSilence(v.Update, pne.Refused)
	})
}

// TestPowerCut cuts the power after the EUKey was stored and before it was
// acknowledged: the device comes back with it, says so, and can prove it.
func TestPowerCut(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	r.sayHello()
	r.Handle(v.Notification) // the acknowledgement is lost with the power
	r.boot()
	r.wantSilence(v.Notification, pne.Refused)
	hello := parse[*cpns.Hello](t, r.sayHelloWith(make([]byte, 16)))
	if hello.Epoch != v.Epoch || hello.Index != 1 {
		t.Errorf("hello says %d, %d; want %d, 1", hello.Epoch, hello.Index, v.Epoch)
	}
	r.wantRefused(v.Notification, cpns.AckCannotDecrypt, v.Epoch, 1)
	wantBytes(t, "auth-response", r.challenged(), v.AuthResponse)
	r.wantHeld(v.holding(1))
}
