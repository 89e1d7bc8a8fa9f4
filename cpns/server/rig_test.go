package server_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/internal/logtest"
)

// A rig is a server on a fresh SQLite store behind real TLS, with the users alice
// and bob, the gateways gw-1 and gw-2 and the PNEs pne-1 and pne-2.
type rig struct {
	t      testing.TB
	path   string // of the database
	key    *server.MasterKey
	store  *sqlite.Store
	op     *server.Operator
	server *server.Server
	http   *httptest.Server
	log    *logtest.Buffer
	clock  *clock

	users    map[cpns.UserID]*cpns.PasswordHash
	gateways map[cpns.GatewayID]cpns.PSK1
	pnes     map[cpns.EntityID]cpns.TK
}

// clock is a time that stands still until it is told to go on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(t testing.TB, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	_, err := rand.Read(b)
	must(t, err)
	return b
}

func newRig(t testing.TB) *rig { return newRigWith(t, func(*server.Config) {}) }

// newRigWith lets change alter the server's configuration.
func newRigWith(t testing.TB, change func(*server.Config)) *rig {
	t.Helper()
	r := &rig{
		t:        t,
		path:     filepath.Join(t.TempDir(), "cpns.db"),
		key:      (*server.MasterKey)(random(t, server.MasterKeySize)),
		log:      new(logtest.Buffer),
		clock:    &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		users:    make(map[cpns.UserID]*cpns.PasswordHash),
		gateways: make(map[cpns.GatewayID]cpns.PSK1),
		pnes:     make(map[cpns.EntityID]cpns.TK),
	}
	ctx := t.Context()
	var err error
	r.store, err = sqlite.Create(ctx, r.path)
	must(t, err)
	t.Cleanup(func() { r.store.Close() })
	must(t, server.Initialize(ctx, r.store, r.key))
	r.op, err = server.NewOperator(ctx, r.store, r.key, "tester")
	must(t, err)
	r.serve(change)
	r.addUser("alice")
	r.addUser("bob")
	r.addGateway("gw-1", "gw-1")
	r.addGateway("gw-2", "btid-2@bsf.example")
	r.addPNEs("pne-1", "pne-2")
	return r
}

// serve starts a server on the rig's store, in place of the one before: a restart.
func (r *rig) serve(change func(*server.Config)) {
	r.t.Helper()
	c := server.Config{
		Store:     r.store,
		MasterKey: r.key,
		Now:       r.clock.Now,
		Log:       slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	change(&c)
	var err error
	r.server, err = server.New(r.t.Context(), c)
	must(r.t, err)
	if r.http != nil {
		r.http.Close()
	}
	r.http = httptest.NewTLSServer(r.server)
	r.t.Cleanup(r.http.Close)
}

func (r *rig) addUser(id cpns.UserID) {
	r.t.Helper()
	r.users[id] = (*cpns.PasswordHash)(random(r.t, len(cpns.PasswordHash{})))
	must(r.t, r.op.AddUser(r.t.Context(), id, bothForms(r.users[id])))
}

// bothForms is a password that has one form.
func bothForms(h *cpns.PasswordHash) *server.PasswordHashes {
	return &server.PasswordHashes{NFC: *h, NFD: *h}
}

// steady makes the time that has passed for the server that of the rig's clock,
// after an hour without a jump.
func (r *rig) steady() {
	begin := r.clock.Now()
	r.server.SetPassed(func() time.Duration { return r.clock.Now().Sub(begin) })
	must(r.t, r.server.Prune(r.t.Context()))
	r.clock.advance(time.Hour)
	must(r.t, r.server.Prune(r.t.Context()))
}

// epoch is the n-th epoch of a PNE that is assigned for the first time now.
func (r *rig) epoch(n int) cpns.Epoch {
	return cpns.Epoch(int(r.clock.Now().Sub(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)).Minutes()) + n - 1)
}

func (r *rig) addGateway(id cpns.GatewayID, identity cpns.PSKIdentity) {
	r.t.Helper()
	r.gateways[id] = random(r.t, 32)
	must(r.t, r.op.AddGateway(r.t.Context(), id, identity, r.gateways[id]))
}

func (r *rig) addPNEs(ids ...cpns.EntityID) {
	r.t.Helper()
	csv := new(strings.Builder)
	csv.WriteString("entity_id,tk\n")
	for _, id := range ids {
		r.pnes[id] = random(r.t, 16)
		csv.WriteString(string(id) + "," + hexOf(r.pnes[id]) + "\n")
	}
	got, err := r.op.ImportPNEs(r.t.Context(), strings.NewReader(csv.String()), server.ImportOptions{})
	must(r.t, err)
	if got.Imported != len(ids) {
		r.t.Fatalf("imported %d of %d PNEs", got.Imported, len(ids))
	}
}

// identityOf is the PSK1 identity that newRig gave a gateway.
func identityOf(g cpns.GatewayID) cpns.PSKIdentity {
	if g == "gw-2" {
		return "btid-2@bsf.example"
	}
	return cpns.PSKIdentity(g)
}

// request is a right request of a user for a PNE, with a new RAND_PNGW.
func (r *rig) request(u cpns.UserID, e cpns.EntityID) *cpns.EUKeyAssignmentRequest {
	r.t.Helper()
	req := &cpns.EUKeyAssignmentRequest{EntityID: e, UserID: u, Time: uint64(r.clock.Now().Unix())}
	copy(req.RandPNGW[:], random(r.t, cpns.RandSize))
	hash := r.users[u]
	if hash == nil {
		hash = new(cpns.PasswordHash)
	}
	req.UserAuthenticationData = cpns.UserAuthenticationData(hash, &req.RandPNGW, req.Time)
	return req
}

// wrong is a request with a wrong password.
func (r *rig) wrong(u cpns.UserID, e cpns.EntityID) *cpns.EUKeyAssignmentRequest {
	req := r.request(u, e)
	req.UserAuthenticationData[0] ^= 1
	return req
}

func (r *rig) seal(g cpns.GatewayID, req *cpns.EUKeyAssignmentRequest) []byte {
	r.t.Helper()
	body, err := cpns.SealRequest(r.gateways[g], identityOf(g), [cpns.IVSize]byte(random(r.t, cpns.IVSize)), req)
	must(r.t, err)
	return body
}

// post sends a body over HTTPS.
func (r *rig) post(body []byte) (*http.Response, []byte) {
	r.t.Helper()
	res, err := r.http.Client().Post(r.http.URL+cpns.AssignmentPath, cpns.ContentType, bytes.NewReader(body))
	must(r.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(r.t, err)
	return res, answer
}

// open opens the answer to a body.
func (r *rig) open(g cpns.GatewayID, body []byte, res *http.Response, answer []byte) *cpns.EUKeyAssignmentResponse {
	r.t.Helper()
	if res.StatusCode != http.StatusOK {
		r.t.Fatalf("HTTP %s: %s", res.Status, answer)
	}
	got, err := cpns.OpenResponse(r.gateways[g], identityOf(g), body, answer)
	must(r.t, err)
	return got
}

// ask sends a request through a gateway and opens the answer.
func (r *rig) ask(g cpns.GatewayID, req *cpns.EUKeyAssignmentRequest) *cpns.EUKeyAssignmentResponse {
	r.t.Helper()
	body := r.seal(g, req)
	res, answer := r.post(body)
	return r.open(g, body, res, answer)
}

// wantStatus asks and compares the status.
func (r *rig) wantStatus(g cpns.GatewayID, req *cpns.EUKeyAssignmentRequest, want cpns.AssignmentStatus) *cpns.EUKeyAssignmentResponse {
	r.t.Helper()
	got := r.ask(g, req)
	if got.Status != want {
		r.t.Errorf("%s for %s through %s: got %v, want %v", req.UserID, req.EntityID, g, got.Status, want)
	}
	return got
}

// pne is what the store has of a PNE.
func (r *rig) pne(e cpns.EntityID) server.PNE {
	r.t.Helper()
	var p server.PNE
	must(r.t, r.store.View(r.t.Context(), func(tx server.Tx) (err error) {
		p, err = tx.PNE(e)
		return err
	}))
	return p
}

// events is the audit log.
func (r *rig) events() []server.Event {
	r.t.Helper()
	var all []server.Event
	must(r.t, r.op.Audit(r.t.Context(), time.Time{}, func(e server.Event) error {
		all = append(all, e)
		return nil
	}))
	return all
}

// moveTK makes a PNE with the sealed TK of another, as whoever can write to the
// database could.
func (r *rig) moveTK(tk server.Sealed, e cpns.EntityID) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), func(tx server.Tx) error {
		return tx.AddPNE(server.PNE{Entity: e, TK: tk, Created: r.clock.Now()})
	}))
}
