// Package storetest is the contract of server.Store as a test: every
// implementation runs it.
package storetest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// A Rig is one store under test.
type Rig struct {
	Store server.Store
	// Reopen opens once more what Store keeps, as another process would.
	Reopen func() server.Store
	// New makes another store, an empty one of the same kind.
	New func() server.Store
}

// Run tests the stores that newRig makes, an empty one each time, which newRig
// closes when the test ends.
func Run(t *testing.T, newRig func(t *testing.T) Rig) {
	tests := []struct {
		name string
		test func(t *testing.T, r Rig)
	}{
		{"settings", testSettings},
		{"users", testUsers},
		{"gateways", testGateways},
		{"PSK1s", testPSK1s},
		{"enrolments", testEnrolments},
		{"displaced enrolments", testDisplacePending},
		{"invitations", testInvitations},
		{"PNEs", testPNEs},
		{"many PNEs", testManyPNEs},
		{"wanted PNEs", testPNEFilter},
		{"removed PNEs", testRemovePNE},
		{"assignments", testAssignments},
		{"pruned assignments", testPruneAssignments},
		{"no assignment without a PNE", testAssignmentNeedsPNE},
		{"claims", testClaims},
		{"failures", testFailures},
		{"events", testEvents},
		{"seals", testSeals},
		{"following the log", testFollow},
		{"replicas", testReplicas},
		{"credentials", testCredentials},
		{"answers", testAnswers},
		{"tables", testTables},
		{"swapped bytes", testSwapBytes},
		{"an error writes nothing", testRollback},
		{"a panic writes nothing", testPanic},
		{"not found and exists leave the transaction", testErrorsKeepTransaction},
		{"view does not write", testViewWrites},
		{"view sees one state", testViewSnapshot},
		{"updates one after the other", testConcurrentUpdates},
		{"two processes", testTwoProcesses},
		{"durable", testDurable},
		{"context", testContext},
		{"what an assignment finds", testFindings},
		{"what an assignment writes", testOutcomes},
		{"assigning at the same time", testAssign},
		{"tidying", testTidy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, newRig(t)) })
	}
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)

func update(t *testing.T, s server.Store, f func(server.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func view(t *testing.T, s server.Store, f func(server.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), f); err != nil {
		t.Fatalf("view: %v", err)
	}
}

// want fails unless got and err are what is wanted.
func want[T any](t *testing.T, what string, got T, err error, wanted T) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if !reflect.DeepEqual(got, wanted) {
		t.Errorf("%s: got %+v, want %+v", what, got, wanted)
	}
}

func wantErr(t *testing.T, what string, got, wanted error) {
	t.Helper()
	if !errors.Is(got, wanted) {
		t.Errorf("%s: got error %v, want %v", what, got, wanted)
	}
}

// collect reads a listing in pages of a few rows.
func collect[K, T any](t *testing.T, after func(K, int) ([]T, error), keyOf func(T) K) []T {
	t.Helper()
	const few = 2
	var all []T
	var key K
	for {
		page, err := after(key, few)
		if err != nil {
			t.Fatalf("listing: %v", err)
		}
		if len(page) > few {
			t.Fatalf("listing: %d rows in a page of %d", len(page), few)
		}
		if all = append(all, page...); len(page) < few {
			return all
		}
		key = keyOf(page[len(page)-1])
	}
}

func testSettings(t *testing.T, r Rig) {
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.Setting("a")
		wantErr(t, "unknown setting", err, server.ErrNotFound)
		return tx.AddSetting("a", []byte{1, 0, 2})
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.Setting("a")
		want(t, "setting", got, err, []byte{1, 0, 2})
		wantErr(t, "adding again", tx.AddSetting("a", []byte{3}), server.ErrExists)
		return errors.Join(tx.SetSetting("a", []byte{4}), tx.SetSetting("b", []byte{5}))
	})
	view(t, r.Store, func(tx server.Tx) error {
		got, err := tx.Setting("a")
		want(t, "replaced", got, err, []byte{4})
		got, err = tx.Setting("b")
		want(t, "set without having been added", got, err, []byte{5})
		return nil
	})
}
