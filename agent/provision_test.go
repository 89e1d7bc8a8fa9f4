package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport"
)

func TestProvision(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	g := p.gateway(gw)
	var mem flash
	stop := runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})

	eventually(t, "the device is discovered", func() bool {
		d, err := g.Discovered(t.Context())
		return err == nil && len(d) == 1 && d[0].Entity == "pne-1" && d[0].Link == "wire"
	})
	steps, out := g.provision(goodPassword, time.Minute, "pne-1")
	if out[0].Result != ResultDelivered {
		t.Fatalf("outcome %+v", out[0])
	}
	want := []StepKind{StepRequestSent, StepUserAccepted, StepKeysChecked, StepSealed, StepWaiting, StepDelivered}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
	g.want("pne-1", StateDelivered, 1, 1)
	if mem.s.Epoch != 1 || mem.s.Index != 1 || mem.s.Gateway != testGateway {
		t.Errorf("the device holds %v %d %d", mem.s.Gateway, mem.s.Epoch, mem.s.Index)
	}
	if d, _ := g.Discovered(t.Context()); len(d) != 0 {
		t.Error("a device that somebody asked for is still listed as discovered")
	}
	if k := g.kinds(); !slices.Equal(k, []EventKind{EventAssigned, EventDelivered}) {
		t.Errorf("events %v", k)
	}

	// The device comes back with its key and proves it; both live on over a
	// restart of the gateway.
	stop()
	g.stop()
	g = p.gateway(gw)
	g.want("pne-1", StateDelivered, 1, 1)
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})
	eventually(t, "the device is authenticated", func() bool { return len(g.kinds()) > 0 })
	g.want("pne-1", StateDelivered, 1, 1)
	// A second time where it said its hello unasked and then again when it was asked.
	if k := slices.Compact(g.kinds()); !slices.Equal(k, []EventKind{EventAuthenticated}) {
		t.Errorf("events after the restart %v", k)
	}
}

// What is not delivered stays pending over a restart, and goes out at the
// device's hello.
func TestPending(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	g := p.gateway(gw)
	_, out := g.provision(goodPassword, 0, "pne-1")
	if out[0].Result != ResultAssigned || out[0].Advice == "" {
		t.Fatalf("outcome %+v", out[0])
	}
	g.want("pne-1", StateAssigned, 1, 0)
	g.stop()
	g = p.gateway(gw)
	g.want("pne-1", StateAssigned, 1, 0)
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk})
	eventually(t, "delivered", func() bool { v, err := g.Show(t.Context(), "pne-1"); return err == nil && v.State == StateDelivered })
}

func TestRefused(t *testing.T) {
	p := newParty(t)
	p.importPNE("mine")
	p.importPNE("hers")
	bob := cpns.HashPassword("bob", []byte("b"))
	if err := p.op.AddUser(t.Context(), "bob", &server.PasswordHashes{NFC: bob, NFD: bob}); err != nil {
		t.Fatal(err)
	}
	g := p.gateway()
	if _, err := g.Provision(t.Context(), ProvisionRequest{User: "bob", PasswordHash: bob, Entities: []cpns.EntityID{"hers"}}, func(Step) {}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		password string
		id       cpns.EntityID
		want     cpns.AssignmentStatus
	}{
		{"wrong password", "wrong", "mine", cpns.UserAuthenticationFailed},
		{"no such PNE", goodPassword, "nobody's", cpns.UnknownPNE},
		{"another's PNE", goodPassword, "hers", cpns.PNEOwnedByAnotherUser},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, _ := g.List(t.Context())
			steps, out := g.provision(tc.password, 0, tc.id)
			if o := out[0]; o.Result != ResultRefused || o.Status != tc.want || o.Advice == "" {
				t.Errorf("outcome %+v, want %v", o, tc.want)
			}
			if want := []StepKind{StepRequestSent, StepFailed}; !slices.Equal(steps, want) {
				t.Errorf("steps %v, want %v", steps, want)
			}
			if after, _ := g.List(t.Context()); !slices.Equal(before, after) {
				t.Errorf("the refusal changed %v to %v", before, after)
			}
		})
	}
	for range 9 {
		g.provision("wrong", 0, "mine")
	}
	if _, out := g.provision(goodPassword, 0, "mine"); out[0].Status != cpns.UserLocked || !strings.Contains(out[0].Advice, "again in 1") {
		t.Errorf("after 10 wrong passwords: %+v", out[0])
	}
}

// One wrong password for many devices is one failure, not a lock-out.
func TestWrongPasswordForMany(t *testing.T) {
	p := newParty(t)
	g := p.gateway()
	ids := []cpns.EntityID{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
	for _, id := range ids {
		p.importPNE(id)
	}
	_, out := g.provision("wrong", 0, ids...)
	for i, o := range out {
		if o.Entity != ids[i] || o.Result != ResultRefused || o.Status != cpns.UserAuthenticationFailed || o.Advice == "" {
			t.Errorf("outcome %+v", o)
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
	if _, out = g.provision(goodPassword, 0, "a"); out[0].Result != ResultAssigned {
		t.Errorf("afterwards: %+v", out[0])
	}
}

// An answer that is not the server's, or makes no sense, changes nothing, and
// the same command gets the keys that were on their way.
func TestAnswerSpoiled(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)-1] },
		"tampered":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"empty":     func(b []byte) []byte { return nil },
		"too big":   func(b []byte) []byte { return append(b, make([]byte, 70000)...) },
		"nonsense":  func(b []byte) []byte { return []byte("<html>") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t)
			p.importPNE("pne-1")
			g := p.gateway()
			p.mangle.Store(&spoil)
			_, out := g.provision(goodPassword, 0, "pne-1")
			if o := out[0]; o.Result == ResultAssigned || o.Result == ResultDelivered || o.Detail == "" || o.Advice == "" {
				t.Errorf("outcome %+v", o)
			}
			g.want("pne-1", StateRequested, 0, 0)
			p.mangle.Store(nil)
			if _, out = g.provision(goodPassword, 0, "pne-1"); out[0].Result != ResultAssigned {
				t.Fatalf("outcome %+v", out[0])
			}
			g.want("pne-1", StateAssigned, 1, 0) // epoch 1: the set that had been made at first
		})
	}
}

// A wrong password must not ride on a request that another command left open.
func TestOpenRequestNeedsThePassword(t *testing.T) {
	p := newParty(t)
	p.importPNE("pne-1")
	g := p.gateway()
	spoil := func(b []byte) []byte { return b[:1] }
	p.mangle.Store(&spoil)
	g.provision(goodPassword, 0, "pne-1")
	p.mangle.Store(nil)
	if _, out := g.provision("wrong", 0, "pne-1"); out[0].Status != cpns.UserAuthenticationFailed {
		t.Errorf("outcome %+v", out[0])
	}
}

// A disk that is full when the keys arrive costs a message, not the keys.
func TestDiskFull(t *testing.T) {
	p := newParty(t)
	p.importPNE("pne-1")
	full := &fullStore{}
	g := p.gatewayWith(func(c *Config) { full.Store = c.Store; c.Store = full })
	full.after = 1 // the request can be stored, the set cannot
	_, out := g.provision(goodPassword, 0, "pne-1")
	if o := out[0]; o.Result != ResultFailed || !strings.Contains(o.Detail, "could not be stored") || o.Advice == "" {
		t.Errorf("outcome %+v", o)
	}
	g.want("pne-1", StateRequested, 0, 0)
	if s, _ := g.Status(t.Context()); len(s.Unwritten) == 0 {
		t.Error("status does not tell of the store")
	}
	full.after = 1 << 30
	if _, out = g.provision(goodPassword, 0, "pne-1"); out[0].Result != ResultAssigned {
		t.Fatalf("outcome %+v", out[0])
	}
	g.want("pne-1", StateAssigned, 1, 0)

	full.after = 0 // not even the request can be stored: nobody is asked
	asked := p.asked.Load()
	if _, out = g.provision(goodPassword, 0, "pne-1"); out[0].Result != ResultFailed || p.asked.Load() != asked {
		t.Errorf("outcome %+v, asked %d times", out[0], p.asked.Load()-asked)
	}
	g.want("pne-1", StateAssigned, 1, 0)
}

// A disk that is full when the device proves its key: the command says so, and does
// not blame the device; nothing is lost once there is room.
func TestDiskFullAtProof(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, dev := transport.NewPair("wire", "device")
	full := &fullStore{after: 2} // the request and the set
	g := p.gatewayWith(func(c *Config) { full.Store = c.Store; c.Store = full }, gw)
	room := func(writes int) { g.do(t.Context(), func() { full.after = writes }) }
	var mem flash
	runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk, Storage: &mem})

	_, out := g.provision(goodPassword, 2*time.Second, "pne-1")
	if o := out[0]; o.Result != ResultAssigned || !strings.Contains(o.Detail, "could not be stored: ") || !strings.Contains(o.Detail, "no space left") || o.Advice == "" {
		t.Errorf("outcome %+v", o)
	}
	g.want("pne-1", StateAssigned, 1, 0)
	room(1000)
	if _, out = g.provision(goodPassword, 10*time.Second, "pne-1"); out[0].Result != ResultDelivered {
		t.Fatalf("with room again: outcome %+v", out[0])
	}
	before, err := g.Show(t.Context(), "pne-1")
	if err != nil {
		t.Fatal(err)
	}

	room(0)
	done := make(chan []Proof)
	go func() { done <- g.proof("pne-1") }()
	eventually(t, "the store fails", func() bool { s, err := g.Status(t.Context()); return err == nil && len(s.Unwritten) > 0 })
	g.do(t.Context(), func() { g.tell(g.pnes["pne-1"], life.News{Kind: life.Unanswered}, "") }) // as after the last repeat
	if got := <-done; len(got) != 1 || got[0].Result != ProofFailed || !strings.Contains(got[0].Detail, "no space left") {
		t.Errorf("authenticate: %+v", got)
	}
	g.want("pne-1", StateDelivered, before.Epoch, before.Index)
	room(1000)
	if got := g.proof("pne-1"); len(got) != 1 || got[0].Result != ProofAuthenticated || got[0].Index <= before.Index {
		t.Errorf("authenticate with room again: %+v", got)
	}
}

// fullStore takes so many writes more, and then fails as a full disk does.
type fullStore struct {
	Store
	after int
}

func (f *fullStore) Put(name string, value []byte) error {
	if f.after == 0 {
		return &fs.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
	}
	f.after--
	return f.Store.Put(name, value)
}

func TestServerGone(t *testing.T) {
	p := newParty(t)
	p.url = "https://127.0.0.1:1"
	g := p.gateway()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out, err := g.Provision(ctx, ProvisionRequest{User: "alice", PasswordHash: hashOf(goodPassword), Entities: []cpns.EntityID{"pne-1"}}, func(Step) {})
	if err != nil || out[0].Result != ResultUnreachable || out[0].Advice == "" {
		t.Errorf("outcome %+v, %v", out, err)
	}
	g.want("pne-1", StateRequested, 0, 0)
}

func TestClockNotSet(t *testing.T) {
	p := newParty(t)
	p.importPNE("pne-1")
	p.clock.unset.Store(true)
	g := p.gateway()
	steps, out := g.provision(goodPassword, 0, "pne-1")
	if out[0].Result != ResultUnreachable || !strings.Contains(out[0].Detail, "clock not set") || p.asked.Load() != 0 {
		t.Errorf("outcome %+v, asked %d times", out[0], p.asked.Load())
	}
	if want := []StepKind{StepClockWait, StepFailed}; !slices.Equal(steps, want) {
		t.Errorf("steps %v", steps)
	}
	steps = nil
	r := ProvisionRequest{User: "alice", PasswordHash: hashOf(goodPassword), Entities: []cpns.EntityID{"pne-1"}, Wait: 3 * time.Second}
	_, err := g.Provision(t.Context(), r, func(s Step) {
		p.clock.unset.Store(false) // as soon as it waits
		steps = append(steps, s.Kind)
	})
	if err != nil || steps[0] != StepClockWait || !slices.Contains(steps, StepSealed) {
		t.Errorf("steps %v, %v", steps, err)
	}
}

func TestForget(t *testing.T) {
	p := newParty(t)
	p.importPNE("pne-1")
	g := p.gateway()
	g.provision(goodPassword, 0, "pne-1")
	if err := g.Forget(t.Context(), "pne-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Show(t.Context(), "pne-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after forget: %v", err)
	}
	if err := g.Forget(t.Context(), "pne-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("forgotten twice: %v", err)
	}
	if names, err := g.store.List(); err != nil || len(names) != 0 {
		t.Errorf("the store still has %v, %v", names, err)
	}
}

// A record that does not open is shown, kept and not written over.
func TestFault(t *testing.T) {
	p := newParty(t)
	p.importPNE("pne-1")
	g := p.gateway()
	g.provision(goodPassword, 0, "pne-1")
	// Damage to the last entry of a log is taken for a torn write.
	if err := g.store.Put("this gateway", []byte("a key pair")); err != nil {
		t.Fatal(err)
	}
	g.stop()
	p.spoil()
	g = p.gateway()
	s, err := g.Status(t.Context())
	if err != nil || len(s.Faults) != 1 || !strings.HasPrefix(s.Faults[0], "pne-1: ") {
		t.Fatalf("faults %q, %v", s.Faults, err)
	}
	if _, err := g.Show(t.Context(), "pne-1"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("show: %v", err)
	}
	if _, out := g.provision(goodPassword, 0, "pne-1"); out[0].Result != ResultFailed || !strings.Contains(out[0].Detail, "pngw forget") {
		t.Errorf("outcome %+v", out[0])
	}
	if err := g.Forget(t.Context(), "pne-1"); err != nil {
		t.Fatal(err)
	}
	if _, out := g.provision(goodPassword, 0, "pne-1"); out[0].Result != ResultAssigned {
		t.Errorf("outcome %+v", out[0])
	}
}

// A record whose name is no Entity ID is another's, whatever is in it.
func TestOthersRecord(t *testing.T) {
	p := newParty(t)
	g := p.gateway()
	if err := g.store.Put("this gateway", []byte("a key pair")); err != nil {
		t.Fatal(err)
	}
	g.stop()
	g = p.gateway()
	if s, err := g.Status(t.Context()); err != nil || len(s.Faults) != 0 {
		t.Errorf("faults %q, %v", s.Faults, err)
	}
	if value, err := g.store.Get("this gateway"); err != nil || string(value) != "a key pair" {
		t.Errorf("it is %q now, %v", value, err)
	}
}

// spoil damages the newest record of pne-1, in the store's log: one byte after the
// other is another in a copy, until the record does not open there.
func (p *party) spoil() {
	p.t.Helper()
	log := filepath.Join(p.dir, "log")
	whole, err := os.ReadFile(log)
	if err != nil {
		p.t.Fatal(err)
	}
	for at := len(whole) - 1; at >= 0; at-- {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		if err := os.WriteFile(log, damaged, 0o600); err != nil {
			p.t.Fatal(err)
		}
		store, err := keystore.Open(p.dir, &p.secret)
		if err != nil {
			continue
		}
		_, err = store.Get("pne-1")
		store.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	p.t.Fatal("no byte of the log damages the record")
}

// TestForgedRefusals: who speaks in a device's name fills nobody's screen, and what
// it keeps a command from hearing the command finds out itself.
func TestForgedRefusals(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	gw, far := transport.NewPair("wire", "device")
	g := p.gateway(gw)
	device, err := pne.New(pne.Config{Entity: "pne-1", TK: tk, Storage: pne.Volatile{}, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- far.Run(ctx, transport.Handler{Message: func(m transport.Message) {
			reply, ev := device.Handle(m.Data)
			switch ev.Kind {
			case pne.Identify:
				reply, _ = device.Hello()
			case pne.Stored:
				for i := range 400 {
					s := cpns.AckStatus(2 + i%3)
					forged, err := cpns.NewFailedAcknowledgement(s, "pne-1", ev.Epoch, ev.Index).Marshal()
					if err != nil {
						t.Error(err)
					}
					far.Send(ctx, "", forged)
				}
				time.Sleep(300 * time.Millisecond)                   // until they have been looked at
				g.do(ctx, func() { g.pnes["pne-1"].watchers = nil }) // as where its news had no room
			}
			if reply != nil {
				far.Send(ctx, "", reply)
			}
		}})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	begin := time.Now()
	steps, out := g.provision(goodPassword, 20*time.Second, "pne-1")
	if took := time.Since(begin); out[0].Result != ResultDelivered || took > 10*time.Second {
		t.Errorf("%+v after %v", out[0], took)
	}
	refused := 0
	for _, s := range steps {
		if s == StepDeviceRefused {
			refused++
		}
	}
	if refused > 3 {
		t.Errorf("it was told %d times that the device refused", refused)
	}
}

// TestForgedHelloIsNotKept: what somebody said in a device's name before there was a
// key to tell by is not what the server is shown later.
func TestForgedHelloIsNotKept(t *testing.T) {
	p := newParty(t)
	tk := p.importPNE("pne-1")
	g := p.gateway()
	for _, under := range []cpns.TK{make(cpns.TK, 16), tk} {
		h, err := cpns.NewHello(under, cpns.Hello{Entity: "pne-1", Algs: []int64{cpns.AlgChaCha20Poly1305}})
		if err != nil {
			t.Fatal(err)
		}
		genuine := h.Verify(tk) == nil
		g.do(t.Context(), func() {
			e := g.pnes["pne-1"]
			if e == nil {
				e = g.enter(life.New("pne-1", "alice"))
			}
			e.hello = h
		})
		g.provision(goodPassword, 0, "pne-1")
		g.do(t.Context(), func() {
			if kept := g.pnes["pne-1"].hello != nil; kept != genuine {
				t.Errorf("a hello is kept: %v, and it is genuine: %v", kept, genuine)
			}
		})
	}
}
