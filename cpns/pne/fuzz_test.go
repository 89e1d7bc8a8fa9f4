package pne_test

import (
	"bytes"
	"testing"

	"cpns.example.net/pngw/cpns/pne"
)

// FuzzHandle sends anything to a device in the state where it takes the most:
// after a hello, an EUKey held, a challenge answered. Nothing may panic, and
// only the gateway's own messages may change what is held.
func FuzzHandle(f *testing.F) {
	v := vectors(f)[0]
	for _, msg := range [][]byte{v.Identify, v.IdentifyAny, v.Hello, v.Notification, v.Ack, v.AuthChallenge, v.AuthResponse, v.Update, v.UsedUp} {
		f.Add([]byte(msg))
	}
	for _, m := range refusedMessages(f) {
		f.Add([]byte(m.Hex))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, held := range []pne.State{{}, v.holding(1)} {
			r := newRig(t, &v, held)
			r.sayHello(t)
			if held != (pne.State{}) {
				r.challenged(t)
			}
			r.rand.Write(v.RandPNE)
			reply, ev := r.Handle(msg)
			if authentic := bytes.Equal(msg, v.Notification) || bytes.Equal(msg, v.Update); !authentic {
				r.wantHeld(t, held)
				if r.storage.saves != 0 || ev.Kind == pne.Stored {
					t.Errorf("%v after a message that no gateway made", ev.Kind)
				}
			}
			if len(reply) > len(msg)+64 {
				t.Errorf("a reply of %d bytes to %d", len(reply), len(msg))
			}
			again, _ := r.Handle(msg)
			if ev.Kind != pne.Refused && !bytes.Equal(again, reply) {
				t.Errorf("the same message again got another answer:\n%x\n%x", reply, again)
			}
		}
	})
}
