package pne_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

var testIV = [cpns.IVSize]byte{1, 2, 3}

// notify makes a notification as a gateway does, under the vector's nonce.
func notify(t testing.TB, v *vector, g cpns.GatewayID, epoch cpns.Epoch, index cpns.Index) []byte {
	t.Helper()
	m, err := cpns.SealNotification(cpns.TK(v.TK), v.nonce(), v.Entity, g, epoch, index, v.key(index), testIV)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, m)
}

// sealUpdate makes an update under the vector's challenge, for a device that
// holds the key of index held. A nil key says that the set is used up.
func sealUpdate(t testing.TB, v *vector, held cpns.Index, epoch cpns.Epoch, index cpns.Index, key *cpns.EUKey) []byte {
	t.Helper()
	m, err := cpns.SealEUKeyUpdate(cpns.TK(v.TK), v.key(held), v.Gateway, v.randGW(), v.randPNE(), v.Entity, epoch, index, key, testIV)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, m)
}

// TestNotificationOrder is the rule: an epoch above the one held, or the same
// epoch and a higher index, or while none is held.
func TestNotificationOrder(t *testing.T) {
	v := vectors(t)[0]
	tests := []struct {
		name      string
		heldEpoch cpns.Epoch // 0: none held
		heldIndex cpns.Index
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
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var held pne.State
			if tt.heldEpoch != 0 {
				held = pne.State{Gateway: "gw-before", Epoch: tt.heldEpoch, Index: tt.heldIndex, EUKey: *v.key(tt.heldIndex)}
			}
			r := newRig(t, &v, held)
			r.sayHello(t)
			reply, ev := r.Handle(notify(t, &v, v.Gateway, tt.epoch, tt.index))
			if !tt.taken {
				if ev.Kind != pne.Refused || ev.Status != cpns.AckStale {
					t.Errorf("%v, %v; want refused as stale", ev.Kind, ev.Status)
				}
				wantBytes(t, "reply", reply, failed(t, &v, cpns.AckStale, tt.epoch, tt.index))
				r.wantHeld(t, held)
				return
			}
			if ev.Kind != pne.Stored {
				t.Errorf("%v (%v), want stored", ev.Kind, ev.Err)
			}
			wantBytes(t, "reply", reply, marshal(t, cpns.NewAcknowledgement(v.key(tt.index), v.Nonce, v.Entity, tt.epoch, tt.index)))
			r.wantHeld(t, pne.State{Gateway: v.Gateway, Epoch: tt.epoch, Index: tt.index, EUKey: *v.key(tt.index)})
		})
	}
}

// TestNotificationRefused holds the other ways in which a notification is not taken.
func TestNotificationRefused(t *testing.T) {
	v := vectors(t)[0]
	other := vectors(t)[1]
	otherTK := v
	otherTK.TK = other.TK
	zeroNonce := v
	zeroNonce.Nonce = make(hexBytes, 16)
	otherEntity := v
	otherEntity.Entity = other.Entity
	tests := []struct {
		name  string
		hello bool
		msg   []byte
		kind  pne.Kind
		reply []byte
	}{
		{"before the first hello", false, v.Notification, pne.Refused, nil},
		{"before the first hello, under a nonce of zeros", false, notify(t, &zeroNonce, v.Gateway, 3, 1), pne.Refused, nil},
		{"under another TK", true, notify(t, &otherTK, v.Gateway, 3, 1), pne.Refused, failed(t, &v, cpns.AckCannotDecrypt, 3, 1)},
		{"for another entity", true, notify(t, &otherEntity, v.Gateway, 3, 1), pne.Ignored, nil},
		{"of 513 bytes", true, make([]byte, 513), pne.Malformed, nil},
		{"empty", true, nil, pne.Malformed, nil},
		{"a hello, as another PNE of a shared line says", true, v.Hello, pne.Ignored, nil},
		{"its own acknowledgement, as a line with an echo says", true, v.Ack, pne.Ignored, nil},
		{"an auth-response", true, v.AuthResponse, pne.Ignored, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, pne.State{})
			if tt.hello {
				r.sayHello(t)
			}
			reply, ev := r.Handle(tt.msg)
			if ev.Kind != tt.kind {
				t.Errorf("%v (%v), want %v", ev.Kind, ev.Err, tt.kind)
			}
			wantBytes(t, "reply", reply, tt.reply)
			r.wantHeld(t, pne.State{})
		})
	}
}

// TestLatestHelloOnly: the answer to an earlier hello is not taken.
func TestLatestHelloOnly(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	r.sayHello(t)
	r.rand.Write(make([]byte, 16))
	if _, err := r.Hello(); err != nil {
		t.Fatal(err)
	}
	reply, ev := r.Handle(v.Notification)
	if ev.Kind != pne.Refused || ev.Status != cpns.AckCannotDecrypt {
		t.Errorf("%v, %v; want refused, cannot decrypt", ev.Kind, ev.Status)
	}
	wantBytes(t, "reply", reply, v.AckFailed)
	r.wantHeld(t, pne.State{})
}

// TestHelloSaysWhatIsHeld, with a fresh nonce each time.
func TestHelloSaysWhatIsHeld(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, v.holding(2))
	var nonces [][16]byte
	for i := range 2 {
		r.rand.Write(bytes.Repeat([]byte{byte(i)}, 16))
		msg, err := r.Hello()
		if err != nil {
			t.Fatal(err)
		}
		m, err := cpns.ParseMessage(msg)
		if err != nil {
			t.Fatal(err)
		}
		hello := m.(*cpns.Hello)
		if hello.Entity != v.Entity || hello.Epoch != v.Epoch || hello.Index != 2 {
			t.Errorf("hello of %q, %d, %d; want %q, %d, 2", hello.Entity, hello.Epoch, hello.Index, v.Entity, v.Epoch)
		}
		nonces = append(nonces, hello.Nonce)
	}
	if nonces[0] == nonces[1] {
		t.Error("the same nonce twice")
	}
	if _, err := r.Hello(); err == nil {
		t.Error("a hello without randomness")
	}
}

// TestRepeats: each of the three repeats gets the same answer, changes nothing,
// writes nothing and needs no randomness.
func TestRepeats(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	r.sayHello(t)
	repeat := func(what string, msg, want []byte) {
		t.Helper()
		saves := r.storage.saves
		for range 6 {
			reply, ev := r.Handle(msg)
			if ev.Kind != pne.Repeated {
				t.Errorf("%s: %v (%v), want repeated", what, ev.Kind, ev.Err)
			}
			wantBytes(t, what, reply, want)
		}
		if r.storage.saves != saves {
			t.Errorf("%s: written again", what)
		}
	}
	r.Handle(v.Notification)
	repeat("notification", v.Notification, v.Ack)
	r.rand.Write(make([]byte, 16))
	if _, err := r.Hello(); err != nil { // the acknowledgement was lost, the device asks again
		t.Fatal(err)
	}
	repeat("notification after another hello", v.Notification, v.Ack)
	r.challenged(t)
	repeat("challenge", v.AuthChallenge, v.AuthResponse)
	repeat("notification during the authentication", v.Notification, v.Ack)
	r.Handle(v.Update)
	repeat("update", v.Update, v.UpdateAck)
	repeat("challenge after the update", v.AuthChallenge, v.AuthResponse)
	r.wantHeld(t, v.holding(2))

	// The notification is no longer the one just taken.
	reply, ev := r.Handle(v.Notification)
	if ev.Kind != pne.Refused || bytes.Equal(reply, v.Ack) {
		t.Errorf("the notification from before the update: %v, %x", ev.Kind, reply)
	}
	r.wantHeld(t, v.holding(2))
}

// TestChallenge answers the gateway whose notification was taken, nobody else.
func TestChallenge(t *testing.T) {
	v := vectors(t)[0]
	challenge := func(e cpns.EntityID, g cpns.GatewayID) []byte {
		return marshal(t, &cpns.AuthChallenge{Entity: e, Gateway: g, RandGW: *v.randGW()})
	}
	tests := []struct {
		name string
		held pne.State
		msg  []byte
		kind pne.Kind
	}{
		{"its gateway", v.holding(1), challenge(v.Entity, v.Gateway), pne.Authenticated},
		{"another gateway", v.holding(1), challenge(v.Entity, "gw-0002"), pne.Refused},
		{"no EUKey held", pne.State{}, challenge(v.Entity, v.Gateway), pne.Refused},
		{"another entity", v.holding(1), challenge("pne-2", v.Gateway), pne.Ignored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, tt.held)
			r.sayHello(t)
			r.rand.Write(v.RandPNE)
			reply, ev := r.Handle(tt.msg)
			if ev.Kind != tt.kind {
				t.Errorf("%v (%v), want %v", ev.Kind, ev.Err, tt.kind)
			}
			if answered := reply != nil; answered != (tt.kind == pne.Authenticated) {
				t.Errorf("reply %x", reply)
			}
			r.wantHeld(t, tt.held)
		})
	}

	t.Run("no randomness", func(t *testing.T) {
		r := newRig(t, &v, v.holding(1))
		if reply, ev := r.Handle(v.AuthChallenge); reply != nil || ev.Kind != pne.Refused || ev.Err == nil {
			t.Errorf("%v (%v), reply %x; want refused and silence", ev.Kind, ev.Err, reply)
		}
	})
	t.Run("a gateway that took over", func(t *testing.T) {
		r := newRig(t, &v, v.holding(1))
		r.sayHello(t)
		r.Handle(notify(t, &v, "gw-0002", v.Epoch+1, 1))
		r.rand.Write(v.RandPNE)
		if reply, _ := r.Handle(v.AuthChallenge); reply != nil {
			t.Error("the gateway from before was answered")
		}
		if _, ev := r.Handle(challenge(v.Entity, "gw-0002")); ev.Kind != pne.Authenticated {
			t.Errorf("the new gateway: %v (%v)", ev.Kind, ev.Err)
		}
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
		key    *cpns.EUKey // nil: used up
		kind   pne.Kind
		status cpns.AckStatus
	}{
		{"the next", v.Epoch, held + 1, v.key(held + 1), pne.Stored, 0},
		{"used up", v.Epoch, held, nil, pne.UsedUp, 0},
		{"a key of another chain", v.Epoch, held + 1, &cpns.EUKey{1}, pne.Refused, cpns.AckChainBroken},
		{"the key after the next, as the next", v.Epoch, held + 1, v.key(held + 2), pne.Refused, cpns.AckChainBroken},
		{"the key after the next", v.Epoch, held + 2, v.key(held + 2), pne.Refused, cpns.AckChainBroken},
		{"the next key under a later index", v.Epoch, held + 2, v.key(held + 1), pne.Refused, cpns.AckChainBroken},
		{"the next key under another epoch", v.Epoch + 1, held + 1, v.key(held + 1), pne.Refused, cpns.AckChainBroken},
		{"the key held", v.Epoch, held, v.key(held), pne.Refused, cpns.AckStale},
		{"the next key under the index held", v.Epoch, held, v.key(held + 1), pne.Refused, cpns.AckStale},
		{"the key before", v.Epoch, held - 1, v.key(held - 1), pne.Refused, cpns.AckStale},
		{"an epoch past", v.Epoch - 1, held + 1, v.key(held + 1), pne.Refused, cpns.AckStale},
		{"used up, at a later index", v.Epoch, held + 1, nil, pne.Refused, cpns.AckChainBroken},
		{"used up, at an earlier index", v.Epoch, held - 1, nil, pne.Refused, cpns.AckStale},
		{"used up, of another epoch", v.Epoch + 1, held, nil, pne.Refused, cpns.AckChainBroken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, v.holding(held))
			r.sayHello(t)
			r.challenged(t)
			reply, ev := r.Handle(sealUpdate(t, &v, held, tt.epoch, tt.index, tt.key))
			if ev.Kind != tt.kind || ev.Status != tt.status {
				t.Fatalf("%v, %v (%v); want %v, %v", ev.Kind, ev.Status, ev.Err, tt.kind, tt.status)
			}
			_, agreed := r.SessionKey()
			if agreed != (tt.kind != pne.Refused) {
				t.Errorf("a session key: %v", agreed)
			}
			switch tt.kind {
			case pne.Refused:
				wantBytes(t, "reply", reply, failed(t, &v, tt.status, tt.epoch, tt.index))
				r.wantHeld(t, v.holding(held))
			default:
				wantBytes(t, "reply", reply, marshal(t, cpns.NewAcknowledgement(v.key(tt.index), v.authContext(), v.Entity, v.Epoch, tt.index)))
				r.wantHeld(t, v.holding(tt.index))
			}
		})
	}
}

// TestSessionKeyEnds: another assignment ends what was agreed on.
func TestSessionKeyEnds(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, v.holding(1))
	r.challenged(t)
	r.Handle(v.Update)
	if _, ok := r.SessionKey(); !ok {
		t.Fatal("no session key after the update")
	}
	r.sayHello(t)
	r.Handle(notify(t, &v, v.Gateway, v.Epoch+1, 1))
	if key, ok := r.SessionKey(); ok || key != (cpns.SessionKey{}) {
		t.Error("the session key has outlived its EUKey")
	}
}

// TestUpdateContext: an update opens only under the challenge just answered.
func TestUpdateContext(t *testing.T) {
	v := vectors(t)[0]
	later := marshal(t, &cpns.AuthChallenge{Entity: v.Entity, Gateway: v.Gateway})
	tests := []struct {
		name string
		do   func(*rig)
	}{
		{"no challenge", func(*rig) {}},
		{"a later challenge", func(r *rig) {
			r.challenged(t)
			r.rand.Write(v.RandPNE)
			r.Handle(later)
		}},
		{"a restart", func(r *rig) {
			r.challenged(t)
			r.boot(t)
			r.sayHello(t)
		}},
		{"a notification", func(r *rig) {
			r.challenged(t)
			r.Handle(notify(t, &v, v.Gateway, v.Epoch+1, 1)) // the same key, so only the rule is in the way
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, v.holding(1))
			r.sayHello(t)
			tt.do(r)
			before := r.storage.state
			reply, ev := r.Handle(v.Update)
			if ev.Kind != pne.Refused || ev.Status != cpns.AckCannotDecrypt {
				t.Errorf("%v, %v; want refused, cannot decrypt", ev.Kind, ev.Status)
			}
			wantBytes(t, "reply", reply, failed(t, &v, cpns.AckCannotDecrypt, v.Epoch, 2))
			r.wantHeld(t, before)
		})
	}
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
		{"notification of a new epoch", pne.State{Gateway: "gw-before", Epoch: v.Epoch - 1, Index: 5, EUKey: *v.key(5)}, v.Notification, v.Ack, 1},
		{"update", v.holding(1), v.Update, v.UpdateAck, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, &v, tt.held)
			r.sayHello(t)
			if tt.index == 2 {
				r.challenged(t)
			}
			r.storage.err = full
			reply, ev := r.Handle(tt.msg)
			if ev.Kind != pne.Refused || ev.Status != cpns.AckNotStored || !errors.Is(ev.Err, full) {
				t.Errorf("%v, %v (%v); want refused, not stored", ev.Kind, ev.Status, ev.Err)
			}
			wantBytes(t, "reply", reply, failed(t, &v, cpns.AckNotStored, v.Epoch, tt.index))
			r.wantHeld(t, tt.held)

			r.storage.err = nil
			reply, ev = r.Handle(tt.msg)
			if ev.Kind != pne.Stored {
				t.Errorf("again, with space: %v (%v)", ev.Kind, ev.Err)
			}
			wantBytes(t, "reply with space", reply, tt.ack)
			r.wantHeld(t, v.holding(tt.index))
		})
	}
}

// TestPowerCut cuts the power after the EUKey was stored and before it was
// acknowledged: the device comes back with it, says so, and can prove it.
func TestPowerCut(t *testing.T) {
	v := vectors(t)[0]
	r := newRig(t, &v, pne.State{})
	r.sayHello(t)
	r.Handle(v.Notification) // the acknowledgement is lost with the power
	r.boot(t)

	// Before its hello it is silent to the repeat, after it the nonce is another.
	if reply, _ := r.Handle(v.Notification); reply != nil {
		t.Errorf("answered before its hello: %x", reply)
	}
	r.rand.Write(make([]byte, 16))
	msg, err := r.Hello()
	if err != nil {
		t.Fatal(err)
	}
	m, err := cpns.ParseMessage(msg)
	if err != nil {
		t.Fatal(err)
	}
	if hello := m.(*cpns.Hello); hello.Epoch != v.Epoch || hello.Index != 1 {
		t.Errorf("hello says %d, %d; want %d, 1", hello.Epoch, hello.Index, v.Epoch)
	}
	if reply, ev := r.Handle(v.Notification); ev.Status != cpns.AckCannotDecrypt {
		t.Errorf("the notification to the hello before: %v, %x", ev.Kind, reply)
	}
	wantBytes(t, "auth-response", r.challenged(t), v.AuthResponse)
	r.wantHeld(t, v.holding(1))
}

// TestVolatile: a device that keeps only its TK takes the next EUKey each time.
func TestVolatile(t *testing.T) {
	v := vectors(t)[0]
	for index := cpns.Index(1); index <= v.n(); index++ {
		rand := bytes.NewBuffer(v.Nonce)
		d, err := pne.New(pne.Config{Entity: v.Entity, TK: cpns.TK(v.TK), Storage: pne.Volatile{}, Rand: rand})
		if err != nil {
			t.Fatal(err)
		}
		hello, err := d.Hello()
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, "hello", hello, v.Hello) // epoch 0, index 0
		if _, ev := d.Handle(notify(t, &v, v.Gateway, v.Epoch, index)); ev.Kind != pne.Stored || ev.Index != index {
			t.Errorf("index %d: %v (%v)", index, ev.Kind, ev.Err)
		}
	}
}

// TestRefusalsAreFew: a stream of forgeries gets MaxRefusals answers to each hello.
func TestRefusalsAreFew(t *testing.T) {
	v := vectors(t)[0]
	forged := v
	forged.TK = make(hexBytes, 16)
	forgery := notify(t, &forged, v.Gateway, 3, 1)
	r := newRig(t, &v, pne.State{})
	flood := func() (answers int) {
		for range 1000 {
			if reply, ev := r.Handle(forgery); reply != nil {
				answers++
			} else if ev.Kind != pne.Refused {
				t.Fatalf("%v, want refused", ev.Kind)
			}
		}
		return answers
	}
	if n := flood(); n != 0 {
		t.Errorf("%d answers before the first hello, want none", n)
	}
	for range 2 {
		r.sayHello(t)
		if n := flood(); n != pne.MaxRefusals {
			t.Errorf("%d answers to a flood after a hello, want %d", n, pne.MaxRefusals)
		}
	}
	if reply, _ := r.Handle(v.Notification); !bytes.Equal(reply, v.Ack) {
		t.Error("the flood has made the device deaf to its gateway")
	}
	if n := flood(); n != pne.MaxRefusals {
		t.Errorf("%d answers to a flood after a gateway has proved itself, want %d", n, pne.MaxRefusals)
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
	tests := []struct {
		name string
		set  func(*pne.Config)
	}{
		{"no Entity ID", func(c *pne.Config) { c.Entity = "" }},
		{"Entity ID with a space", func(c *pne.Config) { c.Entity = "a b" }},
		{"TK of 15 bytes", func(c *pne.Config) { c.TK = c.TK[:15] }},
		{"no storage", func(c *pne.Config) { c.Storage = nil }},
		{"no randomness", func(c *pne.Config) { c.Rand = nil }},
		{"stored: index without epoch", func(c *pne.Config) { c.Storage = &storage{state: pne.State{Index: 1}} }},
		{"stored: epoch without index", func(c *pne.Config) { c.Storage = &storage{state: pne.State{Gateway: "g", Epoch: 1}} }},
		{"stored: index of 1025", func(c *pne.Config) {
			c.Storage = &storage{state: pne.State{Gateway: "g", Epoch: 1, Index: 1025}}
		}},
		{"stored: no gateway", func(c *pne.Config) { c.Storage = &storage{state: pne.State{Epoch: 1, Index: 1}} }},
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

// TestSize holds the sizes that the package's and docs/integrating.md's figures
// are made of: names, TK, epoch and index at their longest.
func TestSize(t *testing.T) {
	const n = 64
	e, g := cpns.EntityID(strings.Repeat("e", n)), cpns.GatewayID(strings.Repeat("g", n))
	epoch, index, key, rand := cpns.Epoch(1<<32-1), cpns.Index(1024), new(cpns.EUKey), new([16]byte)
	notification, err := cpns.SealNotification(make(cpns.TK, n), rand, e, g, epoch, index, key, testIV)
	if err != nil {
		t.Fatal(err)
	}
	ack := len(marshal(t, cpns.NewAcknowledgement(key, rand[:], e, epoch, index)))
	response := len(marshal(t, cpns.NewAuthResponse(key, g, rand, rand, e, epoch, index)))
	sizes := []struct {
		what      string
		got, want int
	}{
		{"notification", len(marshal(t, notification)), 213},
		{"acknowledgement", ack, 118},
		{"auth-response", response, 134},
	}
	for _, s := range sizes {
		if s.got != s.want {
			t.Errorf("%s: %d bytes, documented are %d", s.what, s.got, s.want)
		}
	}
	names := 3 * n // Entity ID, TK, gateway ID
	if size := int(unsafe.Sizeof(pne.Device{})) + names + ack + response; size > 800 {
		t.Errorf("a device takes %d bytes, documented are 800", size)
	}
}
