package main

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/pne"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
	"cpns.example.net/pngw/keystore"
	"cpns.example.net/pngw/scripts/rs485"
	"cpns.example.net/pngw/transport"
)

// atMost is how long devices that are powered together on one line may wait for their
// keys at 115200 baud, by the line's clock.
const atMost = 3 * time.Second

// TestDeliveredTogether has devices on one RS-485 line get their power at one moment,
// and a real agent and server at its other end: all hold their keys soon. Once they
// were assigned keys before they were there, once a person asks when they are.
func TestDeliveredTogether(t *testing.T) {
	password := cpns.HashPassword("alice", []byte("correct horse"))
	for _, devices := range []int{2, 8} {
		for _, echo := range []bool{false, true} {
			for _, before := range []bool{true, false} {
				for seed := range uint64(3) {
					name := fmt.Sprintf("devices=%d echo=%v assigned-before=%v seed=%d", devices, echo, before, seed)
					t.Run(name, func(t *testing.T) {
						assigner := newAssigner(t, password, devices)
						synctest.Test(t, func(t *testing.T) {
							line := &sharedDelivery{party: party{
								t: t, bus: rs485.New(rs485.Config{Echo: echo, Seed: seed}), ended: make(chan error, 16),
							}}
							line.deliver(assigner, devices, before)
						})
					})
				}
			}
		}
	}
}

// A sharedDelivery is a line with an agent.
type sharedDelivery struct {
	party
	agent *agent.Agent
}

func (d *sharedDelivery) deliver(a *assigner, devices int, before bool) {
	t := d.t
	t.Helper()
	store, err := keystore.Open(a.keys, &a.secret)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if d.agent, err = agent.New(agent.Config{
		Gateway: testGateway, PSK: a, Server: a, Store: store, Clock: bubbleClock{},
		Links: []transport.Link{d.bus.NewLink("rs485")}, Log: slog.New(slog.DiscardHandler),
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	d.ctx = ctx
	defer func() {
		cancel()
		for range d.n {
			if err := <-d.ended; err != nil {
				t.Error(err)
			}
		}
		d.bus.Close()
	}()
	d.run(func() error { return d.agent.Run(ctx) })
	var ids []cpns.EntityID
	for i := range devices {
		ids = append(ids, entityAt(i))
	}
	provision := func(wait time.Duration) {
		outcomes, err := d.agent.Provision(ctx, agent.ProvisionRequest{User: "alice", PasswordHash: a.password, Entities: ids, Wait: wait}, func(agent.Step) {})
		if err != nil {
			t.Error(err)
		}
		for _, o := range outcomes {
			if o.Result != agent.ResultDelivered && (wait > 0 || o.Result != agent.ResultAssigned) {
				t.Errorf("%+v", o)
			}
		}
	}
	if before {
		provision(0)
		time.Sleep(5 * time.Second) // what was said to nobody is over
	}
	d.start = time.Now()
	for i, e := range ids {
		d.switchOnWith(tkAt(i), e, pne.State{})
	}
	if !before {
		d.run(func() error { provision(time.Minute); return nil })
	}
	var waiting []string
	for waiting = d.waiting(ids); len(waiting) > 0 && time.Since(d.start) < time.Minute; waiting = d.waiting(ids) {
		time.Sleep(10 * time.Millisecond)
	}
	took := time.Since(d.start)
	t.Logf("%v; %v", took, d.bus)
	if took > atMost {
		t.Errorf("took %v, at most %v is allowed; without a key: %v", took, atMost, waiting)
	}
}

// waiting are the devices that have not proved that they hold a key.
func (d *sharedDelivery) waiting(ids []cpns.EntityID) (waiting []string) {
	for _, e := range ids {
		if p, err := d.agent.Show(d.ctx, e); err != nil || p.State != agent.StateDelivered {
			waiting = append(waiting, string(e))
		}
	}
	return waiting
}

func entityAt(i int) cpns.EntityID { return cpns.EntityID(fmt.Sprintf("pne-%d", i)) }

// tkAt is the TK of one device: no two have the same.
func tkAt(i int) cpns.TK { return append(slices.Clone(testTK), byte(0x80+i)) }

// An assigner is a CPNS Server, and what a gateway has to have to ask it.
type assigner struct {
	server   *server.Server
	keys     string // the gateway's store
	secret   keystore.Secret
	psk      cpns.PSK1
	password cpns.PasswordHash
}

func newAssigner(t *testing.T, password cpns.PasswordHash, devices int) *assigner {
	t.Helper()
	ctx := t.Context()
	a := &assigner{keys: filepath.Join(t.TempDir(), "keys"), psk: make(cpns.PSK1, 32), password: password}
	cryptorand.Read(a.psk)
	var master server.MasterKey
	cryptorand.Read(master[:])
	db, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "cpns.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(server.Initialize(ctx, db, &master))
	operator, err := server.NewOperator(ctx, db, &master, "test")
	check(err)
	check(operator.AddUser(ctx, "alice", &server.PasswordHashes{NFC: password, NFD: password}))
	check(operator.AddGateway(ctx, testGateway, cpns.PSKIdentity(testGateway), a.psk))
	csv := "entity_id,tk\n"
	for i := range devices {
		csv += fmt.Sprintf("%s,%x\n", entityAt(i), []byte(tkAt(i)))
	}
	report, err := operator.ImportPNEs(ctx, strings.NewReader(csv), server.ImportOptions{})
	if err != nil || report.Imported != devices {
		t.Fatalf("import: %+v, %v", report, err)
	}
	epochs := func(last cpns.Epoch, _ time.Time) (cpns.Epoch, bool) { return last + 1, true } // a bubble's clock stands at 2000
	a.server, err = server.New(ctx, server.Config{Store: db, MasterKey: &master, Log: slog.New(slog.DiscardHandler), NextEpoch: epochs, DailyClaims: 1 << 20})
	check(err)
	check(keystore.Create(a.keys, &a.secret))
	return a
}

func (a *assigner) Name() string { return "file" }

func (a *assigner) PSK1(context.Context) (*agent.PSK, error) {
	return &agent.PSK{Identity: cpns.PSKIdentity(testGateway), Key: slices.Clone(a.psk)}, nil
}

// Assign asks the server without a network between: a bubble's clock would not wait for one.
func (a *assigner) Assign(ctx context.Context, body []byte) ([]byte, time.Duration, error) {
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, cpns.AssignmentPath, bytes.NewReader(body))
	request.Header.Set("Content-Type", cpns.ContentType)
	answer := httptest.NewRecorder()
	a.server.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		return nil, 0, &transport.RefusedError{Status: answer.Code, Detail: answer.Body.String()}
	}
	return answer.Body.Bytes(), 0, nil
}

type bubbleClock struct{}

func (bubbleClock) Now() (time.Time, bool) { return time.Now(), true }
func (bubbleClock) Raise(time.Time)        {}
