package server_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

func TestOperator(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	other := (*cpns.PasswordHash)(random(t, 32))
	psk := cpns.PSK1(random(t, 32))

	// In order: each step sees what the ones before did.
	steps := []struct {
		name string
		do   func() error
		want error
	}{
		{"user there already", func() error { return r.op.AddUser(ctx, "alice", bothForms(other)) }, server.ErrExists},
		{"password of nobody", func() error { return r.op.SetPassword(ctx, "nobody", bothForms(other)) }, server.ErrNotFound},
		{"removing nobody", func() error { return r.op.RemoveUser(ctx, "nobody") }, server.ErrNotFound},
		{"gateway there already", func() error { return r.op.AddGateway(ctx, "gw-1", "new", psk) }, server.ErrExists},
		{"identity there already", func() error { return r.op.AddGateway(ctx, "gw-9", "gw-1", psk) }, server.ErrExists},
		{"removing no gateway", func() error { return r.op.RemoveGateway(ctx, "gw-9") }, server.ErrNotFound},
		{"releasing no PNE", func() error { return errorOf(r.op.Release(ctx, "pne-9")) }, server.ErrNotFound},
		{"TK of no PNE", func() error { return r.op.SetTK(ctx, "pne-9", random(t, 16)) }, server.ErrNotFound},
		{"removing no PNE", func() error { return r.op.RemovePNE(ctx, "pne-9") }, server.ErrNotFound},
	}
	events := len(r.events())
	for _, step := range steps {
		if err := step.do(); !errors.Is(err, step.want) {
			t.Errorf("%s: got %v, want %v", step.name, err, step.want)
		}
	}
	if got := len(r.events()); got != events {
		t.Errorf("what failed left %d audit events", got-events)
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success) // the old password, the old PSK1

	// A new password holds for the next request of the running server.
	must(t, r.op.SetPassword(ctx, "alice", bothForms(other)))
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserAuthenticationFailed)
	r.users["alice"] = other
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)

	// A user who owns PNEs stays.
	var owns *server.OwnsError
	if err := r.op.RemoveUser(ctx, "alice"); !errors.As(err, &owns) || owns.PNEs != 1 {
		t.Errorf("removing an owner: got %v", err)
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	must(t, errorOf(r.op.Release(ctx, "pne-1")))
	must(t, r.op.RemoveUser(ctx, "alice"))
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserAuthenticationFailed)

	// So does a gateway's removal, and its return with another PSK1.
	must(t, r.op.RemoveGateway(ctx, "gw-1"))
	res, answer := r.post(r.seal("gw-1", r.request("bob", "pne-1")))
	wantProblem(t, res, answer, 401)
	must(t, r.op.AddGateway(ctx, "gw-1", "gw-1", psk))
	res, answer = r.post(r.seal("gw-1", r.request("bob", "pne-1")))
	wantProblem(t, res, answer, 401)
	r.gateways["gw-1"] = psk
	if got := r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.Success); got.Epoch != r.epoch(4) {
		t.Errorf("epoch: got %d, want %d", got.Epoch, r.epoch(4))
	}

	for _, e := range r.events() {
		operator := strings.HasPrefix(e.Source, "operator ")
		switch e.Kind {
		case server.EventAssigned, server.EventRepeated, server.EventAuthFailed:
			if operator || e.Gateway == "" || e.User == "" || e.Entity == "" {
				t.Errorf("audit: %+v", e)
			}
		default:
			if e.Source != "operator tester" {
				t.Errorf("audit: %+v", e)
			}
		}
	}
}

// Two gateways with one PSK1 could each be the other: the second is refused, under
// whatever name, until the first is removed.
func TestSamePSK1(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	psk := r.gateways["gw-1"]
	events := len(r.events())
	same, ok := errors.AsType[*server.SamePSK1Error](r.op.AddGateway(ctx, "gw-9", "other-identity", psk))
	if !ok || same.Gateway != "gw-1" || len(r.events()) != events {
		t.Errorf("got %v, %d audit events more", same, len(r.events())-events)
	}
	if err := r.op.AddGateway(ctx, "gw-1", "other-identity", psk); !errors.Is(err, server.ErrExists) {
		t.Errorf("the same gateway again: got %v", err)
	}
	must(t, r.op.RemoveGateway(ctx, "gw-1"))
	must(t, r.op.AddGateway(ctx, "gw-9", "other-identity", psk))
	r.gateways["gw-9"] = psk
	body, err := cpns.SealRequest(psk, "other-identity", [cpns.IVSize]byte{1}, r.request("alice", "pne-1"))
	must(t, err)
	if res, answer := r.post(body); res.StatusCode != 200 {
		t.Errorf("got HTTP %s: %s", res.Status, answer)
	}
}

// A wrong TK is replaced: the next answers have the new one, also the answer to
// the request that got the wrong one.
func TestSetTK(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	first := r.wantStatus("gw-1", req, cpns.Success)
	tk := cpns.TK(random(t, 32))
	must(t, r.op.SetTK(t.Context(), "pne-1", tk))
	again := r.wantStatus("gw-1", req, cpns.Success)
	if !bytes.Equal(again.TK, tk) || again.Epoch != first.Epoch || !slices.Equal(again.EUKeys, first.EUKeys) {
		t.Errorf("the same request: epoch %d, want %d, the same set and the new TK", again.Epoch, first.Epoch)
	}
	if got := r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success); !bytes.Equal(got.TK, tk) {
		t.Error("the next request got the old TK")
	}
	r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.PNEOwnedByAnotherUser)
	for name, bad := range map[string]cpns.TK{"all zero": make([]byte, 16), "another PNE's": r.pnes["pne-2"]} {
		if err := r.op.SetTK(t.Context(), "pne-1", bad); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// A PNE that was removed is unknown, what was given for it is gone, and imported
// again it goes on with the next epoch.
func TestRemovePNE(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	first := r.wantStatus("gw-1", req, cpns.Success)
	must(t, r.op.RemovePNE(t.Context(), "pne-1"))
	r.wantStatus("gw-1", req, cpns.RandomReused)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UnknownPNE)
	must(t, r.op.RemoveUser(t.Context(), "alice")) // who owns nothing any more
	r.addPNEs("pne-1")
	got := r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.Success)
	if got.Epoch != first.Epoch+1 || !bytes.Equal(got.TK, r.pnes["pne-1"]) {
		t.Errorf("imported again: epoch %d after %d, or not the new TK", got.Epoch, first.Epoch)
	}
}

// A store is bound to one master key: another is told at once.
func TestWrongMasterKey(t *testing.T) {
	r := newRig(t)
	ctx, wrong := t.Context(), &server.MasterKey{1}
	if _, err := server.NewOperator(ctx, r.store, wrong, "x"); !errors.Is(err, server.ErrWrongMasterKey) {
		t.Errorf("operator: got %v, want ErrWrongMasterKey", err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if _, err := server.New(ctx, server.Config{Store: r.store, MasterKey: wrong, Log: log}); !errors.Is(err, server.ErrWrongMasterKey) {
		t.Errorf("server: got %v, want ErrWrongMasterKey", err)
	}
	if err := server.Initialize(ctx, r.store, wrong); !errors.Is(err, server.ErrExists) {
		t.Errorf("initialising again: got %v, want ErrExists", err)
	}
	empty, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "db"))
	must(t, err)
	defer empty.Close()
	if _, err := server.NewOperator(ctx, empty, wrong, "x"); !errors.Is(err, server.ErrNotFound) {
		t.Errorf("a store that is not initialised: got %v, want ErrNotFound", err)
	}
}

func TestConfig(t *testing.T) {
	r := newRig(t)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	good := server.Config{Store: r.store, MasterKey: r.key, Log: log}
	tests := []struct {
		name   string
		change func(*server.Config)
		ok     bool
	}{
		{"defaults", func(*server.Config) {}, true},
		{"2 keys", func(c *server.Config) { c.SetLength = 2 }, true},
		{"1024 keys", func(c *server.Config) { c.SetLength = 1024 }, true},
		{"1 key", func(c *server.Config) { c.SetLength = 1 }, false},
		{"1025 keys", func(c *server.Config) { c.SetLength = 1025 }, false},
		{"-1 keys", func(c *server.Config) { c.SetLength = -1 }, false},
		{"no store", func(c *server.Config) { c.Store = nil }, false},
		{"no master key", func(c *server.Config) { c.MasterKey = nil }, false},
		{"no log", func(c *server.Config) { c.Log = nil }, false},
		{"a rule of its own", func(c *server.Config) { c.FirstClaim = "friends" }, false},
		{"owners only", func(c *server.Config) { c.FirstClaim = server.ClaimByOwner }, true},
		{"-1 claims", func(c *server.Config) { c.DailyClaims = -1 }, false},
	}
	for _, tt := range tests {
		c := good
		tt.change(&c)
		if _, err := server.New(t.Context(), c); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

// The longest set, for the longest identity, fits a response.
func TestLongestSet(t *testing.T) {
	r := newRigWith(t, func(c *server.Config) { c.SetLength = cpns.MaxSetLength })
	if got := r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success); len(got.EUKeys) != cpns.MaxSetLength {
		t.Errorf("got %d keys, want %d", len(got.EUKeys), cpns.MaxSetLength)
	}
}

// A server that was restored from an old backup gives devices that have moved on
// since no epoch that they had.
func TestRestoredEpochs(t *testing.T) {
	r := newRig(t)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	var backup bytes.Buffer
	rows, err := r.op.Backup(t.Context(), &backup)
	must(t, err)
	if n, err := server.CheckBackup(bytes.NewReader(backup.Bytes())); err != nil || n.Rows != rows {
		t.Fatalf("%d rows, %v, want %d", n, err, rows)
	}
	r.clock.advance(time.Hour)
	last := r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	r.clock.advance(2 * time.Minute)

	restored, err := sqlite.Create(t.Context(), filepath.Join(t.TempDir(), "restored.db"))
	must(t, err)
	t.Cleanup(func() { restored.Close() })
	if _, err := server.Restore(t.Context(), restored, new(server.MasterKey), bytes.NewReader(backup.Bytes())); !errors.Is(err, server.ErrWrongMasterKey) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := server.NewOperator(t.Context(), restored, r.key, "tester"); err == nil {
		t.Error("a store that is not whole is used")
	}
	if _, err := server.Restore(t.Context(), restored, r.key, bytes.NewReader(backup.Bytes())); !errors.Is(err, server.ErrExists) {
		t.Errorf("into one that is not empty: %v", err)
	}
	whole, err := sqlite.Create(t.Context(), filepath.Join(t.TempDir(), "whole.db"))
	must(t, err)
	t.Cleanup(func() { whole.Close() })
	_, err = server.Restore(t.Context(), whole, r.key, &backup)
	must(t, err)
	r.store = whole
	r.serve(func(*server.Config) {})
	if got := r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success); got.Epoch <= last.Epoch {
		t.Errorf("epoch %d after %d", got.Epoch, last.Epoch)
	}
}
