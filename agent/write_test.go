package agent

import (
	"context"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// gatedStore is a store whose writes wait for the test, which lets them end in any
// order, well or not.
type gatedStore struct {
	*memStore
	mu    sync.Mutex
	begun []*gatedWrite
}

type gatedWrite struct {
	name string
	do   func() error
	end  chan error
}

var errWorn = errors.New("worn out")

func (s *gatedStore) wait(name string, do func() error) error {
	w := &gatedWrite{name, do, make(chan error)}
	s.mu.Lock()
	s.begun = append(s.begun, w)
	s.mu.Unlock()
	return <-w.end
}

func (s *gatedStore) Put(name string, v []byte) error {
	v = slices.Clone(v)
	return s.wait(name, func() error { return s.memStore.Put(name, v) })
}

func (s *gatedStore) Delete(name string) error {
	return s.wait(name, func() error { return s.memStore.Delete(name) })
}

// writing are the names of the records that are being written.
func (s *gatedStore) writing() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.begun {
		names = append(names, w.name)
	}
	return names
}

// end lets the write of a record end.
func (s *gatedStore) end(t *testing.T, name string, err error) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	i := slices.IndexFunc(s.begun, func(w *gatedWrite) bool { return w.name == name })
	if i < 0 {
		t.Fatalf("%s is not being written", name)
	}
	w := s.begun[i]
	s.begun = slices.Delete(s.begun, i, i+1)
	s.mu.Unlock()
	if err == nil {
		err = w.do()
	}
	w.end <- err
	synctest.Wait()
}

// index is the key that the stored record says is proved.
func (s *gatedStore) index(t *testing.T, id cpns.EntityID) cpns.Index {
	t.Helper()
	value, err := s.Get(string(id))
	if err != nil {
		t.Fatal(err)
	}
	p, err := life.Parse(string(id), value)
	if err != nil {
		t.Fatal(err)
	}
	return p.View().Index
}

// gatedParty is an agent on a gatedStore, in a bubble, with n devices on a hub that
// have a set assigned.
type gatedParty struct {
	*Agent
	t      *testing.T
	store  *gatedStore
	hubs   [2]*hub // every other device is behind the second
	events []Event // the agent's goroutine's
	stop   func()
}

func newGatedParty(t *testing.T, n int) *gatedParty {
	g := &gatedParty{t: t, store: &gatedStore{memStore: &memStore{records: map[string][]byte{}}}, hubs: [2]*hub{newHub(max(n, 64)), newHub(max(n, 64))}}
	g.hubs[1].name = "other hub"
	for i := range n {
		id := gatedID(i)
		s := &life.Set{Gateway: testGateway, Epoch: 1, Length: 64, TK: make(cpns.TK, 16)}
		s.Last[0] = byte(i)
		p, _ := life.Apply(life.New(id, "alice"), life.Assigned{User: "alice", Set: s}, life.World{})
		value, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		g.store.records[string(id)] = value
		if g.hubs[i%2].devices[string(id)], err = pne.New(pne.Config{Entity: id, TK: s.TK, Storage: &flash{}, Rand: mrand.NewChaCha8([32]byte{byte(i), byte(i >> 8)})}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	g.Agent, err = New(Config{Gateway: testGateway, PSK: &filePSK{}, Server: poster{}, Store: g.store, Clock: &testClock{}, Links: []transport.Link{g.hubs[0], g.hubs[1]}, Log: quiet, Observe: func(e Event) {
		g.events = append(g.events, e)
		if e.Kind == EventDelivered || e.Kind == EventAuthenticated {
			if have := g.store.index(t, e.Entity); have < e.Index {
				t.Errorf("%s: key %d is told of as proved, and the store has %d", e.Entity, e.Index, have)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- g.Run(ctx) }()
	g.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	synctest.Wait()
	return g
}

func gatedID(i int) cpns.EntityID { return cpns.EntityID(fmt.Sprintf("pne-%03d", i)) }

func (g *gatedParty) hello(i int) {
	h, id := g.hubs[i%2], string(gatedID(i))
	h.mu.Lock()
	wire, _ := h.devices[id].Hello()
	h.say(id, wire)
	h.mu.Unlock()
	synctest.Wait()
}

func (g *gatedParty) want(i int, index cpns.Index) {
	g.t.Helper()
	v, err := g.Show(g.t.Context(), gatedID(i))
	if err != nil || v.Index != index {
		g.t.Fatalf("%s is at key %d, %v; want %d", gatedID(i), v.Index, err, index)
	}
}

// A record that is being written holds up what is about its own PNE, and nothing else.
func TestWriteHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGatedParty(t, 3)
		g.hello(0) // notification, acknowledgement, record
		g.hello(1)
		if got := g.store.writing(); !slices.Equal(got, []string{"pne-000", "pne-001"}) {
			t.Fatalf("records under way: %v", got)
		}
		g.want(0, 0)
		if len(g.events) != 0 {
			t.Errorf("told before it is stored: %+v", g.events)
		}
		g.store.end(t, "pne-001", nil) // the later first
		g.want(1, 1)
		g.want(0, 0)

		// Meanwhile the same PNE speaks, and somebody has it forgotten.
		g.hello(0)
		forgotten := make(chan error, 1)
		go func() { forgotten <- g.Forget(t.Context(), gatedID(0)) }()
		synctest.Wait()
		if got := g.store.writing(); !slices.Equal(got, []string{"pne-000"}) {
			t.Fatalf("records under way: %v", got)
		}
		g.hello(2)
		g.store.end(t, "pne-002", nil)
		g.want(2, 1)

		g.store.end(t, "pne-000", nil)
		if k := g.events[len(g.events)-1]; k.Kind != EventDelivered || k.Entity != gatedID(0) {
			t.Errorf("the last event is %+v", k)
		}
		// The command goes before the message that came sooner.
		g.store.end(t, "pne-000", nil)
		if err := <-forgotten; err != nil {
			t.Fatal(err)
		}
		if _, err := g.Show(t.Context(), gatedID(0)); err == nil {
			t.Error("it is not forgotten")
		}
		if list, _ := g.Discovered(t.Context()); len(list) != 1 {
			t.Errorf("the hello that waited has come to %v", list)
		}
		g.stop()
	})
}

// A write that fails takes its own step with it, and nothing else.
func TestFailedWriteFailsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGatedParty(t, 2)
		g.hello(0)
		g.hello(1)
		g.hello(0) // waits
		g.store.end(t, "pne-000", errWorn)
		g.want(0, 0)
		s, err := g.Status(t.Context())
		if err != nil || len(s.Unwritten) != 1 {
			t.Errorf("%+v, %v", s, err)
		}
		// The hello that waited finds the PNE as it was before: with nothing proved here,
		// at the first key there, for which it is challenged.
		g.store.end(t, "pne-001", nil)
		g.want(1, 1)
		g.store.end(t, "pne-000", nil)
		g.want(0, 1)
		if s, _ := g.Status(t.Context()); len(s.Unwritten) != 0 {
			t.Errorf("%+v", s.Unwritten)
		}
		g.stop()
	})
}

// So many records at a time, and links wait; commands do not.
func TestWritesAreBounded(t *testing.T) {
	const n = 2*maxWriting + 20
	synctest.Test(t, func(t *testing.T) {
		g := newGatedParty(t, n)
		for i := range n {
			g.hello(i)
		}
		if got := len(g.store.writing()); got != maxWriting {
			t.Fatalf("%d records under way, want %d", got, maxWriting)
		}
		if list, err := g.List(t.Context()); err != nil || len(list) != n {
			t.Errorf("%d of %d listed, %v", len(list), n, err)
		}
		for len(g.store.writing()) > 0 {
			g.store.end(t, g.store.writing()[0], nil)
		}
		for i := range n {
			g.want(i, 1)
		}
		g.stop()
	})
}

// What one PNE says while its record is written is bounded, and what was dropped is
// answered at its next hello.
func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGatedParty(t, 1)
		g.hello(0)
		for range 3 * maxWaits {
			time.Sleep(time.Second)
			g.hello(0)
		}
		if err := g.do(t.Context(), func() {
			if got := len(g.pnes[gatedID(0)].backlog.messages); got != maxWaits {
				t.Errorf("%d messages wait", got)
			}
		}); err != nil {
			t.Fatal(err)
		}
		g.store.end(t, "pne-000", nil)
		g.want(0, 1)
		if got := g.ports[0].unanswered; got != 0 { // all is quiet
			t.Errorf("%d messages have had no answer", got)
		}
		g.stop()
	})
}

// Whoever waits for a record when the agent stops hears so, and what is on its way to
// the store gets there.
func TestStopWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGatedParty(t, 1)
		g.hello(0)
		forgotten := make(chan error, 1)
		go func() { forgotten <- g.Forget(t.Context(), gatedID(0)) }()
		synctest.Wait()
		go g.stop()
		g.store.end(t, "pne-000", nil)
		if err := <-forgotten; !errors.Is(err, ErrStopped) {
			t.Errorf("forget: %v", err)
		}
		if got := g.store.index(t, gatedID(0)); got != 1 {
			t.Errorf("the store has key %d", got)
		}
		if len(g.events) != 1 {
			t.Errorf("events %+v", g.events)
		}
	})
}

// TestWritesInAnyOrder: with writes that end late, in any order, and badly, nothing is
// told before it is stored, the order of what is told of one PNE is that of its keys,
// and in the end all have theirs.
func TestWritesInAnyOrder(t *testing.T) {
	const n, rounds = 20, 2000
	seeds := uint64(5)
	if runtime.GOARCH != "amd64" {
		seeds = 1 // the processor may be an emulated one
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			r := mrand.New(mrand.NewPCG(seed, 1))
			g := newGatedParty(t, n)
			var authenticating sync.WaitGroup
			for range rounds {
				switch names := g.store.writing(); r.IntN(5) {
				case 0:
					g.hello(r.IntN(n))
				case 1:
					id := gatedID(r.IntN(n))
					authenticating.Go(func() {
						g.Authenticate(t.Context(), AuthenticateRequest{Entities: []cpns.EntityID{id}, Wait: time.Minute}, func(Proof) {})
					})
				case 2:
					time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
				default:
					if len(names) > 0 {
						var err error
						if r.IntN(4) == 0 {
							err = errWorn
						}
						g.store.end(t, names[r.IntN(len(names))], err)
					}
				}
			}
			drain := func() {
				for synctest.Wait(); len(g.store.writing()) > 0; synctest.Wait() {
					g.store.end(t, g.store.writing()[0], nil)
				}
			}
			for range 5 {
				drain()
				time.Sleep(2 * time.Minute)
				for i := range n {
					g.hello(i)
				}
			}
			drain()
			authenticating.Wait()
			for i := range n {
				id := gatedID(i)
				v, err := g.Show(t.Context(), id)
				_, _, held := g.hubs[i%2].devices[string(id)].Held()
				if err != nil || v.State != StateDelivered || v.Index != held || g.store.index(t, id) != held {
					t.Errorf("%s is %s at key %d, stored %d, and holds %d (%v)", id, v.State, v.Index, g.store.index(t, id), held, err)
				}
			}
			last := map[cpns.EntityID]cpns.Index{}
			for _, e := range g.events {
				if e.Index < last[e.Entity] {
					t.Errorf("%s: key %d is told of after key %d", e.Entity, e.Index, last[e.Entity])
				}
				last[e.Entity] = e.Index
			}
			if len(g.events) < 10*n {
				t.Errorf("only %d events", len(g.events))
			}
			g.stop()
		})
	}
}
