package agent

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"testing"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// maxPerPNE is what one PNE may take of the heap where pointers have 32 bits, with
// all that has been said with it so far: ten thousand of them 12 MiB. The store's
// index comes on top in the program, and is in here too: see TestMemory.
const maxPerPNE = 12 << 20 / 10_000

// storeIndex is what the store keeps in memory of a record, in bytes, at most.
const storeIndex = 160

// TestMemory: a gateway of many PNEs that have all said hello, taken a key and
// authenticated fits a router's memory.
func TestMemory(t *testing.T) {
	n := 2_000
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "386" {
		n = 300 // the processor may be an emulated one
	}
	store := assignedStore(t, n)
	id := func(i int) cpns.EntityID { return cpns.EntityID(fmt.Sprintf("urn:dev:mac:%012x", i)) }
	link, _ := transport.NewPair("wire", "device")
	perPNE := func(what string, a *Agent, before uint64) int {
		each := int(heapInUse()-before) / n
		t.Logf("%s: %d bytes a PNE", what, each)
		runtime.KeepAlive(a)
		return each
	}

	before := heapInUse()
	a, err := New(Config{Gateway: testGateway, PSK: &filePSK{}, Server: poster{}, Store: discarding{store}, Clock: &testClock{}, Links: []transport.Link{link}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	perPNE("started", a, before)

	port := a.ports[0]
	say := func(d *pne.Device, wire []byte, err error) {
		t.Helper()
		for wire != nil {
			m, parseErr := cpns.ParseMessage(wire)
			if err != nil || parseErr != nil {
				t.Fatal(err, parseErr)
			}
			var e cpns.EntityID
			switch m := m.(type) {
			case *cpns.Hello:
				e = m.Entity
			case *cpns.Acknowledgement:
				e = m.Entity
			case *cpns.AuthResponse:
				e = m.Entity
			}
			a.receive(inbound{entity: e, event: m, port: port})
			a.writers.wait()
			wire = nil
			for len(port.answers) > 0 {
				for _, out := range (<-port.answers).out {
					wire, _ = d.Handle(out.Wire)
					left := inbound{entity: out.To, event: life.Sent{Ticket: out.Ticket}, port: port}
					a.queued.settle(left)
					a.receive(left)
				}
			}
		}
	}
	for i := range n {
		d, err := pne.New(pne.Config{Entity: id(i), TK: make(cpns.TK, 16), Storage: pne.Volatile{}, Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a notification and an authentication
			wire, err := d.Hello()
			say(d, wire, err)
		}
		if v := a.pnes[id(i)].View(); v.State != StateDelivered || v.Index != 1 {
			t.Fatalf("%s is %s at key %d", v.Entity, v.State, v.Index)
		}
	}
	each := perPNE("heard, delivered, authenticated", a, before) + storeIndex
	if limit := maxPerPNE * (1 + ^uint(0)>>63); each > int(limit) {
		t.Errorf("%d bytes a PNE, %d of them for the store's index; %d are there", each, storeIndex, limit)
	}
}

// assignedStore has the records of n PNEs to which a set is assigned.
func assignedStore(t testing.TB, n int) *memStore {
	store := &memStore{records: map[string][]byte{}}
	for i := range n {
		id := cpns.EntityID(fmt.Sprintf("urn:dev:mac:%012x", i))
		s := &life.Set{Gateway: testGateway, Epoch: 1, Length: 64, TK: make(cpns.TK, 16)}
		s.Last[0] = byte(i)
		p, _ := life.Apply(life.New(id, "alice@example.net"), life.Assigned{User: "alice@example.net", Set: s}, life.World{})
		value, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		store.records[string(id)] = value
	}
	return store
}

// BenchmarkStart is what a start takes for each record beside the store's own part:
//
//	µs/record   parsing it and beginning to serve its PNE
//	chain-µs    in the same run, EUKey_1 of a set of 1,024: 1,023 hashes
func BenchmarkStart(b *testing.B) {
	const n = 1000
	store := assignedStore(b, n)
	link, _ := transport.NewPair("wire", "device")
	var chain time.Duration
	for b.Loop() {
		if _, err := New(Config{Gateway: testGateway, PSK: &filePSK{}, Server: poster{}, Store: store, Clock: &testClock{}, Links: []transport.Link{link}, Log: quiet}); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		var last cpns.EUKey
		cpns.EUKeyAt(&last, 1024, 1)
		chain += time.Since(begin)
	}
	perN := float64(chain.Microseconds()) / float64(b.N)
	b.ReportMetric(float64((b.Elapsed()-chain).Microseconds())/float64(b.N)/n, "µs/record")
	b.ReportMetric(perN, "chain-µs")
	b.ReportMetric(0, "ns/op")
}

// discarding is a store that keeps what it had.
type discarding struct{ *memStore }

func (discarding) Put(string, []byte) error { return nil }

// heapInUse is how many bytes are in use.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
