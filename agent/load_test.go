package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// hub is a link with many devices behind it, as a broker is one: what it is
// given it hands to the device, and what the device says comes up.
type hub struct {
	name    string
	mu      sync.Mutex
	devices map[string]*pne.Device
	up      chan transport.Message
}

func newHub(n int) *hub {
	return &hub{name: "hub", devices: map[string]*pne.Device{}, up: make(chan transport.Message, 4*n)}
}

func (h *hub) Name() string                 { return h.name }
func (h *hub) RetryInterval() time.Duration { return transport.RetryMQTT }
func (h *hub) Addressed() bool              { return true }
func (h *hub) Status() transport.Status     { return transport.Status{State: transport.Up} }

func (h *hub) Run(ctx context.Context, handler transport.Handler) error {
	for {
		select {
		case m := <-h.up:
			handler.Message(m)
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *hub) Send(_ context.Context, peer string, msg []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, d := range h.devices {
		if peer == "" || peer == id {
			out, ev := d.Handle(msg)
			if ev.Kind == pne.Identify {
				out, _ = d.Hello()
			}
			h.say(id, out)
		}
		if peer == id {
			break
		}
	}
	return nil
}

func (h *hub) say(id string, wire []byte) {
	if wire != nil {
		h.up <- transport.Message{Peer: id, Data: wire}
	}
}

// everybody has each device say hello, as after a power cut of the building.
func (h *hub) everybody() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, d := range h.devices {
		wire, _ := d.Hello()
		h.say(id, wire)
	}
}

// crowd puts n assigned devices into the party's store, and makes them.
func (p *party) crowd(h *hub, n int) []cpns.EntityID {
	p.t.Helper()
	g := p.gateway() // for its store
	defer g.stop()
	var ids []cpns.EntityID
	for i := range n {
		id := cpns.EntityID(fmt.Sprintf("urn:dev:mac:%012x", i))
		s := &life.Set{Gateway: testGateway, Epoch: 1, Length: 64, TK: make(cpns.TK, 16)}
		rand.Read(s.Last[:])
		rand.Read(s.TK)
		assigned, _ := life.Apply(life.New(id, "alice"), life.Assigned{User: "alice", Set: s}, life.World{})
		value, err := assigned.Marshal()
		if err != nil {
			p.t.Fatal(err)
		}
		if err := g.store.Put(string(id), value); err != nil {
			p.t.Fatal(err)
		}
		d, err := pne.New(pne.Config{Entity: id, TK: s.TK, Storage: &flash{}, Rand: rand.Reader})
		if err != nil {
			p.t.Fatal(err)
		}
		h.devices[string(id)] = d
		ids = append(ids, id)
	}
	return ids
}

func (g *gateway) count(state State, index cpns.Index) int {
	list, err := g.List(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	n := 0
	for _, p := range list {
		if p.State == state && p.Index == index {
			n++
		}
	}
	return n
}

// A thousand devices that say hello at once are all served, a user's command
// does not wait for them, and an authentication of all of them ends.
func TestCrowd(t *testing.T) {
	const n = 1000
	p := newParty(t)
	h := newHub(n)
	p.crowd(h, n)
	g := p.gateway(h)
	h.everybody()
	g.count(StateAssigned, 0) // a command in the middle of it is answered
	eventually(t, "all are delivered", func() bool { return g.count(StateDelivered, 1) == n })

	results := map[ProofResult]int{}
	if err := g.Authenticate(t.Context(), AuthenticateRequest{}, func(p Proof) { results[p.Result]++ }); err != nil {
		t.Fatal(err)
	}
	if results[ProofAuthenticated] != n {
		t.Fatalf("authenticated: %v", results)
	}
	if got := g.count(StateDelivered, 2); got != n {
		t.Errorf("%d of %d are moved on", got, n)
	}
}

// Invented devices cost a fixed amount of memory, whatever they claim.
func TestDiscoveredIsBounded(t *testing.T) {
	var d discovered
	for i := range 100_000 {
		d.hello(&cpns.Hello{Entity: cpns.EntityID(fmt.Sprint("x", i))}, "hub", time.Unix(int64(i), 0))
	}
	if v := d.view(); len(v) != maxDiscovered || cap(d.list) > 2*maxDiscovered {
		t.Errorf("%d listed, room for %d", len(v), cap(d.list))
	} else if !slices.ContainsFunc(v, func(d Discovered) bool { return d.Entity == "x99999" }) {
		t.Error("the latest is not among them")
	}
}
