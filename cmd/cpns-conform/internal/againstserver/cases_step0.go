package againstserver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/internal/sleep"
)

// step0 is where PSK1 comes from by TLS, and how a gateway gets there.
var step0 = []testCase{
	{Name: "psk1-given", Clause: "8, tls", Says: "a gateway that is known by its key gets an identity of 1 to 128 characters and a lifetime of 60 to 31536000 seconds",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			g := s.wantPSK1(ctx, t)
			if n := len(g.Identity); n < 1 || n > 128 || strings.ContainsFunc(g.Identity, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
				t.Fail("an identity of 1 to 128 characters of printable ASCII", fmt.Sprintf("%q", g.Identity))
			}
			if g.lifetime < 60 || g.lifetime > 31536000 {
				t.Fail("a lifetime of 60 to 31536000 seconds", fmt.Sprint(g.lifetime))
			}
		}},
	{Name: "psk1-confirmed", Clause: "8, confirmation", Says: "the confirmation is made with the exporter of the connection that carried the request",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			g := s.wantPSK1(ctx, t)
			mac := hmac.New(sha256.New, g.Key)
			mac.Write([]byte("CPNS PSK1 server\x00" + g.Identity))
			if want := mac.Sum(nil); !bytes.Equal(g.confirmation, want) {
				t.Fail(fmt.Sprintf("%x", want), fmt.Sprintf("%x: the server has another PSK1, or something in between ends TLS", g.confirmation))
			}
		}},
	{Name: "psk1-pins", Clause: "8, pins", Says: "a pin among those of an answer holds for this server",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			if g := s.wantPSK1(ctx, t); g.pins != nil {
				s.wantPinned(ctx, t, g.pins)
			}
		}},
	{Name: "psk1-used", Clause: "8, tls", Says: "the server takes a request under the PSK1 that both exported",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.use(ctx, t, s.wantPSK1(ctx, t))
		}},
	{Name: "psk1-bound", Clause: "8, exporter", Says: "what another connection exports for the same identity is not PSK1",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			g := s.wantPSK1(ctx, t)
			c, err := s.as(ctx, s.Unit)
			if err != nil {
				t.Undecided("no connection: %v", err)
			}
			defer c.Close()
			other := &PSK1{g.Identity, c.psk1(s.Unit, g.Identity)}
			s.wantHTTP(ctx, t, 401, "sealed under what another connection exports", s.seal(other, s.request()))
		}},
	{Name: "psk1-another", Clause: "8, tls", Says: "each request makes another PSK1 with another identity, and the one before is good until ten minutes after the next was used",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			first := s.wantPSK1(ctx, t)
			s.use(ctx, t, first)
			second := s.wantPSK1(ctx, t)
			if first.Identity == second.Identity {
				t.Fail("two identities", fmt.Sprintf("%q twice", first.Identity))
			}
			s.use(ctx, t, second)
			s.use(ctx, t, first)
		}},
	{Name: "psk1-unknown", Clause: "8, HTTP 403", Says: "a key that is no gateway's gets HTTP 403 urn:cpns:gateway-unknown",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			s.wantProblem(ctx, t, 403, "urn:cpns:gateway-unknown", newUnit(t), func(*connection) []byte {
				return s.message("POST", psk1Path, nil, field{"Content-Type", ""})
			})
		}},
	{Name: "psk1-certificate", Clause: "8, HTTP 400", Says: "without a client certificate there is no PSK1",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			s.wantNone(ctx, t, "without a certificate", s.message("POST", psk1Path, nil), func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 })
		}},
	{Name: "psk1-tls13", Clause: "8, HTTP 400", Says: "over TLS 1.2 there is no PSK1",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			s.wantNone(ctx, t, "over TLS 1.2", s.message("POST", psk1Path, nil), func(c *tls.Config) {
				c.MaxVersion = tls.VersionTLS12
				c.Certificates = []tls.Certificate{s.Unit.cert}
			})
		}},
	{Name: "psk1-resumed", Clause: "8, HTTP 400", Says: "a resumed session carries no PSK1", Run: resumed},
	{Name: "psk1-body", Clause: "8, HTTP 400", Says: "a request for a PSK1 that has a body gets HTTP 400",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			s.wantProblem(ctx, t, 400, "", s.Unit, func(*connection) []byte { return s.message("POST", psk1Path, []byte("{}")) })
		}},
	{Name: "psk1-method", Clause: "8", Says: "step 0 by another method than POST gets HTTP 405",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			for _, path := range []string{psk1Path, enrolmentPath} {
				s.wantProblem(ctx, t, 405, "", s.Unit, func(*connection) []byte { return s.message("GET", path, nil) })
			}
		}},
	{Name: "enrol-again", Clause: "8, Enrolment", Says: "a gateway that was approved gets the same answer to each repeat, with a CA and pins that this server is known by",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			var ids []string
			for _, proved := range []bool{s.Code.Secret != nil, false} {
				a, err := s.enrol(ctx, t, s.Unit, proved)
				var is *approval
				if err == nil {
					is, err = a.approval()
				}
				if err != nil {
					t.Fail("HTTP 200 with gateway_id, ca and pins", err.Error())
				}
				s.wantPinned(ctx, t, is.pins)
				ids = append(ids, is.id)
			}
			if ids[0] != ids[1] || ids[0] == "" {
				t.Fail("one gateway_id", fmt.Sprintf("%q", ids))
			}
		}},
	{Name: "enrol-pending", Clause: "8, HTTP 202", Says: "a key without a proof waits for a person: HTTP 202 with its fingerprint and Retry-After, and HTTP 403 urn:cpns:gateway-pending where it asks for a PSK1",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			u := newUnit(t)
			a, _, err := s.patiently(ctx, t, "enrolment without a proof", u, func(*connection) []byte { return s.enrolment("", nil) })
			if err != nil {
				t.Fail("HTTP 202", err.Error())
			}
			var out struct{ Fingerprint string }
			_, waits := a.retryAfter()
			if err := json.Unmarshal(a.body, &out); err != nil || a.status != 202 || out.Fingerprint != u.fingerprint() || !waits {
				t.Fail(fmt.Sprintf("HTTP 202 with the fingerprint %s and Retry-After", u.fingerprint()), fmt.Sprintf("%s, Retry-After %q", a, a.header.Get("Retry-After")))
			}
			s.wantProblem(ctx, t, 403, "urn:cpns:gateway-pending", u, func(*connection) []byte {
				return s.message("POST", psk1Path, nil, field{"Content-Type", ""})
			})
		}},
	{Name: "enrol-proof", Clause: "8, HTTP 403", Says: "a proof that no secret has made gets HTTP 403 urn:cpns:enrolment-refused",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			s.wantProblem(ctx, t, 403, "urn:cpns:enrolment-refused", newUnit(t), func(*connection) []byte { return s.enrolment("", random(32)) })
		}},
	{Name: "enrol-bound", Clause: "8, proof", Says: "a proof that was made for another connection, or for another key, gets HTTP 403 urn:cpns:enrolment-refused",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.secret(t)
			thief := newUnit(t)
			other, err := s.as(ctx, s.Unit)
			if err != nil {
				t.Undecided("no connection: %v", err)
			}
			defer other.Close()
			s.wantProblem(ctx, t, 403, "urn:cpns:enrolment-refused", thief, func(*connection) []byte {
				return s.enrolment("", other.proof(thief, s.Code.Secret))
			})
			s.wantProblem(ctx, t, 403, "urn:cpns:enrolment-refused", thief, func(c *connection) []byte {
				return s.enrolment("", c.proof(s.Unit, s.Code.Secret))
			})
		}},
	{Name: "enrol-used", Clause: "8, HTTP 403", Says: "a code that names a gateway takes in no second key",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.secret(t)
			if s.Code.ID == "" {
				t.NotApplicable("the code names no gateway: it may be for several")
			}
			u := newUnit(t)
			a, err := s.enrol(ctx, t, u, true)
			if err != nil {
				t.Fail("HTTP 403", err.Error())
			}
			if kind := a.problem(); a.status != 403 || kind != "urn:cpns:code-used" && kind != "urn:cpns:code-expired" {
				t.Fail("HTTP 403 urn:cpns:code-used", a.String())
			}
		}},
	{Name: "enrol-malformed", Clause: "8, HTTP 400, 413, 415", Says: "what is no enrolment gets HTTP 400, what is longer than 4096 bytes 413, what is no JSON by its type 415",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.enrolled(t)
			kind := field{"Content-Type", "application/json"}
			for _, v := range []struct {
				status  int
				request []byte
			}{
				{400, s.message("POST", enrolmentPath, []byte("{"), kind)},
				{400, s.message("POST", enrolmentPath, []byte("[]"), kind)},
				{400, s.message("POST", enrolmentPath, []byte(`{"proof": "AAAA"}`), kind)},
				{400, s.message("POST", enrolmentPath, []byte(`{"gateway_id": "a b"}`), kind)},
				{413, s.message("POST", enrolmentPath, append([]byte(`{"model": "`), bytes.Repeat([]byte{'x'}, 4096)...), kind)},
				{415, s.message("POST", enrolmentPath, []byte("{}"), field{"Content-Type", "text/plain"})},
			} {
				s.wantProblem(ctx, t, v.status, "", newUnit(t), func(*connection) []byte { return v.request })
			}
		}},
}

// enrolled says that step 0 can be tried.
func (s *Server) enrolled(t *conform.T) {
	if s.Code == nil {
		t.NotApplicable("needs an enrolment code: --code-file")
	}
}

func (s *Server) secret(t *conform.T) {
	s.enrolled(t)
	if s.Code.Secret == nil {
		t.NotApplicable("the code has no secret")
	}
}

func newUnit(t *conform.T) *Unit {
	u, err := NewUnit()
	if err != nil {
		t.Undecided("making a key pair: %v", err)
	}
	return u
}

func (s *Server) wantPSK1(ctx context.Context, t *conform.T) *given {
	s.enrolled(t)
	g, err := s.askPSK1(ctx, t, s.Unit)
	if err != nil {
		t.Fail("HTTP 200 with identity, lifetime and confirmation", err.Error())
	}
	return g
}

// use sends a request under a PSK1. Where the gateway has none from a file, it is what
// later cases ask under: the server may forget the one before the one before.
func (s *Server) use(ctx context.Context, t *conform.T, g *given) {
	got := s.askBody(ctx, t, &g.PSK1, s.seal(&g.PSK1, s.request()))
	if got.status != statusSuccess {
		t.Fail(statusName(statusSuccess)+" under the PSK1 of identity "+g.Identity, statusName(got.status))
	}
	if s.PSK1 == nil {
		s.psk = &g.PSK1
	}
}

// wantPinned looks whether a gateway that has these pins would go on knowing the server.
func (s *Server) wantPinned(ctx context.Context, t *conform.T, pins [][]byte) {
	c, err := s.connect(ctx, nil)
	if err != nil {
		t.Undecided("no connection: %v", err)
	}
	defer c.Close()
	if !pinned(c.ConnectionState().PeerCertificates, s.tlsConfig().ServerName, pins) {
		t.Fail("a pin of the server's own key, or of one that its certificate verifies up to", fmt.Sprintf("%d pins of others", len(pins)))
	}
}

// problem is the type of an answer's problem details.
func (a *answer) problem() string {
	var p struct{ Type string }
	_ = json.Unmarshal(a.body, &p)
	return p.Type
}

// wantProblem wants an HTTP status and, unless kind is "", problem details of that type.
func (s *Server) wantProblem(ctx context.Context, t *conform.T, status int, kind string, u *Unit, ask func(*connection) []byte) {
	a, _, err := s.patiently(ctx, t, "request", u, ask)
	want := strings.TrimSpace(fmt.Sprintf("HTTP %d %s", status, kind))
	if err != nil {
		t.Fail(want, err.Error())
	}
	if a.status != status || kind != "" && a.problem() != kind {
		t.Fail(want, a.String())
	}
}

// wantNone sends a request for a PSK1 and wants anything but one.
func (s *Server) wantNone(ctx context.Context, t *conform.T, what string, request []byte, change func(*tls.Config)) {
	c, err := s.connect(ctx, change)
	if err != nil {
		return // refused with the handshake
	}
	defer c.Close()
	a, err := c.exchange(ctx, t, "a request "+what, request)
	if err == nil && a.status < 400 {
		t.Fail("no PSK1 "+what, a.String())
	}
}

func resumed(ctx context.Context, t *conform.T, s *Server) {
	s.enrolled(t)
	cache := tls.NewLRUClientSessionCache(4)
	with := func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS13
		c.ClientSessionCache = cache
		c.Certificates = []tls.Certificate{s.Unit.cert}
	}
	request := s.message("POST", psk1Path, nil, field{"Content-Type", ""})
	for range 3 {
		c, err := s.connect(ctx, with)
		if err != nil {
			t.Fail("a full handshake, where the session is not taken up", err.Error())
		}
		again := c.ConnectionState().DidResume
		a, err := c.exchange(ctx, t, "request for a PSK1", request)
		if err == nil && !a.closed {
			// A ticket may come behind the answer.
			c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			io.ReadFull(c.r, make([]byte, 1))
		}
		c.Close()
		if again && err == nil && a.status < 400 {
			t.Fail("HTTP 400 on a resumed session", a.String())
		}
		if err := sleep.For(ctx, time.Second); err != nil {
			return
		}
	}
}
