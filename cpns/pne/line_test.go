package pne_test

import (
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
)

// TestLine: a device speaks unasked 20 ms after the last byte, and where the
// gateway waits for another, after that one's answer or 600 ms.
func TestLine(t *testing.T) {
	const ms = time.Millisecond
	v := vectors(t)[0]
	other := func(m cpns.Message) []byte { return marshal(t, m) }
	sealed := func(mt cpns.MessageType) []byte {
		o := v
		o.Entity = "pne-2"
		r := newRig(t, &o, pne.State{})
		if mt == cpns.TypeNotification {
			return r.notify(r.sayHello(), offer{index: 1})
		}
		return r.update(1, v.Epoch, 1, nil)
	}
	identify := other(&cpns.Identify{Entity: "pne-2"})
	challenge := other(&cpns.AuthChallenge{Entity: "pne-2", Gateway: "gw-0001"})
	answers := func(e cpns.EntityID) [][]byte {
		hello, err := cpns.NewHello(cpns.TK(v.TK), cpns.Hello{Entity: e, Algs: []int64{24}})
		if err != nil {
			t.Fatal(err)
		}
		var rand [16]byte
		return [][]byte{
			other(hello),
			other(cpns.NewFailedAcknowledgement(cpns.AckStale, e, 1, 1)),
			other(cpns.NewAuthResponse(v.key(1), "gw-0001", &rand, &rand, e, 1, 1)),
		}
	}
	at := func(d time.Duration) time.Time { return beginning.Add(d) }
	after := func(msgs ...[]byte) *pne.Line {
		d := newRig(t, &v, v.holding(1)).Device
		var l pne.Line
		for i, msg := range msgs {
			_, ev := d.Handle(msg)
			l.Heard(at(time.Duration(i)*100*ms), ev)
		}
		return &l
	}
	want := func(what string, l *pne.Line, heard, free time.Duration) {
		t.Helper()
		if got := l.Free(at(heard)); !got.Equal(at(free)) {
			t.Errorf("%s: free %v after the beginning, want %v", what, got.Sub(beginning), free)
		}
	}
	want("nothing heard", after(), 0, 20*ms)
	for _, ask := range [][]byte{identify, challenge, sealed(cpns.TypeNotification), sealed(cpns.TypeEUKeyUpdate)} {
		want("another is asked", after(ask), 0, 600*ms)
		want("another is asked, bytes since", after(ask), 590*ms, 610*ms)
		want("asked again", after(ask, ask), 100*ms, 700*ms)
		for _, answer := range answers("pne-2") {
			want("it has answered", after(ask, answer), 100*ms, 120*ms)
		}
		for _, answer := range answers("pne-3") {
			want("a third has spoken", after(ask, answer), 100*ms, 600*ms)
		}
	}
	want("everybody is asked", after(v.IdentifyAny), 0, 20*ms)
	want("it is asked itself", after(v.AuthChallenge), 0, 20*ms)
	want("its own echo", after(v.AuthResponse), 0, 20*ms)
	want("noise", after([]byte("noise")), 0, 20*ms)
}
