// Package servertest is the gateways' half of a fleet, for tests and benchmarks of
// servers and their stores.
package servertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// A Fleet is what a store has been filled with: a user, gateways, and PNEs.
type Fleet struct {
	Key      *server.MasterKey
	User     cpns.UserID
	Other    cpns.UserID       // who competes with User
	Hash     cpns.PasswordHash // of both
	Gateways []cpns.GatewayID
	PSK1s    []cpns.PSK1
	PNEs     []cpns.EntityID
}

// Fill binds an empty store to a new master key and fills it.
func Fill(t testing.TB, s server.Store, gateways, pnes int) *Fleet {
	t.Helper()
	f := &Fleet{Key: new(server.MasterKey), User: "alice", Other: "bob"}
	rand.Read(f.Key[:])
	rand.Read(f.Hash[:])
	ctx := t.Context()
	must(t, server.Initialize(ctx, s, f.Key))
	op, err := server.NewOperator(ctx, s, f.Key, "tester")
	must(t, err)
	for _, u := range []cpns.UserID{f.User, f.Other} {
		must(t, op.AddUser(ctx, u, &server.PasswordHashes{NFC: f.Hash, NFD: f.Hash}))
	}
	for n := range gateways {
		id, psk := cpns.GatewayID(fmt.Sprintf("gw-%04d", n)), make(cpns.PSK1, 32)
		rand.Read(psk)
		must(t, op.AddGateway(ctx, id, cpns.PSKIdentity(id), psk))
		f.Gateways, f.PSK1s = append(f.Gateways, id), append(f.PSK1s, psk)
	}
	csv := new(strings.Builder)
	csv.WriteString("entity_id,tk\n")
	for n := range pnes {
		tk := make([]byte, 16)
		rand.Read(tk)
		e := fmt.Sprintf("pne-%06d", n)
		fmt.Fprintf(csv, "%s,%s\n", e, hex.EncodeToString(tk))
		f.PNEs = append(f.PNEs, cpns.EntityID(e))
	}
	result, err := op.ImportPNEs(ctx, strings.NewReader(csv.String()), server.ImportOptions{})
	must(t, err)
	if result.Imported != pnes {
		t.Fatalf("imported %d of %d PNEs", result.Imported, pnes)
	}
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A Request is one that a gateway has sealed, to be sent as often as it takes.
type Request struct {
	Gateway int // its number
	PNE     cpns.EntityID
	Body    []byte
}

// Request makes a new request through a gateway for a PNE, at a time.
func (f *Fleet) Request(gateway int, e cpns.EntityID, now time.Time) (*Request, error) {
	return f.RequestOf(f.User, gateway, e, now)
}

// RequestOf is Request by one of the two users.
func (f *Fleet) RequestOf(u cpns.UserID, gateway int, e cpns.EntityID, now time.Time) (*Request, error) {
	req := &cpns.EUKeyAssignmentRequest{EntityID: e, UserID: u, Time: uint64(now.Unix())}
	rand.Read(req.RandPNGW[:])
	req.UserAuthenticationData = cpns.UserAuthenticationData(&f.Hash, &req.RandPNGW, req.Time)
	var iv [cpns.IVSize]byte
	rand.Read(iv[:])
	body, err := cpns.SealRequest(f.PSK1s[gateway], cpns.PSKIdentity(f.Gateways[gateway]), iv, req)
	return &Request{gateway, e, body}, err
}

// An HTTPError is an answer that is no EUKey Assignment Response.
type HTTPError struct {
	Status     int
	RetryAfter string
	Body       string
}

func (e *HTTPError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.Status, e.Body) }

// Send posts a request and opens the answer.
func (f *Fleet) Send(ctx context.Context, client *http.Client, url string, r *Request) (*cpns.EUKeyAssignmentResponse, error) {
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, url+cpns.AssignmentPath, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	post.Header.Set("Content-Type", cpns.ContentType)
	res, err := client.Do(post)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, &HTTPError{res.StatusCode, res.Header.Get("Retry-After"), string(body)}
	}
	return cpns.OpenResponse(f.PSK1s[r.Gateway], cpns.PSKIdentity(f.Gateways[r.Gateway]), r.Body, body)
}

// Status is that of an HTTPError, 0 for every other error.
func Status(err error) int {
	if e, ok := errors.AsType[*HTTPError](err); ok {
		return e.Status
	}
	return 0
}
