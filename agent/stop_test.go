package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/transport"
)

// fuse stops an agent at its nth step to the outside: a call of the store, the
// server, the clock, the source of PSK1, or a link.
type fuse struct {
	left atomic.Int64
	blow context.CancelFunc
}

func (f *fuse) step() {
	if f.left.Add(-1) == 0 {
		f.blow()
	}
}

type fusedStore struct {
	Store
	*fuse
}

func (s fusedStore) Put(name string, v []byte) error { s.step(); return s.Store.Put(name, v) }
func (s fusedStore) Delete(name string) error        { s.step(); return s.Store.Delete(name) }

type fusedServer struct {
	Server
	*fuse
}

func (s fusedServer) Assign(ctx context.Context, b []byte) ([]byte, time.Duration, error) {
	s.step()
	defer s.step()
	return s.Server.Assign(ctx, b)
}

type fusedPSK struct {
	PSKSource
	*fuse
}

func (s fusedPSK) PSK1(ctx context.Context) (*PSK, error) {
	s.step()
	return s.PSKSource.PSK1(ctx)
}

type fusedClock struct {
	Clock
	*fuse
}

func (s fusedClock) Now() (time.Time, bool) { s.step(); return s.Clock.Now() }

type fusedLink struct {
	transport.Link
	*fuse
}

func (l fusedLink) Send(ctx context.Context, peer string, m []byte) error {
	l.step()
	return l.Link.Send(ctx, peer, m)
}

// TestStopAnywhere stops the agent at each step of each command, and in the middle
// of a renewal: the command ends, and so does the agent.
func TestStopAnywhere(t *testing.T) {
	const id = cpns.EntityID("pne-1")
	commands := map[string]func(context.Context, *Agent) error{
		"provision": func(ctx context.Context, a *Agent) error {
			_, err := a.Provision(ctx, ProvisionRequest{User: "alice", PasswordHash: hashOf(goodPassword), Entities: []cpns.EntityID{id}, Wait: 300 * time.Millisecond}, func(Step) {})
			return err
		},
		"authenticate": func(ctx context.Context, a *Agent) error {
			return a.Authenticate(ctx, AuthenticateRequest{Wait: 300 * time.Millisecond}, func(Proof) {})
		},
		"forget": func(ctx context.Context, a *Agent) error { return a.Forget(ctx, id) },
		"list":   func(ctx context.Context, a *Agent) error { _, err := a.List(ctx); return err },
		"status": func(ctx context.Context, a *Agent) error { _, err := a.Status(ctx); return err },
		"readmit": func(ctx context.Context, a *Agent) error {
			err := a.Readmit(ctx, id)
			if errors.Is(err, fs.ErrInvalid) { // not under alarm
				err = nil
			}
			return err
		},
		"renewal": func(ctx context.Context, a *Agent) error { // by itself
			select {
			case <-time.After(300 * time.Millisecond):
			case <-a.stopped:
				return ErrStopped
			}
			return nil
		},
	}
	p := newParty(t)
	tk := p.importPNE(id)
	worn := p.wornStore(id, tk)
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			for n := int64(1); ; n++ {
				if n > 200 {
					t.Fatal("it has no end of steps")
				}
				if !p.stopAt(t, worn, tk, n, command) {
					t.Logf("%d steps", n-1)
					return
				}
			}
		})
	}
}

// wornStore is a copy of a store with a PNE whose set is to be renewed.
func (p *party) wornStore(id cpns.EntityID, tk cpns.TK) string {
	p.t.Helper()
	gw, dev := transport.NewPair("wire", "device")
	g := p.gateway(gw)
	stop := runDevice(p.t, dev, pne.Config{Entity: id, TK: tk, Storage: &flash{}})
	r := ProvisionRequest{User: "alice", PasswordHash: hashOf(goodPassword), Entities: []cpns.EntityID{id}, Wait: 10 * time.Second, Remember: true}
	if _, err := g.Provision(p.t.Context(), r, func(Step) {}); err != nil {
		p.t.Fatal(err)
	}
	for v, _ := g.Show(p.t.Context(), id); v.Index < 60; v, _ = g.Show(p.t.Context(), id) {
		g.proof(id)
	}
	stop()
	g.stop()
	return p.dir
}

// stopAt runs a command on an agent that is stopped at its nth step, and says
// whether it came so far.
func (p *party) stopAt(t *testing.T, worn string, tk cpns.TK, n int64, command func(context.Context, *Agent) error) bool {
	t.Helper()
	q := &party{t: t, url: p.url, dir: filepath.Join(t.TempDir(), fmt.Sprint(n), "keys"), secret: p.secret, psk: p.psk}
	if err := os.CopyFS(filepath.Dir(q.dir), os.DirFS(filepath.Dir(worn))); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(q.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
	if err := errors.Join(err, os.Chmod(q.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	gw, dev := transport.NewPair("wire", "device")
	defer runDevice(t, dev, pne.Config{Entity: "pne-1", TK: tk})()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := &fuse{blow: cancel}
	a, store := q.agent(func(c *Config) {
		c.Store, c.Server, c.PSK, c.Clock = fusedStore{c.Store, f}, fusedServer{c.Server, f}, fusedPSK{c.PSK, f}, fusedClock{c.Clock, f}
		c.Links = []transport.Link{fusedLink{gw, f}}
	})
	defer store.Close()
	a.renewTick = 10 * time.Millisecond
	f.left.Store(n)
	ran, commanded := make(chan error, 1), make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	go func() { commanded <- command(t.Context(), a) }()
	for range 2 {
		select {
		case err := <-ran:
			if err != nil {
				t.Fatalf("step %d: Run: %v", n, err)
			}
		case err := <-commanded:
			if err != nil && !errors.Is(err, ErrStopped) {
				t.Fatalf("step %d: %v", n, err)
			}
			cancel() // it has come to its end, or the agent has ended anyway
		case <-time.After(2 * time.Minute):
			t.Fatalf("step %d: it never ends", n)
		}
	}
	return f.left.Load() <= 0
}
