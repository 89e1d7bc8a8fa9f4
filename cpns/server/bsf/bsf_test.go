package bsf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// issue makes a certificate for a NAF, by parent or of its own.
func issue(t *testing.T, name string, parent *tls.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	by, byKey := template, any(key)
	if parent != nil {
		by, byKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), byKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestClientCertificate: a BSF that wants one gets the operator's, over HTTP/2; without
// it, or with another's, there is no key, and that is no word about the B-TID.
func TestClientCertificate(t *testing.T) {
	operator, stranger := issue(t, "operator", nil), issue(t, "stranger", nil)
	naf := issue(t, "naf", operator)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.TLS.PeerCertificates[0].Subject.CommonName; got != "naf" || r.ProtoMajor != 2 {
			t.Errorf("the BSF sees %q, over %s", got, r.Proto)
		}
		var question struct {
			NAFID struct{ NAFFQDN, UASecProtID string }
		}
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil || question.NAFID.NAFFQDN != "cpns.example.net" || question.NAFID.UASecProtID != "0300000001" {
			t.Errorf("the BSF is asked %+v, %v", question, err)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"meKeyMaterial":%q,"keyExpiryTime":"2099-01-01T00:00:00Z","impi":"a@b"}`, strings.Repeat("5a", keySize))
	}))
	pool := x509.NewCertPool()
	pool.AddCert(operator.Leaf)
	web.EnableHTTP2 = true
	web.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	defer web.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	for name, test := range map[string]struct {
		cert *tls.Certificate
		well bool
	}{"the operator's": {naf, true}, "none": {nil, false}, "another's": {issue(t, "naf", stranger), false}} {
		c, err := New(Config{URL: web.URL, CA: ca, Cert: test.cert, NAFHost: "CPNS.example.net", UA: [5]byte{3, 0, 0, 0, 1}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Retrieve(t.Context(), "x@bsf")
		switch {
		case test.well && (err != nil || got.IMPI != "a@b"):
			t.Errorf("%s: %v", name, err)
		case !test.well && (err == nil || errors.Is(err, server.ErrNotFound)):
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
