package pne_test

import (
	"errors"
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
	AckFailed     []hexBytes     `json:"acknowledgement_failed"`
	AuthChallenge hexBytes       `json:"auth_challenge"`
	AuthResponse  hexBytes       `json:"auth_response"`

	Update        hexBytes `json:"eukey_update"`
	UpdateAck     hexBytes `json:"update_acknowledgement"`
	UpdateSession hexBytes `json:"session_key"`
	Stay          hexBytes `json:"eukey_update_stay"`
	StayAck       hexBytes `json:"stay_acknowledgement"`
	StaySession   hexBytes `json:"stay_session_key"`
	UsedUp        hexBytes `json:"eukey_update_used_up"`
	UsedUpAck     hexBytes `json:"used_up_acknowledgement"`
	UsedUpSession hexBytes `json:"used_up_session_key"`

	X25519 struct {
		PNEPrivate   hexBytes   `json:"pne_private"`
		Nonce        hexBytes   `json:"nonce"`
		Epoch        cpns.Epoch `json:"epoch"`
		Index        cpns.Index `json:"index"`
		Hello        hexBytes   `json:"hello"`
		Notification hexBytes   `json:"notification"`
		Ack          hexBytes   `json:"acknowledgement"`
	} `json:"x25519"`
}

// messages are all messages of the case.
func (v *vector) messages() []hexBytes {
	return append([]hexBytes{
		v.Identify, v.IdentifyAny, v.Hello, v.Notification, v.Ack, v.AuthChallenge, v.AuthResponse,
		v.Update, v.UpdateAck, v.Stay, v.StayAck, v.UsedUp, v.UsedUpAck,
		v.X25519.Hello, v.X25519.Notification, v.X25519.Ack,
	}, v.AckFailed...)
}

func (v *vector) key(index cpns.Index) *cpns.EUKey { return (*cpns.EUKey)(v.EUKeys[index-1]) }
func (v *vector) n() cpns.Index                    { return cpns.Index(len(v.EUKeys)) }
func (v *vector) randGW() *[16]byte                { return (*[16]byte)(v.RandGW) }
func (v *vector) randPNE() *[16]byte               { return (*[16]byte)(v.RandPNE) }
func (v *vector) pair() *cpns.X25519Pair {
	return cpns.NewX25519Pair([cpns.X25519Size]byte(v.X25519.PNEPrivate))
}

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

func forEachVector(t *testing.T, test func(t *testing.T, v *vector)) {
	for _, v := range vectors(t) {
		t.Run(string(v.Entity), func(t *testing.T) { test(t, &v) })
	}
}

// TestVectors drives a device through a whole life with the numbers of an
// independent implementation: every byte that it says is given.
func TestVectors(t *testing.T) {
	forEachVector(t, func(t *testing.T, v *vector) {
		r := newRig(t, v, pne.State{})
		wantBytes(t, "hello", r.sayHello(), v.Hello)
		for _, everybody := range []bool{false, true} {
			msg := v.Identify
			if everybody {
				msg = v.IdentifyAny
			}
			if reply, ev := r.Handle(msg); reply != nil || ev != (pne.Event{Kind: pne.Identify, Everybody: everybody}) {
				t.Errorf("identify %x: reply %x, %+v", msg, reply, ev)
			}
		}
		r.wantTaken(v.Notification, v.Ack, pne.Stored, v.holding(1))

		wantBytes(t, "auth-response", r.challenged(), v.AuthResponse)
		if _, ok := r.SessionKey(); ok {
			t.Error("a session key before the gateway has proved itself")
		}
		r.wantTaken(v.Update, v.UpdateAck, pne.Stored, v.holding(2))
		r.wantSessionKey(v.UpdateSession)
	})
}

func (r *rig) wantSessionKey(want []byte) {
	r.t.Helper()
	session, ok := r.SessionKey()
	if !ok {
		r.t.Error("no session key")
	}
	wantBytes(r.t, "session key", session[:], want)
}

// TestVectorsStay: an empty update is acknowledged under the key held, whose index
// it names, and nothing is stored; in the middle of a set and at its end.
func TestVectorsStay(t *testing.T) {
	forEachVector(t, func(t *testing.T, v *vector) {
		for _, end := range []struct {
			held              cpns.Index
			msg, ack, session []byte
		}{
			{1, v.Stay, v.StayAck, v.StaySession},
			{v.n(), v.UsedUp, v.UsedUpAck, v.UsedUpSession},
		} {
			r := newRig(t, v, v.holding(end.held))
			r.challenged()
			r.wantTaken(end.msg, end.ack, pne.Stayed, v.holding(end.held))
			r.wantSessionKey(end.session)
			if r.storage.saves != 0 {
				t.Errorf("%d writes, want none", r.storage.saves)
			}
			r.wantRepeated("an empty update", end.msg, end.ack)
		}
	})
}

// TestVectorsX25519 answers a hello that has an X25519 key. Its list of algorithms
// is not ours, so the hello is put in.
func TestVectorsX25519(t *testing.T) {
	forEachVector(t, func(t *testing.T, v *vector) {
		r := newRig(t, v, pne.State{})
		r.SaidHello(v.X25519.Hello, v.X25519.Epoch, v.X25519.Index, v.pair())
		r.wantTaken(v.X25519.Notification, v.X25519.Ack, pne.Stored, v.holding(1))
	})
}

// TestVectorsFailed: each status has its bytes.
func TestVectorsFailed(t *testing.T) {
	forEachVector(t, func(t *testing.T, v *vector) {
		full := errors.New("no space left on device")
		fails := []func(r *rig) []byte{
			func(r *rig) []byte { return r.notify(r.said, offer{index: 1, tk: make(hexBytes, 16)}) },
			func(r *rig) []byte { return r.notify(r.said, offer{index: 1}) }, // held already, see below
			nil, // a broken chain needs an index above: TestNotificationChain
			func(r *rig) []byte { r.storage.err = full; return r.notify(r.said, offer{index: 1}) },
		}
		if len(v.AckFailed) != len(fails) {
			t.Fatalf("%d acknowledgements of failures, want %d", len(v.AckFailed), len(fails))
		}
		for i, fail := range fails {
			if fail == nil {
				continue
			}
			held := pne.State{}
			if cpns.AckStatus(i+1) == cpns.AckStale {
				held = v.holding(1)
			}
			r := newRig(t, v, held)
			r.sayHello()
			reply, _ := r.Handle(fail(r))
			wantBytes(t, cpns.AckStatus(i+1).String(), reply, v.AckFailed[i])
		}
	})
}

// TestRefused sends every message that must be refused, to a device in each
// state in which it could take it.
func TestRefused(t *testing.T) {
	v := vectors(t)[0]
	hello := parse[*cpns.Hello](t, v.X25519.Hello)
	states := map[string]func(r *rig){
		"holds none": func(r *rig) { r.sayHello() },
		"challenged": func(r *rig) { r.storage.state = v.holding(1); r.boot(); r.sayHello(); r.challenged() },
		"x25519":     func(r *rig) { r.SaidHello(v.X25519.Hello, hello.Epoch, hello.Index, v.pair()) },
	}
	for _, m := range refusedMessages(t) {
		t.Run(m.Kind+"/"+m.Why, func(t *testing.T) {
			for name, reach := range states {
				r := newRig(t, &v, pne.State{})
				reach(r)
				r.rand.Write(v.RandPNE) // so that nothing fails for want of it
				if m.Stage == "decode" {
					r.wantSilence(m.Hex, pne.Malformed)
					continue
				}
				before := *r.Device
				reply, ev := r.Handle(m.Hex)
				if *r.Device != before || r.storage.saves != 0 {
					t.Errorf("%s: the device's state has changed", name)
				}
				switch ev.Kind {
				case pne.Ignored, pne.Refused:
				default:
					t.Errorf("%s: %v, want refused or ignored", name, ev.Kind)
				}
				want := wantedStatus(&m, name)
				if ev.Status != want || (reply == nil) != (want == 0) {
					t.Errorf("%s: status %v (%v), reply %x; want status %v", name, ev.Status, ev.Err, reply, want)
				}
			}
		})
	}
}

// wantedStatus is the answer that a message of refused.json gets which decodes; 0
// is silence.
func wantedStatus(m *refusedMessage, state string) cpns.AckStatus {
	switch m.Kind {
	case "notification", "notification_x25519":
		if m.Why == "answers the hello with another epoch and index" && state == "challenged" {
			return cpns.AckStale // that is what its hello says
		}
		return cpns.AckCannotDecrypt
	case "eukey_update":
		switch {
		case m.Why == "another entity", state != "challenged":
			return 0
		case m.Why == "key that is not the chain's":
			return cpns.AckChainBroken
		case m.Why == "a key, with the index held":
			return cpns.AckStale
		}
		return cpns.AckCannotDecrypt
	}
	return 0 // what PNEs say
}
