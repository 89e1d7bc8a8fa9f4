package agent

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// TestWindow: devices that were prepared get their keys while the window is open, and at
// no other time, also over a restart; others get theirs as ever. What is told of it adds up.
func TestWindow(t *testing.T) {
	p := newParty(t)
	tk, later := p.importPNE("pne-1"), p.importPNE("pne-2")
	gw, dev := transport.NewPair("wire", "device")
	gw2, dev2 := transport.NewPair("second", "device")
	var mu sync.Mutex
	var told []Activity
	watched := func(c *Config) {
		c.Active = func(a Activity) { mu.Lock(); told = append(told, a); mu.Unlock() }
	}
	g := p.gatewayWith(watched, gw, gw2)
	last := func() Activity {
		mu.Lock()
		defer mu.Unlock()
		if len(told) == 0 {
			return Activity{}
		}
		return told[len(told)-1]
	}
	prepare := func(ids ...cpns.EntityID) []Outcome {
		t.Helper()
		out, err := g.Provision(t.Context(), ProvisionRequest{User: "alice", PasswordHash: hashOf(goodPassword), Entities: ids, Wait: time.Minute, Hold: true}, func(Step) {})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	heard := func() string {
		v, err := g.Show(t.Context(), "pne-1")
		if err != nil {
			t.Fatal(err)
		}
		return v.LastSeen
	}

	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk})
	for _, o := range prepare("pne-1", "pne-2") {
		if o.Result != ResultHeld || !strings.Contains(o.Detail, "button") {
			t.Errorf("prepared: %+v", o)
		}
	}
	eventually(t, "both are told of", func() bool { return last().Held == 2 })
	if err := g.do(t.Context(), func() { g.ports[0].poll(time.Now(), 0) }); err != nil { // everybody is asked
		t.Fatal(err)
	}
	eventually(t, "it has been heard", func() bool { return heard() != "" })
	g.want("pne-1", StateAssigned, 1, 0)

	// It stays so over a restart.
	g.stop()
	g = p.gatewayWith(watched, gw, gw2)
	eventually(t, "they are still kept", func() bool { return last().Held == 2 })
	eventually(t, "it has been heard again", func() bool { return heard() != "" })
	g.want("pne-1", StateAssigned, 1, 0)

	if err := g.Window(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one is delivered", func() bool { a := last(); return a.Delivered == 1 && a.Held == 1 && a.Offered == 0 })
	g.want("pne-1", StateDelivered, 1, 1)
	mu.Lock()
	if !slices.ContainsFunc(told, func(a Activity) bool { return a.Offered == 1 }) {
		t.Errorf("that it was sent its key was not told: %+v", told)
	}
	if until := time.Until(told[len(told)-1].Until); until < 0 || until > time.Minute {
		t.Errorf("the window is open for %v", until)
	}
	mu.Unlock()

	// The other comes when it is over.
	if err := g.Window(t.Context(), -time.Second); err != nil {
		t.Fatal(err)
	}
	runDevice(t, dev2, pne.Config{Entity: "pne-2", TK: later})
	eventually(t, "the other has been heard", func() bool {
		v, err := g.Show(t.Context(), "pne-2")
		return err == nil && v.LastSeen != ""
	})
	g.want("pne-2", StateAssigned, 1, 0)

	// Asked for once more, without the button; one that has its key is not kept back.
	if _, out := g.provision(goodPassword, time.Minute, "pne-2"); out[0].Result != ResultDelivered {
		t.Errorf("without the button: %+v", out)
	}
	if out := prepare("pne-1"); out[0].Result != ResultDelivered {
		t.Errorf("one that has its key: %+v", out)
	}
	p.importPNE("pne-3")
	prepare("pne-3")
	eventually(t, "one more waits", func() bool { return last().Held == 1 })
	for _, id := range []cpns.EntityID{"pne-2", "pne-3"} {
		if err := g.Forget(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "nobody waits", func() bool { a := last(); return a.Held == 0 && a.Awaited == 0 && a.Offered == 0 && a.Alarms == 0 })
}
