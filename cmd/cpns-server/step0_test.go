package main

import (
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
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport/https"
)

// Gateways of step 0 for the scripts, on the gateway's own connection
// (https.Exchange):
//
//	unit NAME                          makes a key pair, $NAME is its fingerprint, $MADE_NAME the gateway ID that is made of it
//	enrol NAME CODEFILE WANT [SERIAL]  asks to be taken in: the gateway ID that it gets, "pending", or a problem's type
//	psk1 NAME CODEFILE WANT            asks for a PSK1: "given", the identity in $ID_NAME and the key in NAME.psk, or a problem's type

func unit(ts *testscript.TestScript, neg bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CPNS PN GW"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	ts.Check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pem"), append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...), 0o600))
	_, hash := unitOf(ts, args[0])
	ts.Setenv(args[0], hash.Fingerprint())
	ts.Setenv("MADE_"+args[0], "gw-"+strings.ToLower(hash.Fingerprint()[:9]))
}

func unitOf(ts *testscript.TestScript, name string) (tls.Certificate, cpns.SPKIHash) {
	file := ts.MkAbs(name + ".pem")
	cert, err := tls.LoadX509KeyPair(file, file)
	ts.Check(err)
	return cert, cpns.HashSPKI(cert.Leaf.RawSubjectPublicKeyInfo)
}

// exchange is one request of step 0 at the server of a code, known by its pin.
func exchange(ts *testscript.TestScript, name string, code *cpns.EnrolmentCode, path string, body func(https.Exporter) ([]byte, error)) *https.Exchanged {
	cert, _ := unitOf(ts, name)
	got, err := https.Exchange(context.Background(), https.ExchangeConfig{
		Server: "https://" + code.Server, Pins: []https.Pin{https.Pin(code.Pin)}, Certificate: cert, Timeout: 20 * time.Second,
	}, path, body)
	ts.Check(err)
	return got
}

func codeOf(ts *testscript.TestScript, file string) *cpns.EnrolmentCode {
	code, err := cpns.ParseEnrolmentCode(ts.ReadFile(file))
	ts.Check(err)
	return code
}

// outcome is what a gateway takes from an answer: what is in the member of a good one,
// or the type of a problem.
func outcome(ts *testscript.TestScript, got *https.Exchanged, member string) string {
	ts.Logf("HTTP %d: %s", got.Status, got.Body)
	var answer map[string]any
	ts.Check(json.Unmarshal(got.Body, &answer))
	if got.Status != 200 {
		member = "type"
	}
	text, _ := answer[member].(string)
	return text
}

func enrol(ts *testscript.TestScript, neg bool, args []string) {
	code := codeOf(ts, args[1])
	_, hash := unitOf(ts, args[0])
	in := map[string]any{"gateway_id": nil, "proof": nil, "model": "Box 1", "serial": strings.Join(args[3:], " "), "macs": []string{}}
	if code.ID != "" {
		in["gateway_id"] = code.ID
	}
	got := exchange(ts, args[0], code, cpns.EnrolmentPath, func(export https.Exporter) ([]byte, error) {
		if code.Secret != nil {
			exported, err := export(cpns.ExporterEnrolment, nil, cpns.ExporterSize)
			if err != nil {
				return nil, err
			}
			proof := cpns.EnrolmentProof(code.Secret, hash, (*[cpns.ExporterSize]byte)(exported))
			in["proof"] = cpns.Base64.EncodeToString(proof[:])
		}
		return json.Marshal(in)
	})
	is := outcome(ts, got, "gateway_id")
	if got.Status == 202 {
		is = "pending"
	}
	if is != args[2] {
		ts.Fatalf("got %q, want %q", is, args[2])
	}
	if got.Status == 200 {
		checkAnchors(ts, got.Body)
	}
}

// checkAnchors wants what is told to be the folder's CA, and its pins.
func checkAnchors(ts *testscript.TestScript, body []byte) {
	var answer struct {
		CA   string
		Pins []string
	}
	ts.Check(json.Unmarshal(body, &answer))
	var pins []string
	for _, file := range []string{"data/server.pem", "data/ca.pem"} {
		leaf, err := readLeaf(ts.MkAbs(file))
		ts.Check(err)
		pin := cpns.PinOf(leaf.RawSubjectPublicKeyInfo)
		pins = append(pins, cpns.Base64.EncodeToString(pin[:]))
	}
	if answer.CA != ts.ReadFile("data/ca.pem") || strings.Join(answer.Pins, " ") != strings.Join(pins, " ") {
		ts.Fatalf("got the anchors %+v, want ca.pem and %q", answer, pins)
	}
}

func psk1(ts *testscript.TestScript, neg bool, args []string) {
	_, hash := unitOf(ts, args[0])
	got := exchange(ts, args[0], codeOf(ts, args[1]), cpns.PSK1Path, nil)
	is := outcome(ts, got, "identity")
	if got.Status != 200 {
		if is != args[2] {
			ts.Fatalf("got %q, want %q", is, args[2])
		}
		return
	}
	if args[2] != "given" {
		ts.Fatalf("got a PSK1, want %q", args[2])
	}
	id, err := cpns.ParsePSKIdentity(is)
	ts.Check(err)
	psk, err := got.Export(cpns.ExporterPSK1, cpns.PSK1Context(hash, id), cpns.ExporterSize)
	ts.Check(err)
	ts.Setenv("ID_"+args[0], is)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".psk"), []byte(hex.EncodeToString(psk)), 0o600))
}
