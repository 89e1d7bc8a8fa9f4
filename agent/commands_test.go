package agent

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport"
)

func (g *gateway) proof(ids ...cpns.EntityID) []Proof {
	g.t.Helper()
	var got []Proof
	if err := g.Authenticate(g.t.Context(), AuthenticateRequest{Entities: ids}, func(p Proof) { got = append(got, p) }); err != nil {
		g.t.Fatal(err)
	}
	return got
}

func TestAuthenticateCommand(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	p.importPNE("away")
	gw, dev := transport.NewPair("wire", "device")
	disk := &fullStore{after: 1000}
	g := p.gatewayWith(func(c *Config) { disk.Store = c.Store; c.Store = disk }, gw)
	var mem flash
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	g.provision(goodPassword, 10*time.Second, "pne-1")
	g.provision(goodPassword, 0, "away")

	var before, after int
	g.do(t.Context(), func() { before = disk.after })
	for i := range 3 {
		if got := g.proof("pne-1"); len(got) != 1 || got[0].Result != ProofAuthenticated || got[0].Index != cpns.Index(i+2) {
			t.Errorf("authentication %d: %+v", i+1, got)
		}
	}
	g.do(t.Context(), func() { after = disk.after })
	if before-after != 3 {
		t.Errorf("3 authentications wrote %d records, want one each", before-after)
	}
	if got := g.proof("away"); got[0].Result != ProofNotDelivered {
		t.Errorf("of a device that was never there: %+v", got)
	}
	if err := g.Authenticate(t.Context(), AuthenticateRequest{Entities: []cpns.EntityID{"nobody"}}, func(Proof) {}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an unknown device: %v", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	last := g.events[len(g.events)-1]
	if last.Kind != EventAuthenticated || last.Session == nil || last.Index != 4 || last.Link != "wire" {
		t.Errorf("the last event is %+v", last)
	}
}

// Two devices with one identity and TK: the second lives on the first one's
// older key.
func TestCloned(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	g := p.gateway(gw)
	var mem flash
	stop := runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	g.provision(goodPassword, 10*time.Second, "pne-1")
	clone := flash{s: mem.s} // the flash chip is copied
	g.proof("pne-1")
	g.want("pne-1", StateDelivered, 1, 2)
	stop()

	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &clone})
	eventually(t, "the clone raises an alarm", func() bool { v, err := g.Show(t.Context(), "pne-1"); return err == nil && v.State == StateAlarm })
	if clone.s.Index != 1 {
		t.Errorf("the clone was given key %d", clone.s.Index)
	}
	if k := g.kinds(); k[len(k)-1] != EventAlarm {
		t.Errorf("events %v", k)
	}
	if _, out := g.provision(goodPassword, 0, "pne-1"); out[0].Result != ResultFailed {
		t.Errorf("a plain provision ends an alarm: %+v", out[0])
	}
	if got := g.proof("pne-1"); got[0].Result != ProofAlarm {
		t.Errorf("authenticate: %+v", got)
	}

	if err := g.Readmit(t.Context(), "pne-1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the readmitted device has the next key", func() bool { v, err := g.Show(t.Context(), "pne-1"); return err == nil && v.Index == 3 })
	g.want("pne-1", StateDelivered, 1, 3)
	if err := g.Readmit(t.Context(), "pne-1"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("readmitted without an alarm: %v", err)
	}
}

// Reassign ends an alarm with a set of a new epoch.
func TestReassign(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	g := p.gateway(gw)
	var mem flash
	stop := runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	g.provision(goodPassword, 10*time.Second, "pne-1")
	old := flash{s: mem.s}
	g.proof("pne-1")
	stop()
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &old})
	eventually(t, "an alarm", func() bool { v, err := g.Show(t.Context(), "pne-1"); return err == nil && v.State == StateAlarm })
	out, err := g.Provision(t.Context(), ProvisionRequest{User: "alice", PasswordHash: hashOf(goodPassword), Entities: []cpns.EntityID{"pne-1"}, Wait: 10 * time.Second, Reassign: true}, func(Step) {})
	if err != nil || out[0].Result != ResultDelivered {
		t.Fatalf("%+v, %v", out, err)
	}
	g.want("pne-1", StateDelivered, 2, 1)
}

// A set that runs out is renewed without the user, who let the gateway remember.
func TestRenewal(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	g := p.gateway(gw)
	var mem flash
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	r := ProvisionRequest{User: "alice", PasswordHash: hashOf(goodPassword), Entities: []cpns.EntityID{"pne-1"}, Wait: 10 * time.Second, Remember: true}
	if _, err := g.Provision(t.Context(), r, func(Step) {}); err != nil {
		t.Fatal(err)
	}
	if id, _ := g.nextRenewal(t.Context()); id != "" {
		t.Fatal("a fresh set is renewed")
	}
	for range 57 { // key 58 of 64 is nine in ten
		g.proof("pne-1")
	}
	v, _ := g.Show(t.Context(), "pne-1")
	if v.Note == "" {
		t.Error("nobody is told that the set runs out")
	}
	id, again := g.nextRenewal(t.Context())
	if id != "pne-1" || again.PasswordHash != r.PasswordHash {
		t.Fatalf("nothing to renew at key %d", v.Index)
	}
	g.renewOne(t.Context(), id, again)
	eventually(t, "the device moves over", func() bool { v, err := g.Show(t.Context(), "pne-1"); return err == nil && v.Epoch == 2 && v.Index == 1 })
	if id, _ := g.nextRenewal(t.Context()); id != "" {
		t.Error("it is renewed once more")
	}
}

// Where the user's password has changed the gateway forgets the old one, lest it
// lock the user out.
func TestRenewalWithAnOldPassword(t *testing.T) {
	p := newParty(t)
	p.importPNE("pne-1")
	g := p.gateway()
	r := ProvisionRequest{User: "alice", PasswordHash: hashOf(goodPassword), Entities: []cpns.EntityID{"pne-1"}, Remember: true}
	if _, err := g.Provision(t.Context(), r, func(Step) {}); err != nil {
		t.Fatal(err)
	}
	g.do(t.Context(), func() { // as if the device had used its set up
		p := life.New("pne-1", "alice")
		p, _ = life.Apply(p, life.Assigned{User: "alice", Remember: &r.PasswordHash, Set: &life.Set{
			Epoch: 1, Length: 64, Proved: 60, TK: make(cpns.TK, 16),
		}}, life.World{})
		g.pnes["pne-1"].PNE = p
	})
	id, again := g.nextRenewal(t.Context())
	again.PasswordHash = hashOf("wrong")
	asked := p.asked.Load()
	g.renewOne(t.Context(), id, again)
	if p.asked.Load() != asked+1 {
		t.Errorf("the server was asked %d times", p.asked.Load()-asked)
	}
	if id, _ := g.nextRenewal(t.Context()); id != "" {
		t.Error("a refused password is tried again")
	}
	g.want("pne-1", StateDelivered, 1, 60)
}

// A store that fails in the middle of an update costs nothing: what the device
// proves next is what counts.
func TestStoreFailsAtUpdate(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	full := &fullStore{after: 1 << 30}
	g := p.gatewayWith(func(c *Config) { full.Store = c.Store; c.Store = full }, gw)
	var mem flash
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	g.provision(goodPassword, 10*time.Second, "pne-1")
	g.do(t.Context(), func() { full.after = 0 })
	done := make(chan []Proof)
	go func() { done <- g.proof("pne-1") }()
	eventually(t, "the device has taken its next key", func() bool { mem.mu.Lock(); defer mem.mu.Unlock(); return mem.s.Index == 2 })
	g.want("pne-1", StateDelivered, 1, 1) // not acknowledged to anybody
	g.do(t.Context(), func() { full.after = 1 << 30 })
	if got := <-done; got[0].Result != ProofAuthenticated {
		t.Errorf("after the store works again: %+v", got)
	}
	g.want("pne-1", StateDelivered, 1, 2)
	if !slices.Contains(g.kinds(), EventAuthenticated) {
		t.Error("no event of the authentication")
	}
}

// A device that was given to another gateway of its user: the gateway that had it
// before finds out from the device's hello, and says so; the other one serves it.
func TestMoved(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	old := p.gateway(gw)
	var mem flash
	stop := runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	old.provision(goodPassword, 10*time.Second, "pne-1")
	old.stop()
	stop()

	psk := cpns.PSK1(bytes.Repeat([]byte{7}, 32))
	if err := p.op.AddGateway(t.Context(), "gw-0002", "gw-0002", psk); err != nil {
		t.Fatal(err)
	}
	second := &party{t: t, url: p.url, op: p.op, secret: p.secret, dir: filepath.Join(filepath.Dir(p.dir), "other keys")}
	if err := keystore.Create(second.dir, &second.secret); err != nil {
		t.Fatal(err)
	}
	gw2, dev2 := transport.NewPair("wire", "device")
	g := second.gatewayWith(func(c *Config) { c.Gateway, c.PSK = "gw-0002", &filePSK{"gw-0002", psk} }, gw2)
	stop = runDevice(t, dev2, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	if _, out := g.provision(goodPassword, 10*time.Second, "pne-1"); out[0].Result != ResultDelivered {
		t.Fatalf("at the second gateway: %+v", out[0])
	}
	g.want("pne-1", StateDelivered, 2, 1)
	if mem.s.Gateway != "gw-0002" {
		t.Errorf("the device holds a key of %s", mem.s.Gateway)
	}
	stop()

	old = p.gateway(gw)
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	eventually(t, "the first gateway says that its epoch is past", func() bool {
		v, err := old.Show(t.Context(), "pne-1")
		return err == nil && strings.Contains(v.Note, "another gateway")
	})
	old.want("pne-1", StateDelivered, 1, 1) // a claim is no proof
	if mem.s.Gateway != "gw-0002" || mem.s.Epoch != 2 {
		t.Error("the first gateway took the device back without its user")
	}
}

// TestSessionKeyIsNotLeft: the session key is the observer's, and nobody's where
// there is none.
func TestSessionKeyIsNotLeft(t *testing.T) {
	key := func() *cpns.SessionKey { return &cpns.SessionKey{1, 2, 3} }
	var seen cpns.SessionKey
	for _, observe := range []func(Event){nil, func(e Event) { seen = *e.Session }} {
		a := &Agent{cfg: Config{Observe: observe}, log: quiet}
		watcher := make(chan news, 1)
		e := &entry{Served: life.Serve(life.New("pne-1", "alice")), watchers: []chan<- news{watcher}}
		k := key()
		a.tell(e, life.News{Kind: life.Authenticated, Key: k}, "wire")
		if n := <-watcher; n.Key != nil {
			t.Error("a command's watcher was handed the session key")
		}
		if observe == nil && *k != (cpns.SessionKey{}) {
			t.Error("the session key is left, and nobody has it to wipe")
		}
	}
	if seen != *key() {
		t.Error("the observer did not get the key")
	}
}
