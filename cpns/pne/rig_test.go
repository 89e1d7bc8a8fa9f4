package pne_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// storage is a Storage in memory that counts and fails as it is told.
type storage struct {
	state pne.State
	saves int
	err   error // what Save returns; the state is then kept
}

func (s *storage) Load() (pne.State, error) { return s.state, nil }

func (s *storage) Save(state *pne.State) error {
	if s.err != nil {
		return s.err
	}
	s.state = *state
	s.saves++
	return nil
}

// A rig is a device with its storage, and with randomness that is known: what
// the test has put into rand, and no more.
type rig struct {
	t testing.TB
	*pne.Device
	storage *storage
	rand    *bytes.Buffer
	vector  *vector
	x25519  bool
	said    []byte // the latest hello
	iv      byte   // of the latest message that was sealed
}

func newRig(t testing.TB, v *vector, held pne.State) *rig {
	t.Helper()
	r := &rig{t: t, storage: &storage{state: held}, rand: new(bytes.Buffer), vector: v}
	r.boot()
	return r
}

// boot makes the device anew from what its storage holds.
func (r *rig) boot() {
	r.t.Helper()
	d, err := pne.New(pne.Config{Entity: r.vector.Entity, TK: cpns.TK(r.vector.TK), Storage: r.storage, Rand: r.rand, X25519: r.x25519})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Device = d
}

// sayHello says a hello under the vector's nonce.
func (r *rig) sayHello() []byte {
	r.t.Helper()
	return r.sayHelloWith(r.vector.Nonce)
}

// sayHelloWith says a hello with that from its random source.
func (r *rig) sayHelloWith(random []byte) []byte {
	r.t.Helper()
	r.rand.Write(random)
	msg, err := r.Hello()
	if err != nil {
		r.t.Fatal(err)
	}
	r.said = msg
	return msg
}

// challenged answers the vector's challenge with the vector's rand-pne.
func (r *rig) challenged() []byte {
	r.t.Helper()
	r.rand.Write(r.vector.RandPNE)
	reply, ev := r.Handle(r.vector.AuthChallenge)
	if ev.Kind != pne.Authenticated {
		r.t.Fatalf("the challenge was not answered: %v: %v", ev.Kind, ev.Err)
	}
	return reply
}

// An offer is what a notification offers. Its zero values stand for the vector's
// gateway, epoch and key of that index, and for no X25519.
type offer struct {
	gateway cpns.GatewayID
	epoch   cpns.Epoch
	index   cpns.Index
	key     *cpns.EUKey
	tk      hexBytes
	pair    *cpns.X25519Pair
}

// notify makes a notification as a gateway does, in answer to a hello.
func (r *rig) notify(hello []byte, o offer) []byte {
	r.t.Helper()
	v := r.vector
	if o.gateway == "" {
		o.gateway = v.Gateway
	}
	if o.epoch == 0 {
		o.epoch = v.Epoch
	}
	if o.key == nil {
		o.key = v.key(o.index)
	}
	if o.tk == nil {
		o.tk = v.TK
	}
	m, err := cpns.SealNotification(cpns.TK(o.tk), parse[*cpns.Hello](r.t, hello), o.pair, o.gateway, o.epoch, o.index, o.key, r.nextIV())
	if err != nil {
		r.t.Fatal(err)
	}
	return marshal(r.t, m)
}

// nextIV is another one each time, so that no two messages are the same.
func (r *rig) nextIV() [cpns.IVSize]byte {
	r.iv++
	return [cpns.IVSize]byte{r.iv}
}

// ack is the acknowledgement of a notification that answered hello.
func (r *rig) ack(hello []byte, g cpns.GatewayID, epoch cpns.Epoch, index cpns.Index) []byte {
	hash, err := parse[*cpns.Hello](r.t, hello).Hash()
	if err != nil {
		r.t.Fatal(err)
	}
	return marshal(r.t, cpns.NewAcknowledgement(r.vector.key(index), cpns.NotificationContext(&hash), r.vector.Entity, g, epoch, index))
}

// update makes an update under the vector's challenge, for a device that holds the
// key of index held. A nil key has it stay on that.
func (r *rig) update(held cpns.Index, epoch cpns.Epoch, index cpns.Index, key *cpns.EUKey) []byte {
	r.t.Helper()
	v := r.vector
	m, err := cpns.SealEUKeyUpdate(cpns.TK(v.TK), v.key(held), v.Gateway, v.randGW(), v.randPNE(), v.Entity, epoch, index, key, r.nextIV())
	if err != nil {
		r.t.Fatal(err)
	}
	return marshal(r.t, m)
}

// updateAck is the acknowledgement of an update under the vector's challenge.
func (r *rig) updateAck(index cpns.Index) []byte {
	v := r.vector
	return marshal(r.t, cpns.NewAcknowledgement(v.key(index), cpns.UpdateContext(v.randGW(), v.randPNE()), v.Entity, v.Gateway, v.Epoch, index))
}

// challenge is a challenge of g, another one for each n.
func (r *rig) challenge(g cpns.GatewayID, n byte) []byte {
	return marshal(r.t, &cpns.AuthChallenge{Entity: r.vector.Entity, Gateway: g, RandGW: [16]byte{15: n}})
}

// wantHeld checks what the device holds, in memory and in its storage.
func (r *rig) wantHeld(want pne.State) {
	r.t.Helper()
	g, epoch, index := r.Held()
	wantEpoch := want.Epoch
	if want.Index == 0 {
		wantEpoch = 0
	}
	if g != want.Gateway || epoch != wantEpoch || index != want.Index {
		r.t.Errorf("held is %q %d %d, want %q %d %d", g, epoch, index, want.Gateway, wantEpoch, want.Index)
	}
	if got := r.storage.state; got != want {
		r.t.Errorf("stored is %q %d %d, want %q %d %d, or another key", got.Gateway, got.Epoch, got.Index, want.Gateway, want.Epoch, want.Index)
	}
}

// wantRefused sends msg, which must be answered with a failure status and
// change nothing.
func (r *rig) wantRefused(msg []byte, status cpns.AckStatus, epoch cpns.Epoch, index cpns.Index) {
	r.t.Helper()
	before := r.storage.state
	reply, ev := r.Handle(msg)
	if ev.Kind != pne.Refused || ev.Status != status || ev.Epoch != epoch || ev.Index != index {
		r.t.Errorf("%v, %v, %d, %d (%v); want refused, %v, %d, %d", ev.Kind, ev.Status, ev.Epoch, ev.Index, ev.Err, status, epoch, index)
	}
	wantBytes(r.t, "reply", reply, marshal(r.t, cpns.NewFailedAcknowledgement(status, r.vector.Entity, epoch, index)))
	r.wantHeld(before)
}

// wantSilence sends msg, which must get no answer and change nothing.
func (r *rig) wantSilence(msg []byte, kind pne.Kind) {
	r.t.Helper()
	before := *r.Device
	saves := r.storage.saves
	reply, ev := r.Handle(msg)
	if ev.Kind != kind || ev.Status != 0 || reply != nil {
		r.t.Errorf("%v, %v (%v), reply %x; want %v and silence", ev.Kind, ev.Status, ev.Err, reply, kind)
	}
	if *r.Device != before || r.storage.saves != saves {
		r.t.Error("the device's state has changed")
	}
}

// wantTaken sends msg, which must be taken and get that answer.
func (r *rig) wantTaken(msg, ack []byte, kind pne.Kind, want pne.State) {
	r.t.Helper()
	reply, ev := r.Handle(msg)
	if wantEvent := (pne.Event{Kind: kind, Gateway: want.Gateway, Epoch: want.Epoch, Index: want.Index}); ev != wantEvent {
		r.t.Errorf("event %+v, want %+v", ev, wantEvent)
	}
	wantBytes(r.t, "acknowledgement", reply, ack)
	r.wantHeld(want)
}

// wantRepeated sends msg several times: the same answer each time, nothing is
// changed, nothing written and no randomness used.
func (r *rig) wantRepeated(what string, msg, answer []byte) {
	r.t.Helper()
	before, saves := *r.Device, r.storage.saves
	for range 6 {
		reply, ev := r.Handle(msg)
		if ev != (pne.Event{Kind: pne.Repeated}) {
			r.t.Errorf("%s: %v (%v), want repeated", what, ev.Kind, ev.Err)
		}
		wantBytes(r.t, what, reply, answer)
	}
	if *r.Device != before || r.storage.saves != saves {
		r.t.Errorf("%s: the repeat has changed something", what)
	}
}

func marshal(t testing.TB, m cpns.Message) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse[M cpns.Message](t testing.TB, msg []byte) M {
	t.Helper()
	m, err := cpns.ParseMessage(msg)
	if err != nil {
		t.Fatal(err)
	}
	return m.(M)
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}
