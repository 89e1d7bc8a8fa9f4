package servertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// A told is an answer that a gateway got.
type told struct {
	req *Request
	got *cpns.EUKeyAssignmentResponse
}

// TestBackup takes backups of a store, one while gateways ask, and restores them into
// other stores of the same kind.
func TestBackup(t *testing.T, newStore func(t *testing.T) server.Store) {
	store := newStore(t)
	f := Fill(t, store, 4, 12)
	begun := time.Now()
	var ahead atomic.Int64 // of the clock
	now := func() time.Time { return begun.Add(time.Duration(ahead.Load())) }
	web := serveAt(t, f, store, now)
	op := operator(t, f, store)

	before := f.ask(t, web, now(), 0)
	var during []told
	var wg sync.WaitGroup
	for g := 1; g < 4; g++ {
		wg.Go(func() { f.ask(t, web, now(), g) })
	}
	var backup bytes.Buffer
	rows, err := op.Backup(t.Context(), &backup)
	must(t, err)
	wg.Wait()
	// The devices move on, more than once in a minute and for an hour.
	ahead.Store(int64(time.Hour))
	for range 3 {
		during = append(during, f.ask(t, web, now(), 0)...)
	}
	ahead.Add(int64(5 * time.Minute))

	text := backup.Bytes()
	if n, err := server.CheckBackup(bytes.NewReader(text)); err != nil || n.Rows != rows || len(n.Needs) != 1 || n.Needs[0] != f.Key.ID() {
		t.Fatalf("checking: %d rows, %v, want %d", n, err, rows)
	}
	for _, at := range []int{len(text) / 3, len(text) / 2, len(text) - 20} {
		damaged := slices.Clone(text)
		damaged[at] ^= 1
		if _, err := server.CheckBackup(bytes.NewReader(damaged)); err == nil {
			t.Errorf("byte %d of %d altered: it is whole", at, len(text))
		}
		if _, err := server.CheckBackup(bytes.NewReader(text[:at])); !errors.Is(err, server.ErrDamaged) {
			t.Errorf("cut off after %d bytes: %v", at, err)
		}
	}

	wrong := newStore(t)
	if _, err := server.Restore(t.Context(), wrong, new(server.MasterKey), bytes.NewReader(text)); !errors.Is(err, server.ErrWrongMasterKey) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := server.NewOperator(t.Context(), wrong, f.Key, "tester"); err == nil {
		t.Error("a store that is not whole is used")
	}
	if _, err := server.Restore(t.Context(), wrong, f.Key, bytes.NewReader(text)); !errors.Is(err, server.ErrExists) {
		t.Errorf("into one that is not empty: %v", err)
	}

	restored := newStore(t)
	twoRestores(t, f, restored, text)
	again := operator(t, f, restored)
	if n, err := again.CheckStore(t.Context(), func(s string) { t.Error(s) }); err != nil || n == 0 {
		t.Errorf("after restoring: %d values open, %v", n, err)
	}
	web = serveAt(t, f, restored, func() time.Time { return begun })
	for _, each := range before { // at the time of the backup
		got, err := f.Send(t.Context(), web.Client(), web.URL, each.req)
		if err != nil || got.Epoch != each.got.Epoch || !slices.Equal(got.EUKeys, each.got.EUKeys) {
			t.Errorf("the same request gets %v, %v", got, err)
		}
	}
	web = serveAt(t, f, restored, now)
	highest := map[cpns.EntityID]cpns.Epoch{}
	for _, each := range append(before, during...) {
		highest[each.req.PNE] = max(highest[each.req.PNE], each.got.Epoch)
	}
	for _, each := range f.ask(t, web, now(), 0) {
		if e := each.req.PNE; each.got.Epoch <= highest[e] {
			t.Errorf("PNE %s: epoch %d after %d", e, each.got.Epoch, highest[e])
		}
	}
}

// twoRestores restores one backup twice at the same time into one store: one of them is
// refused, and what the other has restored is whole.
func twoRestores(t *testing.T, f *Fleet, s server.Store, text []byte) {
	t.Helper()
	// The first stops in the middle until the second has ended.
	inMiddle, goOn := make(chan struct{}), make(chan struct{})
	slow := io.MultiReader(bytes.NewReader(text[:len(text)/2]), readerFunc(func([]byte) (int, error) {
		close(inMiddle)
		<-goOn
		return 0, io.EOF
	}), bytes.NewReader(text[len(text)/2:]))
	first := make(chan error)
	go func() {
		_, err := server.Restore(context.WithoutCancel(t.Context()), s, f.Key, slow)
		first <- err
	}()
	<-inMiddle
	if _, err := server.Restore(t.Context(), s, f.Key, bytes.NewReader(text)); !errors.Is(err, server.ErrExists) {
		t.Errorf("a second restore meanwhile: %v", err)
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Fatalf("the first restore: %v", err)
	}
	if _, err := server.Restore(t.Context(), s, f.Key, bytes.NewReader(text)); !errors.Is(err, server.ErrExists) {
		t.Errorf("a second restore afterwards: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func operator(t *testing.T, f *Fleet, s server.Store) *server.Operator {
	t.Helper()
	op, err := server.NewOperator(t.Context(), s, f.Key, "tester")
	must(t, err)
	return op
}

func serveAt(t *testing.T, f *Fleet, s server.Store, now func() time.Time) *httptest.Server {
	t.Helper()
	srv, err := server.New(t.Context(), server.Config{Store: s, MasterKey: f.Key, Log: slog.New(slog.DiscardHandler), Now: now, DailyClaims: 1 << 20})
	must(t, err)
	web := httptest.NewTLSServer(srv)
	t.Cleanup(web.Close)
	return web
}

// ask has a gateway ask for all PNEs.
func (f *Fleet) ask(t *testing.T, web *httptest.Server, now time.Time, gateway int) (all []told) {
	t.Helper()
	for _, e := range f.PNEs {
		req, err := f.Request(gateway, e, now)
		if err != nil {
			t.Error(err)
			return nil
		}
		got, err := f.Send(t.Context(), web.Client(), web.URL, req)
		if err != nil || got.Status != cpns.Success {
			t.Errorf("assigning: %v, %v", got, err)
			return nil
		}
		all = append(all, told{req, got})
	}
	return all
}
