package admin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/internal/logtest"
)

// A rig is the admin API on a fresh store, over real TLS, with a token of each role.
type rig struct {
	t      *testing.T
	store  *sqlite.Store
	op     *server.Operator
	api    *Server
	url    string
	ca     *authority
	log    *logtest.Buffer
	clock  *clock
	tokens map[server.Role]string
	client *http.Client // that trusts the server and shows no certificate

	mu   sync.Mutex
	seen map[string]map[int]bool // statuses by operationId
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, now time.Time) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, key}
}

func (a *authority) sign(t testing.TB, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// forClient is a client certificate of a common name.
func (a *authority) forClient(t testing.TB, name string, now time.Time) tls.Certificate {
	return a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// A madeStore is a database with a token of each role, which many tests begin with.
type madeStore struct {
	database []byte
	key      *server.MasterKey
	tokens   map[server.Role]string
}

var newStore = sync.OnceValue(func() *madeStore {
	made := &madeStore{key: new(server.MasterKey), tokens: make(map[server.Role]string)}
	rand.Read(made.key[:])
	dir, err := os.MkdirTemp("", "admin")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx, path := context.Background(), filepath.Join(dir, "cpns.db")
	store, err := sqlite.Create(ctx, path)
	if err == nil {
		err = server.Initialize(ctx, store, made.key)
	}
	if err != nil {
		panic(err)
	}
	op, err := server.NewOperator(ctx, store, made.key, "rig")
	for _, role := range []server.Role{server.RoleAuditor, server.RoleOperator, server.RoleAdmin} {
		if err == nil {
			made.tokens[role], _, err = op.AddToken(ctx, string(role), role, 24*time.Hour)
		}
	}
	if err = errors.Join(err, store.Close()); err == nil {
		made.database, err = os.ReadFile(path)
	}
	if err != nil {
		panic(err)
	}
	return made
})

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, log: new(logtest.Buffer), clock: &clock{now: time.Now().Truncate(time.Second)}, seen: make(map[string]map[int]bool)}
	ctx := t.Context()
	made := newStore()
	r.tokens = made.tokens
	path := filepath.Join(t.TempDir(), "cpns.db")
	must(t, os.WriteFile(path, made.database, 0o600))
	var err error
	r.store, err = sqlite.Open(ctx, path)
	must(t, err)
	t.Cleanup(func() { r.store.Close() })
	log := slog.New(slog.NewTextHandler(r.log, nil))
	s, err := server.New(ctx, server.Config{Store: r.store, MasterKey: made.key, Log: log, Now: r.clock.Now})
	must(t, err)
	r.op = s.Operator().As("rig")
	r.ca = newAuthority(t, r.clock.Now())
	cert := r.ca.sign(t, &x509.Certificate{NotBefore: r.clock.Now().Add(-time.Hour), NotAfter: r.clock.Now().AddDate(0, 1, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	pool := x509.NewCertPool()
	pool.AddCert(r.ca.cert)
	r.api, err = New(Config{Operator: s.Operator(), Log: log, Now: r.clock.Now, ClientCAs: pool, Version: "1.2.3",
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }})
	must(t, err)
	r.serve()
	r.client = r.with()
	return r
}

func (r *rig) serve() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.api.Serve(ctx, ln) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	r.url = "https://" + ln.Addr().String()
}

// with is a client that shows certificates.
func (r *rig) with(certs ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(r.ca.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// An asked is a request.
type asked struct {
	method, path string // below Prefix
	token        string
	body         string // "" for none
	header       map[string]string
	client       *http.Client
}

// A got is an answer.
type got struct {
	status int
	header http.Header
	body   []byte
}

// kind is the kind of a problem.
func (g *got) kind() string {
	var p problemBody
	json.Unmarshal(g.body, &p)
	return strings.TrimPrefix(p.Type, kindPrefix)
}

func (r *rig) ask(a asked) *got {
	r.t.Helper()
	g, err := r.try(a)
	must(r.t, err)
	return g
}

func (r *rig) try(a asked) (*got, error) {
	var body io.Reader
	if a.body != "" {
		body = strings.NewReader(a.body)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), a.method, r.url+Prefix+a.path, body)
	if err != nil {
		return nil, err
	}
	if a.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	for name, value := range a.header {
		req.Header.Set(name, value)
	}
	client := a.client
	if client == nil {
		client = r.client
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	g := &got{status: res.StatusCode, header: res.Header}
	if g.body, err = io.ReadAll(res.Body); err != nil {
		return nil, err
	}
	r.record(req, g)
	return g, nil
}

// record remembers which statuses each endpoint has answered with.
func (r *rig) record(req *http.Request, g *got) {
	_, pattern := r.api.mux.Handler(req)
	for _, e := range endpoints() {
		if Prefix+e.path == pattern && e.method == req.Method {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.seen[e.id] == nil {
				r.seen[e.id] = make(map[int]bool)
			}
			r.seen[e.id][g.status] = true
		}
	}
}

// want fails unless the answer has a status and, where it is a problem, a kind.
func (r *rig) want(what string, g *got, status int, kind string) {
	r.t.Helper()
	if g.status != status || g.kind() != kind {
		r.t.Errorf("%s: %d %q, want %d %q: %s", what, g.status, g.kind(), status, kind, g.body)
	}
	if status >= 400 && g.header.Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("%s: a problem of type %q", what, g.header.Get("Content-Type"))
	}
	if g.header.Get("Cache-Control") != "no-store" {
		r.t.Errorf("%s: may be kept", what)
	}
}
