package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"maps"
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

// memStore is a store in memory, for tests that run in a bubble's time.
type memStore struct {
	mu      sync.Mutex
	records map[string][]byte
}

func (s *memStore) Put(name string, v []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[name] = slices.Clone(v)
	return nil
}

func (s *memStore) Get(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.records[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(v), nil
}

func (s *memStore) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, name)
	return nil
}

func (s *memStore) List() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.records)), nil
}

// deliveredRecord is the record of a PNE that has proved EUKey_1 of a set, and the
// device that did.
func deliveredRecord(t testing.TB, id cpns.EntityID, tk cpns.TK, storage pne.Storage) ([]byte, *pne.Device) {
	t.Helper()
	d, err := pne.New(pne.Config{Entity: id, TK: tk, Storage: storage, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	w := life.World{Now: time.Now(), Gateway: testGateway, Wait: func(string) time.Duration { return time.Second }}
	s := &life.Set{Gateway: testGateway, Epoch: 7, Length: 64, TK: tk}
	rand.Read(s.Last[:])
	p, _ := life.Apply(life.New(id, "alice"), life.Assigned{User: "alice", Set: s}, w)
	wire, err := d.Hello()
	for range 2 { // hello, then acknowledgement
		if err != nil {
			t.Fatal(err)
		}
		var m cpns.Message
		if m, err = cpns.ParseMessage(wire); err != nil {
			t.Fatal(err)
		}
		var effects []life.Effect
		p, effects = life.Apply(p, m, w)
		for _, ef := range effects {
			if out, ok := ef.(life.Outgoing); ok {
				wire, _ = d.Handle(out.Wire)
			}
		}
	}
	value, err := p.Marshal()
	if err != nil || !p.Proved() {
		t.Fatalf("no key was proved: %v", err)
	}
	return value, d
}

// silentCrowd is an agent with n PNEs that all hold a key and are all away.
func silentCrowd(t *testing.T, n int, link transport.Link) (a *Agent, stop func()) {
	t.Helper()
	store := &memStore{records: map[string][]byte{}}
	for i := range n {
		id := cpns.EntityID(fmt.Sprintf("pne-%05d", i))
		store.records[string(id)], _ = deliveredRecord(t, id, make(cpns.TK, 16), pne.Volatile{})
	}
	a, err := New(Config{Gateway: testGateway, PSK: &filePSK{}, Server: poster{}, Store: store, Clock: &testClock{}, Links: []transport.Link{link}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestAuthenticateAllAbsent: thousands of devices that are away cost their repeats,
// side by side, and no more.
func TestAuthenticateAllAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		a, stop := silentCrowd(t, n, newHub(n))
		defer stop()
		begin := time.Now()
		results := map[ProofResult]int{}
		if err := a.Authenticate(t.Context(), AuthenticateRequest{}, func(p Proof) { results[p.Result]++ }); err != nil {
			t.Fatal(err)
		}
		// Five sends on MQTT take 62 s, a quarter longer at most.
		if took := time.Since(begin); results[ProofNoAnswer] != n || took > 90*time.Second {
			t.Errorf("%v after %v, want %d without an answer within 90 s", results, took, n)
		}
	})
}

// TestAuthenticateEnds: each PNE of the command has its result by its deadline,
// whatever becomes of it meanwhile, and whether anybody tells.
func TestAuthenticateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, stop := silentCrowd(t, 5, newHub(1))
		defer stop()
		const wait = 20 * time.Second
		begin := time.Now()
		results := map[cpns.EntityID]ProofResult{}
		ended := make(chan error)
		go func() {
			ended <- a.Authenticate(t.Context(), AuthenticateRequest{Wait: wait}, func(p Proof) { results[p.Entity] = p.Result })
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if err := a.Forget(t.Context(), "pne-00000"); err != nil {
			t.Fatal(err)
		}
		a.do(t.Context(), func() {
			// Nobody hears of these: news is only a hint.
			for _, id := range []cpns.EntityID{"pne-00001", "pne-00002", "pne-00003"} {
				a.pnes[id].watchers = nil
			}
			a.pnes["pne-00001"].ended.well++
			a.pnes["pne-00002"].ended.vain++
			// A newer set is pending: it is to say hello, and does not.
			s := &life.Set{Gateway: testGateway, Epoch: 8, Length: 64, TK: make(cpns.TK, 16)}
			a.step(a.pnes["pne-00003"], life.Assigned{User: "alice", Set: s}, "", a.send)
		})
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		want := map[cpns.EntityID]ProofResult{
			"pne-00000": ProofFailed, "pne-00001": ProofAuthenticated, "pne-00002": ProofNoAnswer, "pne-00003": ProofNoAnswer, "pne-00004": ProofNoAnswer,
		}
		if took := time.Since(begin); !maps.Equal(results, want) || took > wait+time.Second {
			t.Errorf("%v after %v", results, took)
		}
	})
}
