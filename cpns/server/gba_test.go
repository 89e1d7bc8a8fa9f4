package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/bsf"
	"cpns.example.net/pngw/gba"
	"cpns.example.net/pngw/scripts/gbalab/lab"
)

var agreedUA = [5]byte{3, 0, 0, 0, 1}

const nafHost = "cpns.example.net"

// An operator is a BSF and a gateway's SIM of its.
type operator struct {
	t     *testing.T
	bsf   *lab.BSF
	web   *httptest.Server
	card  *gba.Modem
	impi  string
	asked atomic.Int32
	spoil func(http.ResponseWriter) bool // answers in place of the BSF
	proto string
}

const subscribers = `[{"imsi":"001010123456789","impi":"001010123456789@ims.mnc001.mcc001.3gppnetwork.org",
	"k":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","opc":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5","amf":"8000","sqn":64}]`

func newOperator(t *testing.T) *operator {
	t.Helper()
	file := filepath.Join(t.TempDir(), "subscribers.json")
	must(t, os.WriteFile(file, []byte(subscribers), 0o600))
	sims, err := lab.LoadSubscribers(file)
	must(t, err)
	o := &operator{t: t, impi: sims[0].IMPI}
	o.bsf = lab.NewBSF("127.0.0.1", time.Hour, sims)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", o.bsf.Ub)
	mux.HandleFunc(lab.RetrievalPath, func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		o.proto = r.Proto
		if o.spoil != nil && o.spoil(w) {
			return
		}
		if r.Header.Get("Authorization") != "Bearer sesame" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		o.bsf.Nbsp(w, r)
	})
	o.web = httptest.NewUnstartedServer(mux)
	o.web.EnableHTTP2 = true
	o.web.StartTLS()
	t.Cleanup(o.web.Close)
	modem := lab.Modem{SIM: sims[0]}
	o.card = &gba.Modem{Open: func(context.Context) (gba.Port, error) {
		here, there := net.Pipe()
		go func() { modem.Serve(there); there.Close() }()
		return here, nil
	}}
	return o
}

// client is the server's way to the BSF.
func (o *operator) client() *bsf.Client {
	o.t.Helper()
	token := filepath.Join(o.t.TempDir(), "token")
	must(o.t, os.WriteFile(token, []byte("sesame\n"), 0o600))
	c, err := bsf.New(bsf.Config{
		URL: o.web.URL, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.web.Certificate().Raw}),
		TokenFile: token, NAFHost: nafHost, UA: agreedUA,
	})
	must(o.t, err)
	return c
}

// bootstrap is the gateway's half: its SIM and the BSF agree on a key.
func (o *operator) bootstrap() given {
	o.t.Helper()
	got, err := gba.Bootstrap(o.t.Context(), gba.Config{BSF: o.web.URL, Card: o.card, HTTP: o.web.Client(), Now: time.Now})
	must(o.t, err)
	key, err := got.KsNAF(gba.NAFID(nafHost, agreedUA))
	must(o.t, err)
	return given{identity: cpns.PSKIdentity(got.BTID), psk: key[:]}
}

func newGBASite(t *testing.T) (*site, *operator) {
	t.Helper()
	o := newOperator(t)
	r := newRigWith(t, func(c *server.Config) { c.BSF = o.client() })
	r.clock.advance(time.Since(r.clock.Now())) // the BSF's
	return &site{rig: r}, o
}

// TestGBA: the server has the key of a B-TID from the BSF, asks once, and knows the
// gateway by the SIM's IMPI.
func TestGBA(t *testing.T) {
	s, o := newGBASite(t)
	first := o.bootstrap()
	s.wantUnder(t, "an IMPI that is no gateway's", first, 401)
	must(t, s.op.AddGatewayIMPI(t.Context(), "gw-sim", o.impi))
	s.wantUnder(t, "an IMPI that was no gateway's just now", first, 401)
	if n := o.asked.Load(); n != 1 {
		t.Errorf("the BSF was asked %d times", n)
	}
	s.clock.advance(31 * time.Second)
	for range 3 {
		s.wantUnder(t, "of a gateway", first, 200)
	}
	if n := o.asked.Load(); n != 2 || o.proto != "HTTP/2.0" {
		t.Errorf("the BSF was asked %d times, last by %s", n, o.proto)
	}
	if e := s.events(); e[len(e)-2].Gateway != "gw-sim" {
		t.Errorf("got the events %+v", e)
	}
	// Bootstrapped anew: the key before is good for ten minutes more.
	next := o.bootstrap()
	s.wantUnder(t, "the next", next, 200)
	s.clock.advance(11 * time.Minute)
	s.wantUnder(t, "the one before", first, 401)
	s.wantUnder(t, "the next still", next, 200)
	s.clock.advance(time.Hour)
	s.wantUnder(t, "at its end", next, 401)
	must(t, s.op.RemoveGateway(t.Context(), "gw-sim"))
	s.wantUnder(t, "of a removed gateway", o.bootstrap(), 401)
	if err := s.op.AddGatewayIMPI(t.Context(), "gw-1", "x@y"); !errors.Is(err, server.ErrExists) {
		t.Errorf("an ID that is there: %v", err)
	}
}

// TestBSFTrouble: whatever the BSF does, the gateway is told to come back and its
// address pays nothing; then all is well.
func TestBSFTrouble(t *testing.T) {
	s, o := newGBASite(t)
	must(t, s.op.AddGatewayIMPI(t.Context(), "gw-sim", o.impi))
	key := o.bootstrap()
	answer := func(status int, kind, body string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			w.Write([]byte(body))
			return true
		}
	}
	good := `{"meKeyMaterial":"` + strings.Repeat("00", 32) + `","keyExpiryTime":"2099-01-01T00:00:00Z","impi":"a@b"}`
	for name, spoil := range map[string]func(http.ResponseWriter) bool{
		"down":                 answer(503, "application/problem+json", "{}"),
		"forbidden":            answer(403, "application/problem+json", "{}"),
		"another's 404":        answer(404, "text/html", "not found"),
		"redirect":             answer(307, "application/json", good),
		"no JSON":              answer(200, "application/json", "hello"),
		"HTML":                 answer(200, "text/html", good),
		"too long":             answer(200, "application/json", good+strings.Repeat(" ", 16<<10)),
		"a short key":          answer(200, "application/json", strings.Replace(good, "0000", "00", 1)),
		"no key":               answer(200, "application/json", `{"keyExpiryTime":"2099-01-01T00:00:00Z","impi":"a@b"}`),
		"no end":               answer(200, "application/json", strings.Replace(good, "2099", "soon", 1)),
		"no IMPI":              answer(200, "application/json", strings.Replace(good, "a@b", "", 1)),
		"an IMPI of two lines": answer(200, "application/json", strings.Replace(good, "a@b", `a\n@b`, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			s.clock.advance(2 * time.Second)
			o.spoil = spoil
			body, err := cpns.SealRequest(key.psk, key.identity, [cpns.IVSize]byte{}, s.request("alice", "pne-1"))
			must(t, err)
			res, answer := s.post(body)
			wantProblem(t, res, answer, 503)
			wantRetryAfter(t, res, 10, 10)
		})
	}
	o.spoil = nil
	s.clock.advance(time.Minute)
	s.wantUnder(t, "once the BSF is well", key, 200)
	if log := s.log.String(); strings.Contains(log, strings.Repeat("00", 32)) || strings.Contains(log, "sesame") {
		t.Error("the log has a key or the token")
	}
}

// TestBSFBudgets: made-up B-TIDs are asked for so many times and no more, and each once.
func TestBSFBudgets(t *testing.T) {
	s, o := newGBASite(t)
	stranger := func() given {
		return given{identity: cpns.PSKIdentity(base64.StdEncoding.EncodeToString(random(t, 16)) + "@127.0.0.1"), psk: random(t, 32)}
	}
	same := stranger()
	for range 3 {
		s.wantUnder(t, "made up", same, 401)
	}
	s.wantUnder(t, "no B-TID", given{identity: "gw-nobody", psk: random(t, 32)}, 401)
	if n := o.asked.Load(); n != 1 {
		t.Errorf("the BSF was asked %d times for one B-TID", n)
	}
	for range 30 {
		s.askUnder(t, stranger())
	}
	if n := o.asked.Load(); n != 20 {
		t.Errorf("the BSF was asked %d times, want 20", n)
	}
	s.wantUnder(t, "one more", stranger(), 429)
}

// TestBSFConfig refuses what would give keys away, and what cannot be.
func TestBSFConfig(t *testing.T) {
	for _, c := range []bsf.Config{
		{NAFHost: "x", URL: "http://bsf.example.net"}, {NAFHost: "x", URL: "bsf.example.net"}, {NAFHost: "x"}, {URL: "https://bsf.example.net"},
		{NAFHost: "x", URL: "https://bsf.example.net/?a"}, {NAFHost: "x", URL: "https://u:p@bsf.example.net"},
		{NAFHost: "x", URL: "https://bsf.example.net", CA: []byte("no")},
	} {
		if _, err := bsf.New(c); err == nil {
			t.Errorf("taken: %+v", c)
		}
	}
	// Another CA than the BSF's, and a BSF that hangs.
	o := newOperator(t)
	c, err := bsf.New(bsf.Config{URL: o.web.URL, NAFHost: nafHost})
	must(t, err)
	_, err = c.Retrieve(t.Context(), "a@b")
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("got %v", err)
	}
	hang := make(chan struct{})
	defer close(hang)
	o.spoil = func(http.ResponseWriter) bool { <-hang; return true }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := o.client().Retrieve(ctx, "a@b"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a BSF that hangs: %v", err)
	}
}

// TestPSK1EndsSIM: a gateway that was known by its SIM and goes over to TLS is known by
// that alone from its first request on: whoever has the SIM is no gateway any more.
func TestPSK1EndsSIM(t *testing.T) {
	o := newOperator(t)
	r := newRigWith(t, func(c *server.Config) { c.BSF = o.client(); withStep0(c) })
	r.clock.advance(time.Since(r.clock.Now())) // the BSF's
	s := &site{r, serve(t, r)}
	must(t, s.op.AddGatewayIMPI(t.Context(), "gw-sim", o.impi))
	sim := o.bootstrap()
	s.wantUnder(t, "the SIM's", sim, 200)
	u := newUnit(t)
	s.enrol(t, u, s.invite(t, "gw-sim", 1), nil).wantPending(t, u)
	_, err := s.op.Approve(t.Context(), server.Approval{Fingerprint: u.key.Fingerprint()})
	if conflict, ok := errors.AsType[*server.ConflictError](err); !ok || !strings.Contains(conflict.Error(), "known by its SIM") {
		t.Errorf("in the place of a SIM: %v", err)
	}
	_, err = s.op.Approve(t.Context(), server.Approval{Fingerprint: u.key.Fingerprint(), Replace: true})
	must(t, err)
	got := s.psk1(t, u)
	s.wantUnder(t, "the SIM's, until one from TLS is used", sim, 200)
	s.wantUnder(t, "from TLS", got, 200)
	s.wantUnder(t, "the SIM's", sim, 401)
	s.clock.advance(31 * time.Second)
	s.wantUnder(t, "the SIM's next", o.bootstrap(), 401)
	s.wantUnder(t, "from TLS still", got, 200)
	must(t, s.op.AddGatewayIMPI(t.Context(), "gw-other", o.impi)) // the SIM is free
}
