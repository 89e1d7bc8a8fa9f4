package pne_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// A vector is one case of protocol.json, as far as a PNE is concerned.
type vector struct {
	Entity        cpns.EntityID  `json:"entity_id"`
	Gateway       cpns.GatewayID `json:"gateway_id"`
	TK            hexBytes       `json:"tk"`
	EUKeys        []hexBytes     `json:"eukeys"`
	Nonce         hexBytes       `json:"nonce"`
	RandGW        hexBytes       `json:"rand_gw"`
	RandPNE       hexBytes       `json:"rand_pne"`
	Epoch         cpns.Epoch     `json:"epoch"`
	Identify      hexBytes       `json:"identify"`
	IdentifyAny   hexBytes       `json:"identify_any"`
	Hello         hexBytes       `json:"hello"`
	Notification  hexBytes       `json:"notification"`
	Ack           hexBytes       `json:"acknowledgement"`
	AckFailed     hexBytes       `json:"acknowledgement_failed"`
	AuthChallenge hexBytes       `json:"auth_challenge"`
	AuthResponse  hexBytes       `json:"auth_response"`
	Update        hexBytes       `json:"eukey_update"`
	UpdateAck     hexBytes       `json:"update_acknowledgement"`
	UsedUp        hexBytes       `json:"eukey_update_used_up"`
	SessionKey    hexBytes       `json:"session_key"`
}

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

func (v *vector) key(index cpns.Index) *cpns.EUKey { return (*cpns.EUKey)(v.EUKeys[index-1]) }
func (v *vector) n() cpns.Index                    { return cpns.Index(len(v.EUKeys)) }
func (v *vector) nonce() *[16]byte                 { return (*[16]byte)(v.Nonce) }
func (v *vector) randGW() *[16]byte                { return (*[16]byte)(v.RandGW) }
func (v *vector) randPNE() *[16]byte               { return (*[16]byte)(v.RandPNE) }
func (v *vector) authContext() []byte              { return cpns.AuthContext(v.randGW(), v.randPNE()) }
func (v *vector) holding(index cpns.Index) pne.State {
	return pne.State{Gateway: v.Gateway, Epoch: v.Epoch, Index: index, EUKey: *v.key(index)}
}

func vectors(t testing.TB) []vector {
	t.Helper()
	var file struct{ Cases []vector }
	readJSON(t, "../testdata/protocol.json", &file)
	if len(file.Cases) == 0 {
		t.Fatal("no vectors found")
	}
	return file.Cases
}

type refusedMessage struct {
	Kind, Why, Stage string
	Hex              hexBytes
}

// refusedMessages are the CPNS-1 messages of refused.json.
func refusedMessages(t testing.TB) []refusedMessage {
	t.Helper()
	var file struct{ Cases []refusedMessage }
	readJSON(t, "../testdata/refused.json", &file)
	file.Cases = slices.DeleteFunc(file.Cases, func(m refusedMessage) bool { return m.Kind == "request" || m.Kind == "response" })
	if len(file.Cases) == 0 {
		t.Fatal("no vectors found")
	}
	return file.Cases
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

// A rig is a device with its storage, and with randomness that is known.
type rig struct {
	*pne.Device
	storage *storage
	rand    *bytes.Buffer
	vector  *vector
}

func newRig(t testing.TB, v *vector, held pne.State) *rig {
	t.Helper()
	r := &rig{storage: &storage{state: held}, rand: new(bytes.Buffer), vector: v}
	r.boot(t)
	return r
}

// boot makes the device anew from what its storage holds.
func (r *rig) boot(t testing.TB) {
	t.Helper()
	d, err := pne.New(pne.Config{Entity: r.vector.Entity, TK: cpns.TK(r.vector.TK), Storage: r.storage, Rand: r.rand})
	if err != nil {
		t.Fatal(err)
	}
	r.Device = d
}

// sayHello says a hello under the vector's nonce.
func (r *rig) sayHello(t testing.TB) []byte {
	t.Helper()
	r.rand.Write(r.vector.Nonce)
	msg, err := r.Hello()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// challenged answers the vector's challenge with the vector's rand-pne.
func (r *rig) challenged(t testing.TB) []byte {
	t.Helper()
	r.rand.Write(r.vector.RandPNE)
	reply, ev := r.Handle(r.vector.AuthChallenge)
	if ev.Kind != pne.Authenticated {
		t.Fatalf("the challenge was not answered: %v: %v", ev.Kind, ev.Err)
	}
	return reply
}

// wantHeld checks what the device holds, in memory and in its storage.
func (r *rig) wantHeld(t *testing.T, want pne.State) {
	t.Helper()
	g, epoch, index := r.Held()
	if g != want.Gateway || epoch != want.Epoch || index != want.Index {
		t.Errorf("held is %q %d %d, want %q %d %d", g, epoch, index, want.Gateway, want.Epoch, want.Index)
	}
	if r.storage.state != want {
		t.Errorf("stored is %q %d %d, want %q %d %d, or another key", r.storage.state.Gateway, r.storage.state.Epoch, r.storage.state.Index, want.Gateway, want.Epoch, want.Index)
	}
}

// failed is the acknowledgement of a failure.
func failed(t testing.TB, v *vector, s cpns.AckStatus, epoch cpns.Epoch, index cpns.Index) []byte {
	return marshal(t, cpns.NewFailedAcknowledgement(s, v.Entity, epoch, index))
}

func marshal(t testing.TB, m cpns.Message) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

// TestVectors drives a device through a whole life with the numbers of an
// independent implementation: every byte that it says is given.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(string(v.Entity), func(t *testing.T) {
			r := newRig(t, &v, pne.State{})

			wantBytes(t, "hello", r.sayHello(t), v.Hello)
			for _, msg := range [][]byte{v.Identify, v.IdentifyAny} {
				if reply, ev := r.Handle(msg); reply != nil || ev.Kind != pne.Identify || ev.Everybody != bytes.Equal(msg, v.IdentifyAny) {
					t.Errorf("identify %x: reply %x, %+v", msg, reply, ev)
				}
			}

			reply, ev := r.Handle(v.Notification)
			wantBytes(t, "acknowledgement", reply, v.Ack)
			if want := (pne.Event{Kind: pne.Stored, Gateway: v.Gateway, Epoch: v.Epoch, Index: 1}); ev != want {
				t.Errorf("event %+v, want %+v", ev, want)
			}
			r.wantHeld(t, v.holding(1))

			wantBytes(t, "auth-response", r.challenged(t), v.AuthResponse)
			if _, ok := r.SessionKey(); ok {
				t.Error("a session key before the gateway has proved itself")
			}
			reply, ev = r.Handle(v.Update)
			wantBytes(t, "acknowledgement of the update", reply, v.UpdateAck)
			if want := (pne.Event{Kind: pne.Stored, Gateway: v.Gateway, Epoch: v.Epoch, Index: 2}); ev != want {
				t.Errorf("event %+v, want %+v", ev, want)
			}
			r.wantHeld(t, v.holding(2))
			session, ok := r.SessionKey()
			if !ok {
				t.Error("no session key after the update")
			}
			wantBytes(t, "session key", session[:], v.SessionKey)
		})
	}
}

// TestVectorsUsedUp ends the set: the empty update is acknowledged under the key
// held, whose index it names, and nothing is stored.
func TestVectorsUsedUp(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(string(v.Entity), func(t *testing.T) {
			r := newRig(t, &v, v.holding(v.n()))
			r.challenged(t)
			reply, ev := r.Handle(v.UsedUp)
			wantBytes(t, "acknowledgement", reply, marshal(t, cpns.NewAcknowledgement(v.key(v.n()), v.authContext(), v.Entity, v.Epoch, v.n())))
			if ev.Kind != pne.UsedUp || ev.Epoch != v.Epoch || ev.Index != v.n() {
				t.Errorf("event %+v", ev)
			}
			if _, ok := r.SessionKey(); !ok {
				t.Error("no session key after a mutual authentication")
			}
			r.wantHeld(t, v.holding(v.n()))
			if r.storage.saves != 0 {
				t.Errorf("%d writes, want none", r.storage.saves)
			}
			again, ev := r.Handle(v.UsedUp)
			if ev.Kind != pne.Repeated || !bytes.Equal(again, reply) {
				t.Errorf("the repeat: %v, %x", ev.Kind, again)
			}
		})
	}
}

// TestRefused sends every message that must be refused, to a device in each
// state in which it could take it.
func TestRefused(t *testing.T) {
	v := vectors(t)[0]
	for _, m := range refusedMessages(t) {
		t.Run(m.Kind+"/"+m.Why, func(t *testing.T) {
			for _, held := range []pne.State{{}, v.holding(1)} {
				r := newRig(t, &v, held)
				r.sayHello(t)
				if held != (pne.State{}) {
					r.challenged(t)
				}
				r.rand.Write(v.RandPNE) // so that nothing fails for want of it
				reply, ev := r.Handle(m.Hex)
				r.wantHeld(t, held)
				if r.storage.saves != 0 {
					t.Error("something was stored")
				}
				if m.Stage == "decode" {
					if ev.Kind != pne.Malformed || !errors.Is(ev.Err, cpns.ErrMalformed) || reply != nil {
						t.Errorf("%v (%v), reply %x; want malformed and silence", ev.Kind, ev.Err, reply)
					}
					continue
				}
				switch ev.Kind {
				case pne.Refused:
					wantBytes(t, "reply", reply, failed(t, &v, cpns.AckCannotDecrypt, ev.Epoch, ev.Index))
				case pne.Ignored: // what PNEs say, or for another entity
					if reply != nil {
						t.Errorf("ignored, and yet answered: %x", reply)
					}
				default:
					t.Errorf("%v, want refused or ignored", ev.Kind)
				}
			}
		})
	}
}
