package agent

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/https"
)

// party is everybody that a gateway talks to: a real server over its handler,
// a real store, and devices made of the PNE library at the far end of links in
// memory.
type party struct {
	t      testing.TB
	url    string
	op     *server.Operator
	dir    string
	secret keystore.Secret
	psk    cpns.PSK1
	clock  testClock
	asked  atomic.Int32                        // requests that reached the server
	mangle atomic.Pointer[func([]byte) []byte] // what happens to its answers
}

func newParty(t testing.TB) *party {
	p := &party{t: t, dir: filepath.Join(t.TempDir(), "keys"), psk: make(cpns.PSK1, 32)}
	rand.Read(p.psk)
	rand.Read(p.secret[:])
	ctx := t.Context()

	var master server.MasterKey
	rand.Read(master[:])
	db, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "cpns.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := server.Initialize(ctx, db, &master); err != nil {
		t.Fatal(err)
	}
	if p.op, err = server.NewOperator(ctx, db, &master, "test"); err != nil {
		t.Fatal(err)
	}
	hash := hashOf(goodPassword)
	if err := p.op.AddUser(ctx, "alice", &server.PasswordHashes{NFC: hash, NFD: hash}); err != nil {
		t.Fatal(err)
	}
	if err := p.op.AddGateway(ctx, testGateway, cpns.PSKIdentity(testGateway), p.psk); err != nil {
		t.Fatal(err)
	}
	count := func(last cpns.Epoch, _ time.Time) (cpns.Epoch, bool) { return last + 1, true } // 1, 2, whatever the clock says
	srv, err := server.New(ctx, server.Config{Store: db, MasterKey: &master, Log: quiet, NextEpoch: count, DailyClaims: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		m := p.mangle.Load()
		if m == nil {
			srv.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		srv.ServeHTTP(answer, r)
		body := (*m)(answer.Body.Bytes())
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(answer.Code)
		w.Write(body)
	}))
	t.Cleanup(web.Close)
	p.url = web.URL
	p.ca(web)
	if err := keystore.Create(p.dir, &p.secret); err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	testGateway  = cpns.GatewayID("gw-0001")
	goodPassword = "correct horse"
)

var hashes sync.Map // Argon2id is slow on purpose

func hashOf(password string) cpns.PasswordHash {
	if h, ok := hashes.Load(password); ok {
		return h.(cpns.PasswordHash)
	}
	h := cpns.HashPassword("alice", []byte(password))
	hashes.Store(password, h)
	return h
}

var quiet = slog.New(slog.DiscardHandler)

// ca writes the server's certificate where the gateway's HTTPS client reads it.
func (p *party) ca(web *httptest.Server) {
	p.t.Helper()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(p.caFile(), cert, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *party) caFile() string { return filepath.Join(filepath.Dir(p.dir), "ca.pem") }

// importPNE makes the server know a PNE, and gives its TK.
func (p *party) importPNE(id cpns.EntityID) cpns.TK {
	p.t.Helper()
	tk := make(cpns.TK, 16)
	rand.Read(tk)
	r, err := p.op.ImportPNEs(p.t.Context(), strings.NewReader(fmt.Sprintf("entity_id,tk\n%s,%x\n", id, []byte(tk))), server.ImportOptions{})
	if err != nil || r.Imported != 1 {
		p.t.Fatalf("import: %+v, %v", r, err)
	}
	return tk
}

// testClock is the gateway's clock; its zero value is right and set.
type testClock struct{ unset atomic.Bool }

func (c *testClock) Now() (time.Time, bool) { return time.Now(), !c.unset.Load() }
func (c *testClock) Raise(time.Time)        {}

type filePSK struct {
	id  cpns.PSKIdentity
	psk cpns.PSK1
}

func (f *filePSK) Name() string { return "file" }

func (f *filePSK) PSK1(context.Context) (*PSK, error) {
	return &PSK{Identity: f.id, Key: slices.Clone(f.psk)}, nil
}

type poster struct{ *https.Client }

func (p poster) Assign(ctx context.Context, body []byte) ([]byte, time.Duration, error) {
	r, err := p.Post(ctx, body)
	return r.Body, r.RetryAfter, err
}

// gateway runs an agent on the party's store until the returned stop is called.
type gateway struct {
	*Agent
	t     testing.TB
	store *keystore.Store
	stop  func()

	mu     sync.Mutex
	events []Event
}

func (p *party) gateway(links ...transport.Link) *gateway {
	return p.gatewayWith(func(*Config) {}, links...)
}

func (p *party) gatewayWith(change func(*Config), links ...transport.Link) *gateway {
	p.t.Helper()
	g := &gateway{t: p.t}
	g.Agent, g.store = p.agent(func(c *Config) {
		c.Links = links
		c.Observe = func(e Event) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.events = append(g.events, e)
		}
		change(c)
	})
	store := g.store
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Errorf("Run: %v", err)
		}
		store.Close()
	})
	p.t.Cleanup(g.stop)
	return g
}

// agent makes an agent on the party's store, which is the caller's to close.
func (p *party) agent(change func(*Config)) (*Agent, *keystore.Store) {
	p.t.Helper()
	store, err := keystore.Open(p.dir, &p.secret)
	if err != nil {
		p.t.Fatal(err)
	}
	client, err := https.New(https.Config{Server: p.url, CAFile: p.caFile(), Path: cpns.AssignmentPath, ContentType: cpns.ContentType, Timeout: 5 * time.Second})
	if err != nil {
		p.t.Fatal(err)
	}
	c := Config{
		Gateway: testGateway, PSK: &filePSK{cpns.PSKIdentity(testGateway), p.psk}, Server: poster{client}, Store: store,
		Clock: &p.clock, Log: quiet,
	}
	change(&c)
	a, err := New(c)
	if err != nil {
		p.t.Fatal(err)
	}
	return a, store
}

// kinds lists the events so far.
func (g *gateway) kinds() []EventKind {
	g.mu.Lock()
	defer g.mu.Unlock()
	var k []EventKind
	for _, e := range g.events {
		k = append(k, e.Kind)
	}
	return k
}

// provision runs one request and gives its steps and its outcome.
func (g *gateway) provision(password string, wait time.Duration, ids ...cpns.EntityID) ([]StepKind, []Outcome) {
	g.t.Helper()
	var steps []StepKind
	out, err := g.Provision(g.t.Context(), ProvisionRequest{User: "alice", PasswordHash: hashOf(password), Entities: ids, Wait: wait},
		func(s Step) { steps = append(steps, s.Kind) })
	if err != nil {
		g.t.Fatal(err)
	}
	return steps, out
}

func (g *gateway) want(id cpns.EntityID, state State, e cpns.Epoch, i cpns.Index) {
	g.t.Helper()
	p, err := g.Show(g.t.Context(), id)
	if err != nil || p.State != state || p.Epoch != e || p.Index != i {
		g.t.Fatalf("%s is %s epoch %d index %d (%s, %v), want %s %d %d", id, p.State, p.Epoch, p.Index, p.Note, err, state, e, i)
	}
}

// eventually waits for a condition that the other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// runDevice has a PNE live at its end of a link until the returned stop. It says
// hello when the link comes up and when it is asked.
func runDevice(t testing.TB, link transport.Link, c pne.Config) (stop func()) {
	t.Helper()
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Storage == nil {
		c.Storage = pne.Volatile{}
	}
	d, err := pne.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	in, hello := make(chan []byte, 16), make(chan struct{}, 1)
	var running sync.WaitGroup
	running.Go(func() {
		err := link.Run(ctx, transport.Handler{
			Message: func(m transport.Message) {
				select {
				case in <- m.Data:
				case <-ctx.Done():
				}
			},
			Up: func() {
				select {
				case hello <- struct{}{}:
				default:
				}
			},
		})
		if err != nil {
			t.Errorf("the device's link: %v", err)
		}
	})
	running.Go(func() {
		for {
			var out []byte
			select {
			case <-hello:
				out, _ = d.Hello()
			case m := <-in:
				var ev pne.Event
				if out, ev = d.Handle(m); ev.Kind == pne.Identify {
					out, _ = d.Hello()
				}
			case <-ctx.Done():
				return
			}
			if out != nil {
				link.Send(ctx, "", out)
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

// flash is a device's storage that outlives it.
type flash struct {
	mu sync.Mutex
	s  pne.State
}

func (f *flash) Load() (pne.State, error) { f.mu.Lock(); defer f.mu.Unlock(); return f.s, nil }
func (f *flash) Save(s *pne.State) error  { f.mu.Lock(); defer f.mu.Unlock(); f.s = *s; return nil }
