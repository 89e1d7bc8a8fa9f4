package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func assignment(e cpns.EntityID, epoch cpns.Epoch, requested time.Time) server.Assignment {
	a := server.Assignment{
		Entity: e, Epoch: epoch, User: "alice", Gateway: "gw", RandSVR: server.Sealed{5, 6}, Length: 64,
		RequestTag: server.Tag{9, 31: 9}, RequestTime: requested.Truncate(time.Second), Created: requested,
	}
	copy(a.RandPNGW[:], fmt.Sprintf("%d of %s", epoch, e))
	return a
}

func testAssignments(t *testing.T, r Rig) {
	a, b := assignment("pne", 1, start), assignment("pne", 2, start)
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.AssignmentByRandom(&a.RandPNGW)
		wantErr(t, "unknown RAND_PNGW", err, server.ErrNotFound)
		return errors.Join(addPNE(tx, "pne"), addPNE(tx, "other"), tx.AddAssignment(a), tx.AddAssignment(b))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.AssignmentByRandom(&a.RandPNGW)
		want(t, "by RAND_PNGW", got, err, a)
		again := assignment("pne", 3, start)
		again.RandPNGW = a.RandPNGW
		wantErr(t, "RAND_PNGW twice", tx.AddAssignment(again), server.ErrExists)
		again = assignment("pne", 2, start)
		again.RandPNGW[31] = 1
		wantErr(t, "epoch twice", tx.AddAssignment(again), server.ErrExists)
		return errors.Join(tx.EraseKeys("pne"), tx.EraseKeys("other"))
	})
	view(t, r.Store, func(tx server.Tx) error {
		for _, old := range []server.Assignment{a, b} {
			got, err := tx.AssignmentByRandom(&old.RandPNGW)
			if err != nil || len(got.RandSVR) != 0 {
				t.Errorf("epoch %d after erasing: %d bytes of RAND_SVR, error %v", old.Epoch, len(got.RandSVR), err)
			}
			got.RandSVR = old.RandSVR
			want(t, "the rest of it", got, nil, old)
		}
		return nil
	})
}

func testAssignmentNeedsPNE(t *testing.T, r Rig) {
	err := r.Store.Update(t.Context(), func(tx server.Tx) error { return tx.AddAssignment(assignment("nobody", 1, start)) })
	if err == nil {
		t.Error("added for a PNE that is not there")
	}
}

func testPruneAssignments(t *testing.T, r Rig) {
	const old = 40
	update(t, r.Store, func(tx server.Tx) error {
		if err := errors.Join(addUsers(tx, "alice"), addPNE(tx, "pne"), addPNE(tx, "other")); err != nil {
			return err
		}
		for epoch := cpns.Epoch(1); epoch <= old; epoch++ {
			if err := tx.AddAssignment(assignment("pne", epoch, start)); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.AddAssignment(assignment("pne", old+1, start.Add(time.Hour))),
			tx.AddAssignment(assignment("pne", old+2, start)),
			tx.SetOwner(server.PNE{Entity: "pne", Owner: "alice", Epoch: old + 2}),
			tx.AddAssignment(assignment("other", 1, start)),
			tx.AddAssignment(assignment("other", 2, start)),
			tx.SetOwner(server.PNE{Entity: "other", Owner: "alice", Epoch: 2}))
	})
	for range old { // at least one a call
		update(t, r.Store, func(tx server.Tx) error { return tx.PruneAssignments("pne", start.Add(time.Minute)) })
	}
	view(t, r.Store, func(tx server.Tx) error {
		kept := func(e cpns.EntityID, epoch cpns.Epoch) bool {
			a := assignment(e, epoch, start)
			_, err := tx.AssignmentByRandom(&a.RandPNGW)
			if err != nil && !errors.Is(err, server.ErrNotFound) {
				t.Error(err)
			}
			return err == nil
		}
		for epoch := cpns.Epoch(1); epoch <= old; epoch++ {
			if kept("pne", epoch) {
				t.Errorf("epoch %d was left", epoch)
			}
		}
		if !kept("pne", old+1) {
			t.Error("one of the time after was removed")
		}
		if !kept("pne", old+2) {
			t.Error("the newest was removed")
		}
		if !kept("other", 1) {
			t.Error("another PNE's was removed")
		}
		return nil
	})
}
