package againstserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/internal/sleep"
)

// base64url is how the JSON of step 0 has bytes.
var base64url = base64.RawURLEncoding.Strict()

// A Unit is a gateway's key pair, with the certificate that it is shown in.
type Unit struct {
	cert tls.Certificate
	fp   [sha256.Size]byte // SHA-256 of its SubjectPublicKeyInfo
}

// NewKey makes a P-256 key pair, to keep.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// NewUnit makes one that is not kept.
func NewUnit() (*Unit, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	return UnitOf(key)
}

// UnitOf is a key pair that was made before.
func UnitOf(key *ecdsa.PrivateKey) (*Unit, error) {
	if key.Curve != elliptic.P256() {
		return nil, errors.New("a gateway's key is P-256")
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CPNS PN GW"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Unit{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, sha256.Sum256(spki)}, nil
}

// fingerprint is what people compare.
func (u *Unit) fingerprint() string {
	letters := base32.StdEncoding.EncodeToString(u.fp[:20])
	var groups []string
	for group := range slices.Chunk([]byte(letters), 4) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, "-")
}

// A Code is an enrolment code that was read.
type Code struct {
	Pin    [16]byte
	Secret []byte // nil for none
	ID     string // "" for none
}

// verify says whether the server is the one that the pin is of.
func (c *Code) verify(cs *tls.ConnectionState, name string) error {
	if !pinned(cs.PeerCertificates, name, [][]byte{c.Pin[:]}) {
		return errors.New("the server's certificate is not the one that the code's pin is of, nor signed by it")
	}
	return nil
}

func pinOf(c *x509.Certificate) []byte {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return sum[:16]
}

// pinned reports whether a pin is of the server's own key, or of one that its certificate
// verifies up to. The certificates are those that the server sent.
func pinned(sent []*x509.Certificate, name string, pins [][]byte) bool {
	has := func(c *x509.Certificate) bool {
		return slices.ContainsFunc(pins, func(p []byte) bool { return string(p) == string(pinOf(c)) })
	}
	if len(sent) == 0 {
		return false
	}
	if has(sent[0]) {
		return true
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range sent[1:] {
		if has(c) {
			roots.AddCert(c)
		} else {
			between.AddCert(c)
		}
	}
	_, err := sent[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between})
	return err == nil
}

// as connects with a unit's certificate, nil for none, over TLS 1.3.
func (s *Server) as(ctx context.Context, u *Unit) (*connection, error) {
	return s.connect(ctx, func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS13
		if u != nil {
			c.Certificates = []tls.Certificate{u.cert}
		}
	})
}

func (c *connection) export(label string, context []byte) []byte {
	cs := c.ConnectionState()
	exported, err := cs.ExportKeyingMaterial(label, context, 32)
	if err != nil {
		panic(err) // TLS 1.3 always has one
	}
	return exported
}

// proof shows the secret of a code on a connection.
func (c *connection) proof(u *Unit, secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("CPNS enrolment\x00"))
	mac.Write(u.fp[:])
	mac.Write(c.export("EXPERIMENTAL CPNS enrolment", nil))
	return mac.Sum(nil)
}

// exporting is PSK1 of a connection.
func (c *connection) psk1(u *Unit, identity string) []byte {
	return c.export("EXPERIMENTAL CPNS PSK1", slices.Concat([]byte("cpns1\x00"), u.fp[:], []byte(identity)))
}

// enrolment is the message that asks to be taken in.
func (s *Server) enrolment(id string, proof []byte) []byte {
	in := map[string]any{"gateway_id": nil, "proof": nil, "model": "cpns-conform", "serial": "", "macs": []string{}}
	if id != "" {
		in["gateway_id"] = id
	}
	if proof != nil {
		in["proof"] = base64url.EncodeToString(proof)
	}
	body, err := json.Marshal(in)
	if err != nil {
		panic(err) // strings only
	}
	return s.message("POST", enrolmentPath, body, field{"Content-Type", "application/json"})
}

// patiently sends on a connection of a unit's own what ask makes of it, and again where
// the server asks for a little patience.
func (s *Server) patiently(ctx context.Context, t *conform.T, what string, u *Unit, ask func(*connection) []byte) (*answer, *connection, error) {
	for tries := 0; ; tries++ {
		c, err := s.as(ctx, u)
		if err != nil {
			return nil, nil, err
		}
		a, err := c.exchange(ctx, t, what, ask(c))
		c.Close()
		if err != nil {
			return nil, nil, err
		}
		wait, asked := a.retryAfter()
		if a.status != 429 && a.status != 503 || !asked || wait > patience || tries == 3 {
			return a, c, nil
		}
		if err := sleep.For(ctx, wait); err != nil {
			return nil, nil, err
		}
	}
}

// given is a PSK1 that the server has given, with what it said of it.
type given struct {
	PSK1
	lifetime     int64
	confirmation []byte
	pins         [][]byte
}

// askPSK1 asks for a PSK1.
func (s *Server) askPSK1(ctx context.Context, t *conform.T, u *Unit) (*given, error) {
	a, c, err := s.patiently(ctx, t, "request for a PSK1", u, func(*connection) []byte {
		return s.message("POST", psk1Path, nil, field{"Content-Type", ""})
	})
	if err != nil {
		return nil, err
	}
	if a.status != 200 {
		return nil, errors.New(a.String())
	}
	var out struct {
		Identity     string
		Lifetime     int64
		Confirmation string
		Pins         []string
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	g := &given{PSK1: PSK1{out.Identity, c.psk1(u, out.Identity)}, lifetime: out.Lifetime}
	if g.confirmation, err = base64url.DecodeString(out.Confirmation); err != nil {
		return nil, fmt.Errorf("confirmation %q: %w", out.Confirmation, err)
	}
	if g.pins, err = parsePins(out.Pins); err != nil {
		return nil, err
	}
	if a.header.Get("Content-Type") != "application/json" {
		return nil, fmt.Errorf("Content-Type %q", a.header.Get("Content-Type"))
	}
	return g, nil
}

func parsePins(texts []string) (pins [][]byte, err error) {
	for _, text := range texts {
		pin, err := base64url.DecodeString(text)
		if err != nil || len(pin) != 16 {
			return nil, fmt.Errorf("pin %q is not base64url of 16 bytes", text)
		}
		pins = append(pins, pin)
	}
	return pins, nil
}

// approval is what an enrolment that was approved is told.
type approval struct {
	id   string
	ca   *x509.Certificate
	pins [][]byte
}

func (a *answer) approval() (*approval, error) {
	if a.status != 200 {
		return nil, errors.New(a.String())
	}
	var out struct {
		GatewayID string `json:"gateway_id"`
		CA        string
		Pins      []string
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	is := &approval{id: out.GatewayID}
	block, rest := pem.Decode([]byte(out.CA))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New(`"ca" is not one certificate in PEM`)
	}
	var err error
	if is.ca, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, err
	}
	is.pins, err = parsePins(out.Pins)
	return is, err
}

// enrol asks to be taken in by the code, or without its proof.
func (s *Server) enrol(ctx context.Context, t *conform.T, u *Unit, proved bool) (*answer, error) {
	a, _, err := s.patiently(ctx, t, "enrolment", u, func(c *connection) []byte {
		var proof []byte
		if proved {
			proof = c.proof(u, s.Code.Secret)
		}
		return s.enrolment(s.Code.ID, proof)
	})
	return a, err
}

// enrolFirst has the gateway taken in before the first case, and gets its PSK1.
func (s *Server) enrolFirst(ctx context.Context) error {
	var t conform.T
	a, err := s.enrol(ctx, &t, s.Unit, s.Code.Secret != nil)
	switch {
	case err != nil:
		return s.unreached(err)
	case a.status == 202:
		return fmt.Errorf("the gateway with the fingerprint %s waits for a person: have it approved at the server, then give the same command again", s.Unit.fingerprint())
	case a.status != 200:
		return fmt.Errorf("enrolling at %s: %s", s.address, a)
	}
	g, err := s.askPSK1(ctx, &t, s.Unit)
	if err != nil {
		return fmt.Errorf("asking %s for a PSK1: %w", s.address, err)
	}
	if s.psk == nil {
		s.psk = &g.PSK1
	}
	return nil
}
