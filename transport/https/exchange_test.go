package https

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/transport"
)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate, signed by by or by itself.
func issue(t *testing.T, by *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	change(c)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func asAuthority(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.Subject.CommonName = true, x509.KeyUsageCertSign, "authority"
}

func loopback(c *x509.Certificate) {
	c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

// exchangeServer answers with what it exports itself.
func exchangeServer(t *testing.T, change func(*tls.Config), leaf *issued, chain ...*issued) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		km, err := r.TLS.ExportKeyingMaterial("EXPERIMENTAL test", []byte("context"), 32)
		if err != nil || len(r.TLS.PeerCertificates) != 1 || !bytes.Equal(body, km) || r.TLS.DidResume {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(km)
	}))
	shown := tls.Certificate{PrivateKey: leaf.key, Certificate: [][]byte{leaf.cert.Raw}}
	for _, c := range chain {
		shown.Certificate = append(shown.Certificate, c.cert.Raw)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{shown}, ClientAuth: tls.RequireAnyClientCert}
	change(server.TLS)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func exchange(t *testing.T, url string, now time.Time, pins ...Pin) error {
	t.Helper()
	mine := issue(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = "CPNS PN GW" })
	cfg := ExchangeConfig{
		Server: url, Pins: pins, Timeout: 5 * time.Second, Now: func() time.Time { return now },
		Certificate: tls.Certificate{PrivateKey: mine.key, Certificate: [][]byte{mine.cert.Raw}},
	}
	for range 2 { // the second is no resumption
		got, err := Exchange(t.Context(), cfg, "/", func(e Exporter) ([]byte, error) { return e("EXPERIMENTAL test", []byte("context"), 32) })
		if err != nil {
			return err
		}
		want, err := got.Export("EXPERIMENTAL test", []byte("context"), 32)
		if err != nil || got.Status != http.StatusOK || !bytes.Equal(got.Body, want) {
			t.Fatalf("status %d, the exporters differ or the session was resumed: %v", got.Status, err)
		}
	}
	return nil
}

// TestPins: what satisfies a pin, and what only looks like it.
func TestPins(t *testing.T) {
	ca := issue(t, nil, asAuthority)
	otherCA := issue(t, nil, asAuthority)
	intermediate := issue(t, ca, asAuthority)
	plain := func(*tls.Config) {}
	leafOf := func(by *issued, change ...func(*x509.Certificate)) *issued {
		return issue(t, by, func(c *x509.Certificate) {
			loopback(c)
			for _, f := range change {
				f(c)
			}
		})
	}
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	}
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }
	noCA := issue(t, ca, func(c *x509.Certificate) {})
	now, start := time.Now(), time.Unix(0, 0)

	own, old, under, below := leafOf(nil), leafOf(nil, expired), leafOf(ca), leafOf(intermediate)
	tests := []struct {
		name   string
		server *httptest.Server
		now    time.Time
		pin    Pin
		good   bool
	}{
		{"own key", exchangeServer(t, plain, own), now, shortPin(own.cert), true},
		{"own key at 1970", exchangeServer(t, plain, own), start, shortPin(own.cert), true},
		{"own key, expired", exchangeServer(t, plain, old), now, shortPin(old.cert), true},
		{"own key, another name", exchangeServer(t, plain, leafOf(nil, elsewhere)), now, Pin{}, false},
		{"authority", exchangeServer(t, plain, under, ca), now, shortPin(ca.cert), true},
		{"authority above another", exchangeServer(t, plain, below, intermediate, ca), now, shortPin(ca.cert), true},
		{"the one between", exchangeServer(t, plain, below, intermediate, ca), now, shortPin(intermediate.cert), true},
		{"authority, 1970", exchangeServer(t, plain, under, ca), start, shortPin(ca.cert), false},
		{"authority, expired", exchangeServer(t, plain, leafOf(ca, expired), ca), now, shortPin(ca.cert), false},
		{"authority, another name", exchangeServer(t, plain, leafOf(ca, elsewhere), ca), now, shortPin(ca.cert), false},
		{"authority merely sent along", exchangeServer(t, plain, leafOf(nil), ca), now, shortPin(ca.cert), false},
		{"another authority's, right one sent along", exchangeServer(t, plain, leafOf(otherCA), otherCA, ca), now, shortPin(ca.cert), false},
		{"authority not sent", exchangeServer(t, plain, under), now, shortPin(ca.cert), false},
		{"no authority", exchangeServer(t, plain, leafOf(noCA), noCA, ca), now, shortPin(noCA.cert), false},
		{"another key", exchangeServer(t, plain, own), now, shortPin(under.cert), false},
	}
	for _, test := range tests {
		err := exchange(t, test.server.URL, test.now, Pin{1}, test.pin)
		var gone *transport.UnreachableError
		if test.good && err != nil || !test.good && (!errors.As(err, &gone) || !strings.Contains(gone.Advice, "somebody may be in between")) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestPinsForAssignments: the same pins hold for the connections of Post.
func TestPinsForAssignments(t *testing.T) {
	ca := issue(t, nil, asAuthority)
	leaf := issue(t, ca, loopback)
	for _, test := range []struct {
		pin   Pin
		chain []*issued
		good  bool
	}{{shortPin(leaf.cert), nil, true}, {shortPin(ca.cert), []*issued{ca}, true}, {shortPin(ca.cert), nil, false}, {Pin{1}, []*issued{ca}, false}} {
		server := exchangeServer(t, func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }, leaf, test.chain...)
		c, err := New(Config{Server: server.URL, Path: "/", ContentType: "application/json", Pins: func() []Pin { return []Pin{test.pin} }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Post(t.Context(), nil)
		var refused *transport.RefusedError // the handler's: it was reached
		if errors.As(err, &refused) != test.good {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestPinsBesides: what is configured beside the pins holds as well, and pins that are
// replaced count from the next request on.
func TestPinsBesides(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "another")
	cert := ca.issue(t, leaf{})
	server := exchangeServer(t, func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }, &issued{cert.Leaf, cert.PrivateKey.(*ecdsa.PrivateKey)})
	pins := []Pin{shortPin(cert.Leaf)}
	client := func(change func(*Config)) *Client {
		t.Helper()
		cfg := Config{Server: server.URL, Path: "/", ContentType: "application/json", Pins: func() []Pin { return pins }}
		change(&cfg)
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	wrongPin := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, tt := range []struct {
		change func(*Config)
		want   string // in the reason; "": the server was reached
	}{
		{func(c *Config) { c.CAFile = ca.file }, ""},
		{func(c *Config) { c.CAFile = other.file }, other.file + " (option ca) vouches for"},
		{func(c *Config) { c.PinSPKI = pinOf(cert) }, ""},
		{func(c *Config) { c.PinSPKI = wrongPin }, "not the pinned one"},
		{func(c *Config) { c.CAFile, c.PinSPKI = ca.file, wrongPin }, "not the pinned one"},
	} {
		_, err := client(tt.change).Post(t.Context(), nil)
		if tt.want == "" {
			asRefused(t, err) // by the handler
		} else if u := asUnreachable(t, err); !strings.Contains(u.Reason, tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}

	c := client(func(*Config) {})
	for _, step := range []struct {
		pins []Pin
		good bool
	}{{pins, true}, {[]Pin{{1}}, false}, {pins, true}} {
		pins = step.pins
		_, err := c.Post(t.Context(), nil)
		if errors.As(err, new(*transport.RefusedError)) != step.good {
			t.Errorf("with the pins %v: %v", step.pins, err)
		}
	}
}

func TestExchangeRefuses(t *testing.T) {
	leaf := issue(t, nil, loopback)
	old := exchangeServer(t, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, leaf)
	if err := exchange(t, old.URL, time.Now(), shortPin(leaf.cert)); err == nil || !strings.Contains(err.Error(), "old TLS") {
		t.Errorf("TLS 1.2: %v", err)
	}
	slow := exchangeServer(t, func(*tls.Config) {}, leaf)
	slow.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Exchange(ctx, ExchangeConfig{Server: slow.URL, Pins: []Pin{shortPin(leaf.cert)}}, "/", nil); err == nil {
		t.Error("a server that never answers is waited for")
	}
	if _, err := Exchange(t.Context(), ExchangeConfig{Server: slow.URL}, "/", nil); err == nil {
		t.Error("without a pin anybody would do")
	}
}
