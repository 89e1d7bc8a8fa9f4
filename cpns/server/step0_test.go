package server_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

var testAnchors = server.Anchors{CA: []byte("-----BEGIN CERTIFICATE-----"), Pins: []cpns.Pin{{1, 2}, {3}}}

// A site is a served rig with step 0.
type site struct {
	*rig
	*served
}

func newSite(t *testing.T) *site {
	t.Helper()
	r := newRigWith(t, withStep0)
	return &site{r, serve(t, r)}
}

func withStep0(c *server.Config) { c.Anchors = func() server.Anchors { return testAnchors } }

// restart serves the same store anew.
func (s *site) restart(t *testing.T) *site {
	t.Helper()
	s.serve(withStep0)
	return &site{s.rig, serve(t, s.rig)}
}

// A unit is a gateway's key pair.
type unit struct {
	cert tls.Certificate
	key  cpns.SPKIHash
}

func newUnit(t testing.TB) *unit {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return unitOf(t, key, &key.PublicKey)
}

func unitOf(t testing.TB, key, public any) *unit {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CPNS PN GW"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return &unit{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, cpns.HashSPKI(leaf.RawSubjectPublicKeyInfo)}
}

// A reaction is what came back, and the connection that it came on.
type reaction struct {
	*http.Response
	body []byte
	tls  tls.ConnectionState
}

// on sends one request on a connection of its own, with what body makes of it.
func (s *site) on(t *testing.T, config *tls.Config, method, path string, body func(*tls.ConnectionState) []byte) *reaction {
	t.Helper()
	c, err := tls.Dial("tcp", s.addr, config)
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	state := c.ConnectionState()
	var content []byte
	if body != nil {
		content = body(&state)
	}
	req, err := http.NewRequest(method, "https://example.com"+path, bytes.NewReader(content))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	must(t, req.Write(c))
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	must(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	return &reaction{res, answer, state}
}

func (s *site) as(u *unit) *tls.Config {
	c := s.tls()
	if u != nil {
		c.Certificates = []tls.Certificate{u.cert}
	}
	return c
}

// enrol asks to be taken in, with a proof where there is a secret.
func (s *site) enrol(t *testing.T, u *unit, secret *cpns.EnrolmentSecret, more map[string]any) *reaction {
	t.Helper()
	return s.on(t, s.as(u), "POST", cpns.EnrolmentPath, func(cs *tls.ConnectionState) []byte {
		return enrolmentBody(t, u, secret, cs, more)
	})
}

func enrolmentBody(t testing.TB, u *unit, secret *cpns.EnrolmentSecret, cs *tls.ConnectionState, more map[string]any) []byte {
	t.Helper()
	in := map[string]any{"gateway_id": nil, "proof": nil, "model": "Box 1", "serial": "", "macs": []string{}}
	if secret != nil {
		exported, err := cs.ExportKeyingMaterial(cpns.ExporterEnrolment, nil, cpns.ExporterSize)
		must(t, err)
		proof := cpns.EnrolmentProof(secret, u.key, (*[cpns.ExporterSize]byte)(exported))
		in["proof"] = cpns.Base64.EncodeToString(proof[:])
	}
	for name, value := range more {
		in[name] = value
	}
	body, err := json.Marshal(in)
	must(t, err)
	return body
}

// wantKind wants a problem of a code and a type.
func (r *reaction) wantKind(t *testing.T, code int, kind string) {
	t.Helper()
	if got := wantProblem(t, r.Response, r.body, code); got.Type != kind {
		t.Errorf("got the problem %q (%s), want %q", got.Type, got.Detail, kind)
	}
}

// wantApproved wants the gateway to be taken in, and returns what it is called.
func (r *reaction) wantApproved(t *testing.T) cpns.GatewayID {
	t.Helper()
	var got struct {
		GatewayID string   `json:"gateway_id"`
		CA        string   `json:"ca"`
		Pins      []string `json:"pins"`
	}
	if r.StatusCode != 200 || json.Unmarshal(r.body, &got) != nil {
		t.Fatalf("got HTTP %s: %s", r.Status, r.body)
	}
	if got.CA != string(testAnchors.CA) || len(got.Pins) != 2 || got.Pins[0] != cpns.Base64.EncodeToString(testAnchors.Pins[0][:]) {
		t.Errorf("got the anchors %+v", got)
	}
	return cpns.GatewayID(got.GatewayID)
}

// wantPending wants the gateway to be told to wait for a person.
func (r *reaction) wantPending(t *testing.T, u *unit) {
	t.Helper()
	if want := `{"fingerprint":"` + u.key.Fingerprint() + `"}`; r.StatusCode != 202 || string(r.body) != want {
		t.Errorf("got HTTP %s: %s, want 202 and %s", r.Status, r.body, want)
	}
	wantRetryAfter(t, r.Response, 30, 30)
}

// invite makes an invitation.
func (s *site) invite(t *testing.T, id cpns.GatewayID, uses int) *cpns.EnrolmentSecret {
	t.Helper()
	secret, _, err := s.op.Invite(t.Context(), id, uses, 14*24*time.Hour)
	must(t, err)
	return secret
}

// A given is a PSK1 from TLS as the gateway has it.
type given struct {
	identity cpns.PSKIdentity
	psk      cpns.PSK1
	lifetime int
}

// psk1 asks for a PSK1 and checks what is confirmed.
func (s *site) psk1(t *testing.T, u *unit) given {
	t.Helper()
	res := s.on(t, s.as(u), "POST", cpns.PSK1Path, nil)
	var got struct {
		Identity     string
		Lifetime     int
		Confirmation string
		Pins         []string
	}
	if res.StatusCode != 200 || json.Unmarshal(res.body, &got) != nil {
		t.Fatalf("got HTTP %s: %s", res.Status, res.body)
	}
	id, err := cpns.ParsePSKIdentity(got.Identity)
	must(t, err)
	psk, err := res.tls.ExportKeyingMaterial(cpns.ExporterPSK1, cpns.PSK1Context(u.key, id), cpns.ExporterSize)
	must(t, err)
	want := cpns.Confirmation(psk, id)
	if got.Confirmation != cpns.Base64.EncodeToString(want[:]) {
		t.Errorf("the confirmation %q is not that of the exported PSK1", got.Confirmation)
	}
	if len(got.Pins) != 2 {
		t.Errorf("got the pins %q", got.Pins)
	}
	return given{id, psk, got.Lifetime}
}

// askUnder sends a request under a PSK1 and says what came: HTTP status, and whose.
func (s *site) askUnder(t *testing.T, g given) int {
	t.Helper()
	body, err := cpns.SealRequest(g.psk, g.identity, [cpns.IVSize]byte(random(t, cpns.IVSize)), s.request("alice", "pne-1"))
	must(t, err)
	res, answer := s.post(body)
	if res.StatusCode == 200 {
		got, err := cpns.OpenResponse(g.psk, g.identity, body, answer)
		must(t, err)
		if got.Status != cpns.Success {
			t.Errorf("got %v", got.Status)
		}
	}
	return res.StatusCode
}

func (s *site) wantUnder(t *testing.T, what string, g given, want int) {
	t.Helper()
	if got := s.askUnder(t, g); got != want {
		t.Errorf("%s: got HTTP %d, want %d", what, got, want)
	}
}

// TestStep0Connections refuses, with a text, what cannot carry step 0.
func TestStep0Connections(t *testing.T) {
	s := newSite(t)
	u := newUnit(t)
	old := s.as(u)
	old.MaxVersion = tls.VersionTLS12
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	// A session of a connection without a certificate, as that of an assignment.
	resuming := s.tls()
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	s.on(t, resuming, "GET", "/healthz", nil)
	resumed := s.on(t, resuming, "GET", "/healthz", nil)
	if !resumed.tls.DidResume {
		t.Error("a session without a certificate is not resumed")
	}
	for _, path := range []string{cpns.PSK1Path, cpns.EnrolmentPath} {
		for _, tt := range []struct {
			name   string
			config *tls.Config
			method string
			code   int
			text   string
		}{
			{"TLS 1.2", old, "POST", 400, "older version"},
			{"resumed", resuming, "POST", 400, "resumed the session"},
			{"no certificate", s.tls(), "POST", 400, "no client certificate was shown"},
			{"RSA", s.as(unitOf(t, rsaKey, &rsaKey.PublicKey)), "POST", 400, "another kind than P-256"},
			{"P-384", s.as(unitOf(t, other, &other.PublicKey)), "POST", 400, "another kind than P-256"},
			{"GET", s.as(u), "GET", 405, "POST"},
		} {
			t.Run(path+" "+tt.name, func(t *testing.T) {
				res := s.on(t, tt.config, tt.method, path, nil)
				if got := wantProblem(t, res.Response, res.body, tt.code); !strings.Contains(got.Detail, tt.text) {
					t.Errorf("got the text %q, want %q in it", got.Detail, tt.text)
				}
			})
		}
	}
	// No session on which a certificate was shown is ever resumed.
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := s.as(u)
		config.MaxVersion = version
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		s.on(t, config, "GET", "/healthz", nil)
		if s.on(t, config, "GET", "/healthz", nil).tls.DidResume {
			t.Errorf("%s: a session with a certificate was resumed", tls.VersionName(version))
		}
	}
	if len(s.pending(t)) != 0 {
		t.Error("something is pending")
	}
}

// pending are those who wait for a person, the first in front.
func (s *site) pending(t *testing.T) (all []server.Enrolment) {
	t.Helper()
	must(t, s.op.Pending(t.Context(), func(e server.Enrolment, _ []server.Conflict) error {
		all = append(all, e)
		return nil
	}))
	return all
}

// TestNoStep0 has no step 0 where nothing says what gateways know the server by.
func TestNoStep0(t *testing.T) {
	r := newRig(t)
	s := &site{r, serve(t, r)}
	for _, path := range []string{cpns.PSK1Path, cpns.EnrolmentPath} {
		s.on(t, s.as(newUnit(t)), "POST", path, nil).wantKind(t, 404, "")
	}
}
