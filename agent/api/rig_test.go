package api

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/audit"
	"cpns.example.net/pngw/agent/hooks"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport"
)

const user cpns.UserID = "alice"

const password = "correct horse"

var (
	psk1 = cpns.PSK1("0123456789abcdef0123456789abcdef")
	tk   = cpns.TK("fedcba9876543210")
)

// rig is an API on a unix socket, with an agent behind it that has a key store
// on disk, a link in memory, and a CPNS Server without a network.
type rig struct {
	*Client
	device transport.Link // the link's far end
	server *Server
	events *Events
	store  *slowStore
	stop   func() // ends agent and API, and waits for them
}

func newRig(t *testing.T) *rig {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "run", "pngw.sock")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	return startRig(t, l, NewClient(socket), 0)
}

// newPipeRig is a rig for synctest: a pipe in memory instead of the socket.
func newPipeRig(t *testing.T) *rig {
	t.Helper()
	return newSlowRig(t, 0)
}

// newSlowRig is newPipeRig with a store that takes its time to delete.
func newSlowRig(t *testing.T, slow time.Duration) *rig {
	t.Helper()
	l := pipes{make(chan net.Conn), make(chan struct{})}
	return startRig(t, l, newClient("pipe", func(context.Context, string, string) (net.Conn, error) { return l.dial(), nil }), slow)
}

func startRig(t *testing.T, l net.Listener, c *Client, slow time.Duration) *rig {
	t.Helper()
	dir := t.TempDir()
	secret := &keystore.Secret{1}
	if err := keystore.Create(filepath.Join(dir, "keys"), secret); err != nil {
		t.Fatal(err)
	}
	store, err := keystore.Open(filepath.Join(dir, "keys"), secret)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	near, far := transport.NewPair("memory", "memory")
	events := new(Events)
	records := &slowStore{Store: store, slow: slow}
	auditLog, err := audit.Open(filepath.Join(dir, "audit"), time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	runner := hooks.New(hooks.Config{Dir: dir, Gateway: "gw-0001", Timeout: time.Minute, Log: log})
	a, err := agent.New(agent.Config{
		Gateway: "gw-0001", PSK: psk{}, Server: cpnsServer{}, Store: records, Clock: clock{},
		Links: []transport.Link{near}, Log: log,
		Observe: func(e agent.Event) { events.Observe(e, time.Now()); runner.Observe(e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	unasked := func(context.Context, step0.Question) (*step0.Answer, error) { return nil, errors.New("no network") }
	enroller, err := step0.New(step0.Config{Store: store, Exchange: unasked, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Agent: a, Enroller: enroller, Version: "v1.2.3", Server: "https://cpns.example.net", LinkTypes: map[string]string{"memory": "serial"}, Events: events, Hooks: runner, Audit: auditLog, Applications: map[string]func() int{"mqtt": func() int { return 3 }}, Written: func() int64 { return 77 }, Log: log})

	agentCtx, stopAgent := context.WithCancel(context.Background())
	apiCtx, stopAPI := context.WithCancel(context.Background())
	var agentDone, apiDone sync.WaitGroup
	agentDone.Go(func() {
		if err := a.Run(agentCtx); err != nil {
			t.Errorf("agent: %v", err)
		}
	})
	apiDone.Go(func() {
		if err := s.Serve(apiCtx, l); err != nil {
			t.Errorf("API: %v", err)
		}
	})
	stop := sync.OnceFunc(func() {
		stopAPI()
		apiDone.Wait()
		stopAgent()
		agentDone.Wait()
		if err := store.Close(); err != nil {
			t.Errorf("store: %v", err)
		}
	})
	t.Cleanup(stop)
	return &rig{Client: c, device: far, server: s, events: events, store: records, stop: stop}
}

// provision is Provision with the outcomes gathered.
func (r *rig) provision(ctx context.Context, req agent.ProvisionRequest, step func(agent.Step)) (outcomes []agent.Outcome, err error) {
	err = r.Provision(ctx, req, step, func(o agent.Outcome) { outcomes = append(outcomes, o) })
	return outcomes, err
}

// plugIn runs a device at the link's far end until it is unplugged or the test ends.
func (r *rig) plugIn(t *testing.T, e cpns.EntityID) (unplug func()) {
	t.Helper()
	d, err := pne.New(pne.Config{Entity: e, TK: tk, Storage: pne.Volatile{}, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	send := func(msg []byte, err error) {
		if msg != nil && err == nil {
			err = r.device.Send(ctx, string(e), msg)
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, transport.ErrLinkDown) {
			t.Errorf("device: %v", err)
		}
	}
	var done sync.WaitGroup
	done.Go(func() {
		r.device.Run(ctx, transport.Handler{
			Up: func() { send(d.Hello()) },
			Message: func(m transport.Message) {
				reply, ev := d.Handle(m.Data)
				send(reply, nil)
				if ev.Kind == pne.Identify {
					send(d.Hello())
				}
			},
		})
	})
	unplug = func() { cancel(); done.Wait() }
	t.Cleanup(unplug)
	return unplug
}

// slowStore is a store on flash that is busy.
type slowStore struct {
	*keystore.Store
	slow time.Duration
	fail atomic.Bool // Put does
}

func (s *slowStore) Put(name string, value []byte) error {
	if s.fail.Load() {
		return errors.New("no space left on device")
	}
	return s.Store.Put(name, value)
}

func (s *slowStore) Delete(name string) error {
	time.Sleep(s.slow)
	return s.Store.Delete(name)
}

type psk struct{}

func (psk) Name() string { return "file" }

func (psk) PSK1(context.Context) (*agent.PSK, error) {
	return &agent.PSK{Identity: "gw-0001", Key: append(cpns.PSK1(nil), psk1...)}, nil
}

type clock struct{}

func (clock) Now() (time.Time, bool) { return time.Now(), true }
func (clock) Raise(time.Time)        {}

// cpnsServer answers as a CPNS Server does that knows alice, and every device
// but "unknown". The sets of "short" have 2 keys, and their epoch is the time.
type cpnsServer struct{}

func (cpnsServer) Assign(ctx context.Context, body []byte) ([]byte, time.Duration, error) {
	sealed, err := cpns.ParseRequest(body)
	if err != nil {
		return nil, 0, err
	}
	req, err := sealed.Open(psk1)
	if err != nil {
		return nil, 0, err
	}
	resp := &cpns.EUKeyAssignmentResponse{ServerTime: req.Time}
	hash := cpns.HashPassword(user, []byte(password))
	switch {
	case req.UserID != user || cpns.UserAuthenticationData(&hash, &req.RandPNGW, req.Time) != req.UserAuthenticationData:
		resp.Status = cpns.UserAuthenticationFailed
	case req.EntityID == "unknown":
		resp.Status = cpns.UnknownPNE
	default:
		resp.Epoch, resp.TK, resp.EUKeys = 1, tk, make([]cpns.EUKey, cpns.DefaultSetLength)
		if req.EntityID == "short" {
			resp.Epoch, resp.EUKeys = cpns.Epoch(req.Time), make([]cpns.EUKey, cpns.MinSetLength)
		}
		cpns.DeriveSet(resp.EUKeys, &req.RandPNGW)
	}
	var iv [cpns.IVSize]byte
	rand.Read(iv[:])
	answer, err := cpns.SealResponse(psk1, sealed.Identity, body, iv, resp)
	return answer, 0, err
}

// request is what alice asks.
func request(wait time.Duration, entities ...cpns.EntityID) agent.ProvisionRequest {
	return agent.ProvisionRequest{User: user, PasswordHash: cpns.HashPassword(user, []byte(password)), Entities: entities, Wait: wait}
}

// dial connects without a client.
func (r *rig) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := r.http.Transport.(*http.Transport).DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- far
	return near
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
