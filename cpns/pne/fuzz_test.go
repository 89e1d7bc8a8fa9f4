package pne_test

import (
	"bytes"
	"testing"

	"cpns.example.net/pngw/cpns/pne"
)

// FuzzHandle sends anything to a device in the states where it takes the most:
// after a hello, an EUKey held, a challenge answered; with X25519 and without.
// Nothing may panic, and only the gateway's own messages may change what is held.
func FuzzHandle(f *testing.F) {
	v := vectors(f)[0]
	for _, msg := range v.messages() {
		f.Add([]byte(msg))
	}
	for _, m := range refusedMessages(f) {
		f.Add([]byte(m.Hex))
	}
	authentic := [][]byte{v.Notification, v.Update, v.Stay, v.X25519.Notification}
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, state := range []struct {
			held   pne.State
			x25519 bool
		}{{}, {held: v.holding(1)}, {x25519: true}} {
			r := newRig(t, &v, state.held)
			r.sayHello()
			if state.x25519 {
				r.SaidHello(v.X25519.Hello, v.X25519.Epoch, v.X25519.Index, v.pair())
			}
			if state.held != (pne.State{}) {
				r.challenged()
			}
			r.rand.Write(v.RandPNE)
			before := *r.Device
			reply, ev := r.Handle(msg)
			made := false
			for _, a := range authentic {
				made = made || bytes.Equal(msg, a)
			}
			if !made {
				r.wantHeld(state.held)
				if r.storage.saves != 0 || ev.Kind == pne.Stored {
					t.Errorf("%v after a message that no gateway made", ev.Kind)
				}
			}
			if ev.Kind == pne.Refused && *r.Device != before {
				t.Error("a message that was refused has changed something")
			}
			if len(reply) > len(msg)+64 {
				t.Errorf("a reply of %d bytes to %d", len(reply), len(msg))
			}
			if again, _ := r.Handle(msg); !bytes.Equal(again, reply) {
				t.Errorf("the same message again got another answer:\n%x\n%x", reply, again)
			}
		}
	})
}
