package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

var errStop = errors.New("stop")

// holds reports whether the store has a setting of the name.
func holds(t *testing.T, s server.Store, name string) bool {
	t.Helper()
	err := s.View(t.Context(), func(tx server.Tx) error {
		_, err := tx.Setting(name)
		return err
	})
	if err != nil && !errors.Is(err, server.ErrNotFound) {
		t.Fatalf("view: %v", err)
	}
	return err == nil
}

func testRollback(t *testing.T, r Rig) {
	err := r.Store.Update(t.Context(), func(tx server.Tx) error {
		if err := tx.AddSetting("a", nil); err != nil {
			return err
		}
		return errStop
	})
	wantErr(t, "update", err, errStop)
	if holds(t, r.Store, "a") {
		t.Error("an update that failed has written")
	}
}

func testPanic(t *testing.T, r Rig) {
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		r.Store.Update(t.Context(), func(tx server.Tx) error {
			if err := tx.AddSetting("a", nil); err != nil {
				t.Error(err)
			}
			panic("stop")
		})
	}()
	if holds(t, r.Store, "a") {
		t.Error("an update that panicked has written")
	}
	update(t, r.Store, func(tx server.Tx) error { return tx.AddSetting("b", nil) })
}

func testErrorsKeepTransaction(t *testing.T, r Rig) {
	update(t, r.Store, func(tx server.Tx) error {
		if err := tx.AddSetting("a", nil); err != nil {
			return err
		}
		wantErr(t, "adding again", tx.AddSetting("a", nil), server.ErrExists)
		wantErr(t, "removing nobody", tx.RemoveUser("nobody"), server.ErrNotFound)
		return tx.AddSetting("b", nil)
	})
	if !holds(t, r.Store, "a") || !holds(t, r.Store, "b") {
		t.Error("what was written around the errors is lost")
	}
}

func testViewWrites(t *testing.T, r Rig) {
	err := r.Store.View(t.Context(), func(tx server.Tx) error { return tx.AddSetting("a", nil) })
	if err == nil {
		t.Error("a write in a view succeeded")
	}
	if holds(t, r.Store, "a") {
		t.Error("a view has written")
	}
}

func testViewSnapshot(t *testing.T, r Rig) {
	view(t, r.Store, func(tx server.Tx) error {
		_, err := tx.Setting("a")
		wantErr(t, "before", err, server.ErrNotFound)
		update(t, r.Store, func(tx server.Tx) error { return tx.AddSetting("a", nil) })
		_, err = tx.Setting("a")
		wantErr(t, "after an update meanwhile", err, server.ErrNotFound)
		return nil
	})
	if !holds(t, r.Store, "a") {
		t.Error("the update meanwhile is lost")
	}
}

// increment adds one to the epoch of a PNE.
func increment(ctx context.Context, s server.Store, e cpns.EntityID) error {
	return s.Update(ctx, func(tx server.Tx) error {
		p, err := tx.PNE(e)
		if err != nil {
			return err
		}
		p.Epoch++
		return tx.SetOwner(p)
	})
}

func testConcurrentUpdates(t *testing.T, r Rig) { count(t, r.Store, r.Store) }

func testTwoProcesses(t *testing.T, r Rig) { count(t, r.Store, r.Reopen()) }

// count lets many updates that read before they write run at once.
func count(t *testing.T, a, b server.Store) {
	const workers, each = 8, 10
	update(t, a, func(tx server.Tx) error { return errors.Join(addUsers(tx, "alice"), addPNE(tx, "pne")) })
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			store := []server.Store{a, b}[n%2]
			for range each {
				if err := increment(t.Context(), store, "pne"); err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	view(t, a, func(tx server.Tx) error {
		got, err := tx.PNE("pne")
		want(t, "epoch", got.Epoch, err, workers*each)
		return nil
	})
}

func testDurable(t *testing.T, r Rig) {
	update(t, r.Store, func(tx server.Tx) error { return tx.AddSetting("a", []byte("kept")) })
	again := r.Reopen()
	if !holds(t, again, "a") {
		t.Error("another process does not see it")
	}
	update(t, again, func(tx server.Tx) error { return tx.AddSetting("b", nil) })
	if !holds(t, r.Store, "b") {
		t.Error("another process' update is not seen")
	}
	if err := r.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if third := r.Reopen(); !holds(t, third, "a") || !holds(t, third, "b") {
		t.Error("lost when the store was closed")
	}
}

func testContext(t *testing.T, r Rig) {
	ctx, cancel := context.WithCancel(t.Context())
	err := r.Store.Update(ctx, func(tx server.Tx) error {
		if err := tx.AddSetting("a", nil); err != nil {
			return err
		}
		cancel()
		return tx.AddSetting("b", nil)
	})
	if err == nil {
		t.Error("an update was committed after its context had ended")
	}
	if holds(t, r.Store, "a") {
		t.Error("an update whose context ended has written")
	}
	never := func(server.Tx) error { t.Error("called after the context had ended"); return nil }
	wantErr(t, "view", r.Store.View(ctx, never), context.Canceled)
	wantErr(t, "update", r.Store.Update(ctx, never), context.Canceled)
}

func testTidy(t *testing.T, r Rig) {
	update(t, r.Store, func(tx server.Tx) error {
		return errors.Join(tx.AddSetting("a", nil), tx.SetReplica(server.Replica{ID: "r", Seen: start}))
	})
	if err := r.Store.Tidy(t.Context(), func(tx server.Tx) error { return tx.PruneReplicas(start.Add(time.Second)) }); err != nil {
		t.Fatal(err)
	}
	view(t, r.Store, func(tx server.Tx) error {
		n, err := tx.CountReplicas(start)
		want(t, "replicas", n, err, 0)
		return nil
	})
	err := r.Store.Tidy(t.Context(), func(tx server.Tx) error {
		return errors.Join(tx.AddSetting("b", nil), errStop)
	})
	wantErr(t, "tidying", err, errStop)
	if holds(t, r.Store, "b") {
		t.Error("what failed has written")
	}
}
