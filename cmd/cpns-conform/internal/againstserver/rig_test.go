package againstserver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/memnet"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/internal/command"
)

// A wrong is our server with one fault.
type wrong struct {
	handler func(*rig, http.Handler) http.Handler // what stands between the kit and the server
	web     func(*http.Server)                    // or how it is served
	front   func(net.Conn) net.Conn               // or what comes in on a connection
	plain   bool                                  // which need not begin with TLS
}

// A rig is our server, behind TLS on a network in memory, with all that the kit may be
// given.
type rig struct{ config Config }

// The rig's TLS key and certificates are the same for all: they cost most of a test.
var testPKI = sync.OnceValue(func() (p struct {
	server tls.Certificate
	roots  *x509.CertPool
	caPEM  []byte
	pin    cpns.Pin
	unit   *Unit
	hash   cpns.PasswordHash
}) {
	make := func(c, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		if parent == nil {
			parent, signer = c, key
		}
		c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
		if err != nil {
			panic(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		return made, key
	}
	ca, caKey := make(&x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, key := make(&x509.Certificate{Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"cpns.example.net"}}, ca, caKey)
	p.server = tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.Raw}, PrivateKey: key}
	p.roots = x509.NewCertPool()
	p.roots.AddCert(ca)
	p.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	p.pin = cpns.Pin(pinOf(ca))
	var err error
	if p.unit, err = NewUnit(); err != nil {
		panic(err)
	}
	p.hash = cpns.HashPassword("alice", []byte("correct horse"))
	return p
})

// serve makes the rig with a fault, nil for none, and calls f.
func serve(t *testing.T, fault *wrong, f func(*testing.T, *rig)) {
	t.Helper()
	pki := testPKI()
	// The goroutine that package signal has for all must not be the bubble's.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		must := func(err error) {
			if err != nil {
				t.Helper()
				t.Fatal(err)
			}
		}
		store, err := sqlite.Create(ctx, filepath.Join(folder, "cpns.db"))
		must(err)
		defer store.Close()
		var key server.MasterKey
		rand.Read(key[:])
		must(server.Initialize(ctx, store, &key))
		op, err := server.NewOperator(ctx, store, &key, "tester")
		must(err)
		both := &server.PasswordHashes{NFC: pki.hash, NFD: pki.hash}
		must(op.AddUser(ctx, "alice", both))
		must(op.AddUser(ctx, "bob", both))
		r := &rig{config: Config{
			passwordHash: pki.hash[:],
			URL:          "https://cpns.example.net", Roots: pki.roots,
			PSK1: &PSK1{"gw-1", random(32)}, Second: &PSK1{"gw-2", random(32)},
			User: "alice", Password: []byte("correct horse"), Entity: "pne-1", TK: random(16), Others: "pne-2",
			LockOut: true, Flood: true, Slow: time.Minute,
		}}
		must(op.AddGateway(ctx, "gw-1", "gw-1", r.config.PSK1.Key))
		must(op.AddGateway(ctx, "gw-2", "gw-2", r.config.Second.Key))
		csv := fmt.Sprintf("entity_id,tk,owner\npne-1,%s,alice\npne-2,%s,bob\n", hex.EncodeToString(r.config.TK), hex.EncodeToString(random(16)))
		if got, err := op.ImportPNEs(ctx, strings.NewReader(csv), server.ImportOptions{}); err != nil || got.Imported != 2 {
			t.Fatalf("imported %+v: %v", got, err)
		}
		secret, _, err := op.Invite(ctx, "gw-3", 1, time.Hour)
		must(err)
		r.config.Code = &Code{Pin: pki.pin, Secret: secret[:], ID: "gw-3"}
		r.config.Unit = pki.unit
		s, err := server.New(ctx, server.Config{
			Store: store, MasterKey: &key, Log: slog.New(slog.DiscardHandler), Now: time.Now,
			Anchors: func() server.Anchors { return server.Anchors{CA: pki.caPEM, Pins: []cpns.Pin{pki.pin}} },
		})
		must(err)
		var handler http.Handler = s
		if fault != nil && fault.handler != nil {
			handler = fault.handler(r, s)
		}
		listener := memnet.Listen()
		r.config.Dial = listener.Dial
		web := &http.Server{
			Handler: handler, ErrorLog: log.New(io.Discard, "", 0),
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10,
			TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pki.server}, ClientAuth: tls.RequestClientCert},
		}
		served := make(chan struct{})
		var in net.Listener = tls.NewListener(listener, web.TLSConfig)
		if fault != nil && fault.web != nil {
			fault.web(web)
		}
		if fault != nil && fault.front != nil {
			in = &front{listener, web.TLSConfig, fault}
			web.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, frontKey{}, c) }
			web.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c, ok := r.Context().Value(frontKey{}).(*fronted); ok && c.secure != nil {
					state := c.secure.ConnectionState()
					r.TLS = &state
				}
				handler.ServeHTTP(w, r)
			})
		}
		go func() { defer close(served); web.Serve(in) }()
		defer func() { web.Close(); <-served }()
		f(t, r)
	})
}

// run runs the suite, or those of its cases that only names.
func (r *rig) run(t *testing.T, args ...string) *report {
	t.Helper()
	var o conform.Options
	f := flag.NewFlagSet("", flag.ContinueOnError)
	o.Declare(f)
	if err := f.Parse(append([]string{"--json", "-"}, args...)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := Suite.Run(t.Context(), &o, &command.Console{Stdout: &out, Stderr: &out}, conform.Party[*Server]{
		Name: r.config.URL,
		Reach: func(ctx context.Context) (*Server, func(), error) {
			s, err := Reach(ctx, r.config)
			return s, func() {}, err
		},
	})
	var got report
	if jsonErr := json.Unmarshal(out.Bytes(), &got); jsonErr != nil {
		t.Fatalf("%v; no report: %v\n%s", err, jsonErr, out.String())
	}
	return &got
}

// A report is what a test wants of one.
type report struct {
	Seconds float64
	Cases   []struct {
		Name, Verdict, Expected, Seen, Reason string
		Seconds                               float64
	}
}

// A front ends TLS itself, so that a fault may change what package http gets to read.
type front struct {
	net.Listener
	config *tls.Config
	fault  *wrong
}

func (f *front) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		c.Close()
		return f.Accept()
	}
	whole := &begun{c, first}
	if first[0] != 0x16 && f.fault.plain { // no TLS handshake
		return &fronted{f.fault.front(whole), nil}, nil
	}
	secure := tls.Server(whole, f.config)
	return &fronted{f.fault.front(secure), secure}, nil
}

type frontKey struct{}

type fronted struct {
	net.Conn
	secure *tls.Conn
}

// A begun connection has had its first byte read.
type begun struct {
	net.Conn
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) > 0 && len(p) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}
