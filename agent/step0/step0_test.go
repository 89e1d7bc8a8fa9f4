package step0_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport/https"
)

// memory is a store of records that can be told to fail.
type memory struct {
	mu      sync.Mutex
	records map[string][]byte
	full    bool
}

func newMemory() *memory { return &memory{records: map[string][]byte{}} }

func (m *memory) Put(name string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errors.New("no space left on device")
	}
	m.records[name] = bytes.Clone(value)
	return nil
}

func (m *memory) Get(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.records[name]; ok {
		return bytes.Clone(v), nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) fill(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}

// server is a CPNS Server of step 0, as far as the gateway sees it: real TLS, and what
// it computes is made of package cpns.
type server struct {
	*httptest.Server
	cert   *x509.Certificate
	secret cpns.EnrolmentSecret

	mu       sync.Mutex
	answers  []func(w http.ResponseWriter, r *http.Request) // in place of the real one, one a request
	approved map[cpns.SPKIHash]bool
	proofs   []string
	asked    int
	pins     []string
}

func newServer(t *testing.T) *server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a server"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{approved: map[cpns.SPKIHash]bool{}}
	rand.Read(s.secret[:])
	s.cert, _ = x509.ParseCertificate(der)
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) pin() cpns.Pin { return cpns.PinOf(s.cert.RawSubjectPublicKeyInfo) }

func (s *server) code(secret bool) *cpns.EnrolmentCode {
	c := &cpns.EnrolmentCode{Server: s.Listener.Addr().String(), Pin: s.pin()}
	if secret {
		c.Secret = &s.secret
	}
	return c
}

// instead has the next request answered otherwise.
func (s *server) instead(answers ...func(w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, answers...)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if len(s.answers) > 0 {
		answer := s.answers[0]
		s.answers = s.answers[1:]
		if answer != nil {
			answer(w, r)
			return
		}
	}
	s.real(w, r)
}

func (s *server) real(w http.ResponseWriter, r *http.Request) {
	fp := cpns.HashSPKI(r.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if r.URL.Path == cpns.PSK1Path {
		if !s.approved[fp] {
			refuse(403, cpns.ProblemGatewayUnknown, "who?")(w, r)
			return
		}
		const id = "an-identity"
		exported, _ := r.TLS.ExportKeyingMaterial(cpns.ExporterPSK1, cpns.PSK1Context(fp, id), cpns.ExporterSize)
		c := cpns.Confirmation(exported, id)
		give(w, 200, map[string]any{"identity": id, "lifetime": 600, "confirmation": cpns.Base64.EncodeToString(c[:]), "pins": s.pins, "later": true})
		return
	}
	body, _ := io.ReadAll(r.Body)
	var in struct{ Proof *string }
	json.Unmarshal(body, &in)
	if in.Proof != nil {
		s.proofs = append(s.proofs, *in.Proof)
		exported, _ := r.TLS.ExportKeyingMaterial(cpns.ExporterEnrolment, nil, cpns.ExporterSize)
		want := cpns.EnrolmentProof(&s.secret, fp, (*[cpns.ExporterSize]byte)(exported))
		if *in.Proof != cpns.Base64.EncodeToString(want[:]) {
			refuse(403, cpns.ProblemEnrolmentRefused, "a bad proof")(w, r)
			return
		}
		s.approved[fp] = true
	}
	if !s.approved[fp] {
		w.Header().Set("Retry-After", "1")
		give(w, 202, map[string]string{"fingerprint": fp.Fingerprint()})
		return
	}
	pin := s.pin()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw})
	give(w, 200, map[string]any{"gateway_id": "gw-1", "ca": string(ca), "pins": []string{cpns.Base64.EncodeToString(pin[:])}})
}

func give(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func refuse(status int, kind, detail string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"type": kind, "detail": detail})
	}
}

// raw answers with a body as it stands.
func raw(kind, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		io.WriteString(w, body)
	}
}

// lost does what was asked, and the answer does not arrive.
func (s *server) lost(_ http.ResponseWriter, r *http.Request) {
	s.real(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

func exchange(ctx context.Context, q step0.Question) (*step0.Answer, error) {
	cfg := https.ExchangeConfig{Server: "https://" + q.Server, Certificate: q.Certificate, Timeout: 10 * time.Second}
	for _, p := range q.Pins {
		cfg.Pins = append(cfg.Pins, https.Pin(p))
	}
	var body func(https.Exporter) ([]byte, error)
	if q.Body != nil {
		body = func(e https.Exporter) ([]byte, error) { return q.Body(step0.Export(e)) }
	}
	a, err := https.Exchange(ctx, cfg, q.Path, body)
	if err != nil {
		return nil, err
	}
	return &step0.Answer{Status: a.Status, Type: a.Type, Body: a.Body, RetryAfter: a.RetryAfter, Export: step0.Export(a.Export)}, nil
}

// gateway is an Enroller over a store; it runs until stop or the test's end.
type gateway struct {
	*step0.Enroller
	stop func()
}

func newGateway(t *testing.T, store step0.Store) *gateway {
	t.Helper()
	e, err := step0.New(step0.Config{Store: store, Exchange: exchange, Log: slog.New(slog.DiscardHandler), Hints: step0.Hints{Model: "Box", Serial: "S-1"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { e.Run(ctx) })
	g := &gateway{Enroller: e, stop: func() { cancel(); running.Wait() }}
	t.Cleanup(g.stop)
	return g
}

func (g *gateway) begin(t *testing.T, code *cpns.EnrolmentCode) {
	t.Helper()
	if err := g.Begin(code, false); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) await(t *testing.T, state, detail string) step0.Status {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s := g.Status()
		if s.State == state && strings.Contains(s.Detail, detail) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, want %s, %q", s, state, detail)
		}
	}
}

func (g *gateway) psk1(t *testing.T) (*agent.PSK, error) {
	t.Helper()
	return g.PSK1(t.Context())
}

func TestBySecret(t *testing.T) {
	s, store := newServer(t), newMemory()
	g := newGateway(t, store)
	if _, err := g.psk1(t); err == nil || err.Error() != step0.NotEnrolled {
		t.Errorf("not enrolled: %v", err)
	}
	g.begin(t, s.code(true))
	is := g.await(t, step0.StateEnrolled, "")
	if is.Gateway != "gw-1" || is.Server != s.Listener.Addr().String() || len(is.Fingerprint) != 39 {
		t.Errorf("%+v", is)
	}
	if len(store.records) != 1 || bytes.Contains(store.records["this gateway"], []byte("CPNS1-")) {
		t.Errorf("%d records, or the code is kept: %s", len(store.records), store.records["this gateway"])
	}
	psk, err := g.psk1(t)
	if err != nil || psk.Identity != "an-identity" || len(psk.Key) != 32 {
		t.Fatalf("%+v, %v", psk, err)
	}
	if left := time.Until(psk.Until); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("good for %v", left)
	}
	if left := time.Until(psk.Renew); left < 350*time.Second || left > 441*time.Second {
		t.Errorf("renewed in %v", left)
	}

	// Another start: the same key pair, and the same enrolment.
	again := newGateway(t, store).Status()
	if again.Fingerprint != is.Fingerprint || again.State != step0.StateEnrolled || again.Gateway != "gw-1" {
		t.Errorf("after a restart %+v", again)
	}
}

// TestLostAnswers: whichever answer is lost, asking again gives it.
func TestLostAnswers(t *testing.T) {
	s, store := newServer(t), newMemory()
	g := newGateway(t, store)
	s.instead(s.lost)
	g.begin(t, s.code(true))
	if is := g.await(t, step0.StatePending, "closed the connection"); !is.Unreachable || is.Tries != 1 {
		t.Errorf("%+v", is)
	}
	g.stop() // and started again
	g = newGateway(t, store)
	g.await(t, step0.StateEnrolled, "")
	if len(s.proofs) != 2 || s.proofs[0] == s.proofs[1] {
		t.Errorf("proofs %q: want two, each of its connection", s.proofs)
	}
	s.instead(s.lost)
	if _, err := g.psk1(t); err == nil || !errors.As(err, new(*agent.PSKWaitError)) {
		t.Errorf("a lost PSK1: %v", err)
	}
	if _, err := g.psk1(t); err != nil {
		t.Error(err)
	}
}

// TestStoreFails: what cannot be kept has not happened, and is asked for again.
func TestStoreFails(t *testing.T) {
	s, store := newServer(t), newMemory()
	g := newGateway(t, store)
	store.fill(true)
	if err := g.Begin(s.code(true), false); err == nil {
		t.Error("a code that cannot be kept is taken up")
	}
	if is := g.Status(); is.State != step0.StateNone {
		t.Errorf("%+v", is)
	}
	store.fill(false)
	s.instead(func(w http.ResponseWriter, r *http.Request) {
		store.fill(true)
		s.real(w, r)
	})
	g.begin(t, s.code(true))
	g.await(t, step0.StatePending, "no space left")
	store.fill(false)
	g.stop()
	g = newGateway(t, store)
	g.await(t, step0.StateEnrolled, "")
}

func TestByPerson(t *testing.T) {
	s, store := newServer(t), newMemory()
	g := newGateway(t, store)
	g.begin(t, s.code(false))
	is := g.await(t, step0.StatePending, "to approve this gateway")
	if len(s.proofs) != 0 {
		t.Error("a proof without a secret")
	}
	g.stop()
	g = newGateway(t, store)
	s.mu.Lock()
	s.answers = []func(http.ResponseWriter, *http.Request){func(w http.ResponseWriter, r *http.Request) {
		fp := cpns.HashSPKI(r.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
		if fp.Fingerprint() != is.Fingerprint {
			t.Errorf("the server sees %s, the gateway shows %s", fp.Fingerprint(), is.Fingerprint)
		}
		s.approved[fp] = true
		s.real(w, r)
	}}
	s.mu.Unlock()
	g.await(t, step0.StateEnrolled, "")
}

func TestRefusals(t *testing.T) {
	s := newServer(t)
	for _, kind := range []string{cpns.ProblemCodeUsed, cpns.ProblemCodeExpired, cpns.ProblemEnrolmentRefused} {
		store := newMemory()
		g := newGateway(t, store)
		s.instead(refuse(403, kind, "because\x1b of "+kind))
		g.begin(t, s.code(true))
		g.await(t, step0.StateRefused, "because? of "+kind)
		g.stop()
		before := s.asked
		g = newGateway(t, store)
		g.await(t, step0.StateRefused, kind)
		if s.asked != before {
			t.Error("asks again what was refused")
		}
		g.begin(t, s.code(true))
		g.await(t, step0.StateEnrolled, "")
	}
}

// TestNoUse: answers that decide nothing, each with its reason.
func TestNoUse(t *testing.T) {
	s := newServer(t)
	for _, tt := range []struct {
		answer func(http.ResponseWriter, *http.Request)
		want   string
	}{
		{raw("text/html", "<html>"), `type "text/html"`},
		{raw("application/json", "{"), "not the JSON of step 0"},
		{raw("application/json", `{"gateway_id":"a b","pins":[],"ca":""}`), "gateway ID"},
		{raw("application/json", `{"gateway_id":"gw","pins":[],"ca":""}`), "0 pins"},
		{raw("application/json", `{"gateway_id":"gw","pins":["AAAA"],"ca":""}`), "base64url of 16 bytes"},
		{raw("application/json", `{"gateway_id":"gw","pins":["AAAAAAAAAAAAAAAAAAAAAA"],"ca":"x"}`), "no certificate"},
		{raw("application/json", strings.Repeat(" ", 65<<10)), "more than 65536 bytes"},
		{refuse(429, "about:blank", "slow down"), "asks to wait: slow down"},
		{refuse(400, "about:blank", "no client certificate was shown"), "ends TLS: no client certificate was shown"},
		{refuse(403, "urn:other", "go away"), "answered HTTP 403: go away"},
		{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, "ends TLS: it answered HTTP 502, which is not how a CPNS Server answers"},
		{refuse(400, "about:blank", "step 0 takes TLS 1.3"), "ends TLS: step 0 takes TLS 1.3"},
		{refuse(400, "about:blank", "the connection was resumed"), "ends TLS: the connection was resumed"},
		{refuse(400, "about:blank", "no good gateway_id"), "answered HTTP 400: no good gateway_id"},
		{func(w http.ResponseWriter, _ *http.Request) {
			give(w, 202, map[string]string{"fingerprint": "AAAA-BBBB"})
		}, "ends TLS: it was shown the key AAAA-BBBB, which is not this gateway's"},
	} {
		g := newGateway(t, newMemory())
		s.instead(tt.answer)
		g.begin(t, s.code(true))
		g.await(t, step0.StatePending, tt.want)
		g.stop()
	}
}

func TestPins(t *testing.T) {
	s, other := newServer(t), newServer(t)
	code := s.code(true)
	code.Pin = other.pin()
	g := newGateway(t, newMemory())
	g.begin(t, code)
	if is := g.await(t, step0.StatePending, "does not have a key that enrolment left"); !is.Unreachable {
		t.Errorf("%+v", is)
	}
	if s.asked != 0 {
		t.Error("a server that is not the code's has been asked")
	}
	// The right code, and then pins that leave the server out.
	g.begin(t, s.code(true))
	g.await(t, step0.StateEnrolled, "")
	pin := other.pin()
	s.pins = []string{cpns.Base64.EncodeToString(pin[:])}
	if _, err := g.psk1(t); err != nil {
		t.Fatal(err)
	}
	if _, err := g.psk1(t); err == nil || !strings.Contains(err.Error(), "does not have a key that enrolment left") {
		t.Errorf("the new pins do not hold: %v", err)
	}
}

func TestPSK1Refused(t *testing.T) {
	s, store := newServer(t), newMemory()
	g := newGateway(t, store)
	g.begin(t, s.code(true))
	g.await(t, step0.StateEnrolled, "")
	wrong := cpns.Base64.EncodeToString(make([]byte, 32))
	good := `{"identity":"x","lifetime":600,"confirmation":"`
	for _, tt := range []struct {
		answer func(http.ResponseWriter, *http.Request)
		want   string
	}{
		{raw("application/json", good+wrong+`"}`), "something between this gateway and 127.0.0.1:"},
		{raw("application/json", good+`AAAA"}`), "ends TLS: "},
		{raw("application/json", good+`"}`), "ends TLS: "},
		{raw("application/json", good+`?"}`), "not base64url"},
		{raw("application/json", `{"identity":"x","lifetime":59,"confirmation":"`+wrong+`"}`), "a lifetime of 59 s"},
		{raw("application/json", `{"identity":"x","lifetime":31536001,"confirmation":"`+wrong+`"}`), "a lifetime of"},
		{raw("application/json", `{"identity":"","lifetime":600,"confirmation":"`+wrong+`"}`), "PSK1 identity"},
		{refuse(403, cpns.ProblemGatewayPending, ""), "waiting for the operator of"},
		{refuse(403, cpns.ProblemGatewayRemoved, ""), "has removed this gateway"},
		{refuse(403, cpns.ProblemGatewayUnknown, ""), "does not know this gateway"},
		{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "60")
			refuse(429, "about:blank", "slow down")(w, r)
		}, "asks to wait"},
	} {
		s.instead(tt.answer)
		psk, err := g.psk1(t)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.As(err, new(*agent.PSKWaitError)) {
			t.Errorf("%+v, %v, want %q", psk, err, tt.want)
		}
	}
	before := s.asked
	if _, err := g.psk1(t); err == nil || s.asked != before {
		t.Errorf("asks within the time that the server asked for: %v", err)
	}
}

func TestContradictions(t *testing.T) {
	s, other := newServer(t), newServer(t)
	store := newMemory()
	g := newGateway(t, store)
	g.begin(t, s.code(true))
	g.await(t, step0.StateEnrolled, "")
	if err := g.Begin(other.code(true), false); !errors.As(err, new(*step0.ContradictionError)) || !strings.Contains(err.Error(), "--move") {
		t.Errorf("another server: %v", err)
	}
	// Until the other one takes it in, it is where it was.
	other.instead(refuse(403, cpns.ProblemCodeUsed, "used"))
	if err := g.Begin(other.code(true), true); err != nil {
		t.Fatal(err)
	}
	if is := g.await(t, step0.StateRefused, "used"); is.Enrolled != s.Listener.Addr().String() {
		t.Errorf("%+v", is)
	}
	if _, err := g.psk1(t); err != nil {
		t.Error(err)
	}
	if err := g.Begin(other.code(true), true); err != nil {
		t.Fatal(err)
	}
	if is := g.await(t, step0.StateEnrolled, ""); is.Server != other.Listener.Addr().String() {
		t.Errorf("%+v", is)
	}

	e, err := step0.New(step0.Config{Store: newMemory(), Exchange: exchange, Gateway: "gw-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	code := s.code(true)
	code.ID = "gw-2"
	if err := e.Begin(code, false); err == nil || !strings.Contains(err.Error(), "gw-1") || !strings.Contains(err.Error(), "gw-2") {
		t.Errorf("want both names: %v", err)
	}
}

// TestRefusalTakenBack: nobody is at a router that was refused by the code of its image, so
// it asks again by itself, not often; one that was given a code by hand does not.
func TestRefusalTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := &cpns.EnrolmentCode{Server: "cpns.example.net:8443"}
		var asked atomic.Int32
		var takenBack atomic.Bool
		e, err := step0.New(step0.Config{
			Store: newMemory(), Log: slog.New(slog.DiscardHandler),
			Exchange: func(context.Context, step0.Question) (*step0.Answer, error) {
				asked.Add(1)
				if !takenBack.Load() {
					return &step0.Answer{Status: 403, Type: "application/problem+json", Body: []byte(`{"type":"` + cpns.ProblemEnrolmentRefused + `","detail":"no"}`)}, nil
				}
				return &step0.Answer{Status: 200, Type: "application/json", Body: []byte(`{"gateway_id":"gw-1","ca":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n","pins":["AAAAAAAAAAAAAAAAAAAAAA"]}`)}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.Run(ctx) })
		defer running.Wait()
		defer cancel()
		want := func(when string, n int32, state string) {
			t.Helper()
			synctest.Wait()
			if got, asked := e.Status().State, asked.Load(); got != state || asked != n {
				t.Errorf("%s: %s after %d questions, want %s after %d", when, got, asked, state, n)
			}
		}
		if err := e.Begin(code, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * 24 * time.Hour)
		want("by hand", 1, step0.StateRefused)
		if err := e.Configured(code); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Hour)
		want("by the configuration", 2, step0.StateRefused)
		time.Sleep(5 * time.Hour)
		want("half a day later", 3, step0.StateRefused)
		time.Sleep(7*time.Hour + 55*time.Minute)
		want("before a day is over", 3, step0.StateRefused)
		takenBack.Store(true)
		time.Sleep(7 * time.Hour)
		want("taken back", 4, step0.StateEnrolled)
		time.Sleep(10 * 24 * time.Hour)
		want("at the end", 4, step0.StateEnrolled)
	})
}

// TestDamagedRecord: a record that is none is an error, and its content is not in it.
func TestDamagedRecord(t *testing.T) {
	for _, text := range []string{"", "{}", `{"key":"c2VjcmV0"}`, "secret"} {
		store := newMemory()
		store.records["this gateway"] = []byte(text)
		_, err := step0.New(step0.Config{Store: store, Exchange: exchange, Log: slog.New(slog.DiscardHandler)})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
