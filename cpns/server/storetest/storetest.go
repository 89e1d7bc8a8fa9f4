// Package storetest is the contract of server.Store as a test: every
// implementation runs it.
package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
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

func allUsers(t *testing.T, tx server.Tx) []server.User {
	return collect(t, tx.UsersAfter, func(u server.User) cpns.UserID { return u.ID })
}

func allGateways(t *testing.T, tx server.Tx) []server.Gateway {
	return collect(t, tx.GatewaysAfter, func(g server.Gateway) cpns.GatewayID { return g.ID })
}

func allPNEs(t *testing.T, tx server.Tx) []server.PNE {
	return pnesOf(t, tx, server.PNEFilter{})
}

func pnesOf(t *testing.T, tx server.Tx, f server.PNEFilter) []server.PNE {
	after := func(e cpns.EntityID, limit int) ([]server.PNE, error) { return tx.PNEsAfter(f, e, limit) }
	return collect(t, after, func(p server.PNE) cpns.EntityID { return p.Entity })
}

func eventsSince(t *testing.T, tx server.Tx, since time.Time) []server.Event {
	after := func(seq int64, limit int) ([]server.Event, error) { return tx.EventsAfter(seq, since, limit) }
	return collect(t, after, func(e server.Event) int64 { return e.Seq })
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

func testUsers(t *testing.T, r Rig) {
	bob := server.User{ID: "bob", PasswordHash: server.Sealed{1, 2, 3}, Created: start}
	alice := server.User{ID: "alice", PasswordHash: server.Sealed{0}, Created: start.Add(time.Hour)}
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.User("bob")
		wantErr(t, "unknown user", err, server.ErrNotFound)
		wantErr(t, "changing an unknown user", tx.SetPasswordHash("bob", server.Sealed{1}), server.ErrNotFound)
		wantErr(t, "removing an unknown user", tx.RemoveUser("bob"), server.ErrNotFound)
		return errors.Join(tx.AddUser(bob), tx.AddUser(alice))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.User("bob")
		want(t, "user", got, err, bob)
		_, err = tx.User("BOB")
		wantErr(t, "IDs differ in case", err, server.ErrNotFound)
		wantErr(t, "adding again", tx.AddUser(server.User{ID: "bob", PasswordHash: server.Sealed{9}, Created: start}), server.ErrExists)
		want(t, "all", allUsers(t, tx), nil, []server.User{alice, bob})
		wantErr(t, "disabling an unknown user", tx.SetUserDisabled("carol", true), server.ErrNotFound)
		wantErr(t, "an unknown user is seen", tx.SetUserSeen("carol", start), server.ErrNotFound)
		return errors.Join(tx.SetPasswordHash("bob", server.Sealed{4, 5}), tx.SetUserDisabled("bob", true), tx.SetUserSeen("bob", start.Add(time.Minute)))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.User("bob")
		bob.PasswordHash, bob.Disabled, bob.Seen = server.Sealed{4, 5}, true, start.Add(time.Minute)
		want(t, "changed user", got, err, bob)
		carol := server.User{ID: "carol", PasswordHash: server.Sealed{1}, Created: start, Disabled: true, Seen: start}
		if err := errors.Join(tx.AddUser(carol), tx.SetUserDisabled("bob", false)); err != nil {
			return err
		}
		bob.Disabled = false
		want(t, "with all that is known", allUsers(t, tx), nil, []server.User{alice, bob, carol})
		if err := tx.RemoveUser("carol"); err != nil {
			return err
		}
		return tx.RemoveUser("bob")
	})
	view(t, r.Store, func(tx server.Tx) error {
		want(t, "all but the removed", allUsers(t, tx), nil, []server.User{alice})
		return nil
	})
}

func testPNEs(t *testing.T, r Rig) {
	var pnes []server.PNE
	for n := range 5 {
		pnes = append(pnes, server.PNE{Entity: cpns.EntityID(fmt.Sprintf("pne-%d", n)), TK: server.Sealed{byte(n), 7}, Created: start})
	}
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.PNE("pne-0")
		wantErr(t, "unknown PNE", err, server.ErrNotFound)
		wantErr(t, "owner of an unknown PNE", tx.SetOwner(server.PNE{Entity: "pne-0", Owner: "alice", Epoch: 1}), server.ErrNotFound)
		if err := addUsers(tx, "alice"); err != nil {
			return err
		}
		for n := range pnes {
			if err := tx.AddPNE(pnes[len(pnes)-1-n]); err != nil {
				return err
			}
		}
		return nil
	})
	pnes[1].Owner, pnes[1].Epoch, pnes[1].Gateway, pnes[1].Assigned = "alice", 1, "gw", start.Add(time.Hour)
	pnes[3].Owner, pnes[3].Epoch = "alice", 1<<32-1
	pnes[4].Epoch = 7
	update(t, r.Store, func(tx server.Tx) error {
		wantErr(t, "adding again", tx.AddPNE(pnes[2]), server.ErrExists)
		return errors.Join(
			tx.SetOwner(pnes[1]),
			tx.SetOwner(server.PNE{Entity: "pne-3", Owner: "alice", Epoch: 1<<32 - 1}),
			tx.SetOwner(server.PNE{Entity: "pne-4", Owner: "alice", Epoch: 7}),
			tx.SetOwner(server.PNE{Entity: "pne-4", Owner: "", Epoch: 7}))
	})
	view(t, r.Store, func(tx server.Tx) error {
		for _, p := range pnes {
			got, err := tx.PNE(p.Entity)
			want(t, string(p.Entity), got, err, p)
		}
		want(t, "all", allPNEs(t, tx), nil, pnes)
		for owner, wanted := range map[cpns.UserID]int{"alice": 2, "carol": 0, "": 0} {
			got, err := tx.CountPNEsOf(owner)
			want(t, "owned by "+string(owner), got, err, wanted)
		}
		return nil
	})
}

func testPNEFilter(t *testing.T, r Rig) {
	pne := func(e cpns.EntityID, owner cpns.UserID, g cpns.GatewayID) server.PNE {
		p := server.PNE{Entity: e, TK: server.Sealed{1}, Created: start, Owner: owner, Gateway: g}
		if g != "" {
			p.Assigned, p.Epoch = start, 1
		}
		return p
	}
	all := []server.PNE{
		pne("a", "", ""), pne("a-1", "alice", "gw-1"), pne("a-2", "alice", ""), pne("a-3", "bob", "gw-1"),
		pne("a.", "alice", "gw-2"), pne("a~~", "alice", "gw-1"), pne("b", "", "gw-1"), // released
		pne("gone", "alice", "gw-1"),
	}
	update(t, r.Store, func(tx server.Tx) error {
		if err := addUsers(tx, "alice", "bob"); err != nil {
			return err
		}
		for n, p := range all {
			unknown := p
			unknown.Owner, unknown.Gateway, unknown.Assigned = "", "", time.Time{}
			if n%2 == 0 { // as the import does, and as an assignment does
				unknown = p
			}
			if err := errors.Join(tx.AddPNE(unknown), tx.SetOwner(p)); err != nil {
				return err
			}
		}
		return tx.RemovePNE("gone")
	})
	view(t, r.Store, func(tx server.Tx) error {
		for _, tt := range []struct {
			filter server.PNEFilter
			wanted []int
		}{
			{server.PNEFilter{}, []int{0, 1, 2, 3, 4, 5, 6}},
			{server.PNEFilter{Owner: "alice"}, []int{1, 2, 4, 5}},
			{server.PNEFilter{Owner: "nobody"}, nil},
			{server.PNEFilter{Gateway: "gw-1"}, []int{1, 3, 5, 6}},
			{server.PNEFilter{State: server.PNEFree}, []int{0, 6}},
			{server.PNEFilter{State: server.PNEOwned}, []int{2}},
			{server.PNEFilter{State: server.PNEAssigned}, []int{1, 3, 4, 5}},
			{server.PNEFilter{Prefix: "a-"}, []int{1, 2, 3}},
			{server.PNEFilter{Prefix: "a~"}, []int{5}},
			{server.PNEFilter{Prefix: "a%"}, nil},
			{server.PNEFilter{Owner: "alice", Gateway: "gw-1", State: server.PNEAssigned, Prefix: "a"}, []int{1, 5}},
		} {
			var wanted []server.PNE
			for _, n := range tt.wanted {
				wanted = append(wanted, all[n])
			}
			want(t, fmt.Sprintf("%+v", tt.filter), pnesOf(t, tx, tt.filter), nil, wanted)
		}
		return nil
	})
}

func replica(id string, seen time.Time) server.Replica {
	return server.Replica{ID: id, Name: "host of " + id, Seen: seen, Keys: []server.KeyID{{1, 2, 3, 4}, {0xff}}}
}

func testReplicas(t *testing.T, r Rig) {
	bare := server.Replica{ID: "d", Seen: start}
	update(t, r.Store, func(tx server.Tx) error {
		wantErr(t, "removing an unknown server", tx.RemoveReplica("a"), server.ErrNotFound)
		return errors.Join(tx.SetReplica(replica("a", start)), tx.SetReplica(replica("b", start)), tx.SetReplica(bare), tx.SetReplica(replica("c", start)),
			tx.SetReplica(replica("a", start.Add(time.Minute))))
	})
	view(t, r.Store, func(tx server.Tx) error {
		n, err := tx.CountReplicas(start)
		want(t, "all", n, err, 4)
		n, err = tx.CountReplicas(start.Add(time.Second))
		want(t, "those of lately", n, err, 1)
		all, err := tx.ReplicasSince(start)
		want(t, "who they all are", all, err, []server.Replica{replica("a", start.Add(time.Minute)), replica("b", start), replica("c", start), bare})
		all, err = tx.ReplicasSince(start.Add(time.Second))
		want(t, "who those of lately are", all, err, []server.Replica{replica("a", start.Add(time.Minute))})
		return nil
	})
	update(t, r.Store, func(tx server.Tx) error {
		return errors.Join(tx.SetReplica(server.Replica{ID: "a", Seen: start.Add(time.Minute)}), tx.RemoveReplica("b"), tx.PruneReplicas(start.Add(time.Second)))
	})
	view(t, r.Store, func(tx server.Tx) error {
		all, err := tx.ReplicasSince(start.Add(-time.Hour))
		want(t, "those that are left", all, err, []server.Replica{{ID: "a", Seen: start.Add(time.Minute)}})
		return nil
	})
}

// What is done with many PNEs at once is what is done with each.
func testManyPNEs(t *testing.T, r Rig) {
	update(t, r.Store, func(tx server.Tx) error {
		return errors.Join(addUsers(tx, "alice"), addPNE(tx, "there"), addPNE(tx, "removed"),
			tx.SetOwner(server.PNE{Entity: "removed", Owner: "alice", Epoch: 9}), tx.RemovePNE("removed"))
	})
	var pnes []server.PNE
	for _, e := range []cpns.EntityID{"z", "there", "a", "removed"} {
		pnes = append(pnes, server.PNE{Entity: e, TK: server.Sealed{7}, Owner: "alice", Epoch: 1, Created: start.Add(time.Hour)})
	}
	update(t, r.Store, func(tx server.Tx) error {
		known, err := tx.AddPNEs(pnes)
		want(t, "known", known, err, []cpns.EntityID{"there"})
		known, err = tx.AddPNEs(nil)
		want(t, "known of none", len(known), err, 0)
		return nil
	})
	view(t, r.Store, func(tx server.Tx) error {
		found, err := tx.PNEsAmong([]cpns.EntityID{"nothing", "removed", "there", "z", "a"})
		slices.SortFunc(found, func(a, b server.PNE) int { return strings.Compare(string(a.Entity), string(b.Entity)) })
		want(t, "among them", found, err, allPNEs(t, tx))
		want(t, "how many", len(found), nil, 4)
		for _, p := range found {
			if p.Entity == "there" && p.Owner != "" || p.Entity == "removed" && p.Epoch != 9 || p.Entity == "z" && (p.Epoch != 1 || p.Owner != "alice") {
				t.Errorf("%+v", p)
			}
		}
		found, err = tx.PNEsAmong(nil)
		want(t, "among none", len(found), err, 0)
		return nil
	})
}

func testRemovePNE(t *testing.T, r Rig) {
	pne := server.PNE{Entity: "pne", TK: server.Sealed{1}, Created: start}
	given := assignment("pne", 7, start)
	update(t, r.Store, func(tx server.Tx) error {
		wantErr(t, "removing an unknown PNE", tx.RemovePNE("pne"), server.ErrNotFound)
		wantErr(t, "TK of an unknown PNE", tx.SetTK("pne", server.Sealed{2}), server.ErrNotFound)
		return errors.Join(addUsers(tx, "alice", "bob"), tx.AddPNE(pne), addPNE(tx, "other"), tx.AddAssignment(given), tx.SetOwner(server.PNE{Entity: "pne", Owner: "alice", Epoch: 7}),
			tx.SetTK("pne", server.Sealed{3, 4}))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.PNE("pne")
		want(t, "with another TK", got, err, server.PNE{Entity: "pne", TK: server.Sealed{3, 4}, Owner: "alice", Epoch: 7, Created: start})
		return tx.RemovePNE("pne")
	})
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.PNE("pne")
		wantErr(t, "removed", err, server.ErrNotFound)
		wantErr(t, "removing again", tx.RemovePNE("pne"), server.ErrNotFound)
		wantErr(t, "TK of the removed", tx.SetTK("pne", server.Sealed{2}), server.ErrNotFound)
		wantErr(t, "owner of the removed", tx.SetOwner(server.PNE{Entity: "pne", Owner: "bob", Epoch: 9}), server.ErrNotFound)
		owned, err := tx.CountPNEsOf("alice")
		want(t, "alice's", owned, err, 0)
		want(t, "all that are left", len(allPNEs(t, tx)), nil, 1)
		old, err := tx.AssignmentByRandom(&given.RandPNGW)
		if err != nil || len(old.RandSVR) != 0 {
			t.Errorf("its assignment: %d bytes of RAND_SVR, error %v", len(old.RandSVR), err)
		}
		pne.Created = start.Add(time.Hour)
		return tx.AddPNE(pne)
	})
	view(t, r.Store, func(tx server.Tx) error {
		pne.Epoch = 7
		got, err := tx.PNE("pne")
		want(t, "added again", got, err, pne)
		return nil
	})
}

// addUsers adds users, who may own PNEs.
func addUsers(tx server.Tx, ids ...cpns.UserID) (err error) {
	for _, id := range ids {
		err = errors.Join(err, tx.AddUser(server.User{ID: id, PasswordHash: server.Sealed{1}, Created: start}))
	}
	return err
}

// addPNE adds a PNE without which there is no assignment.
func addPNE(tx server.Tx, e cpns.EntityID) error {
	return tx.AddPNE(server.PNE{Entity: e, TK: server.Sealed{1}, Created: start})
}

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

func testClaims(t *testing.T, r Rig) {
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	claim := func(u cpns.UserID, g cpns.GatewayID, e cpns.EntityID, minute int) server.Claim {
		return server.Claim{Entity: e, User: u, Gateway: g, Time: at(minute)}
	}
	update(t, r.Store, func(tx server.Tx) error {
		return errors.Join(
			tx.AddClaim(claim("alice", "gw-a", "1", 1)),
			tx.AddClaim(claim("alice", "gw-a", "2", 2)),
			tx.AddClaim(claim("alice", "gw-a", "3", 2)),
			tx.AddClaim(claim("alice", "gw-b", "4", 3)),
			tx.AddClaim(claim("bob", "gw-a", "5", 4)))
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.ClaimsAt("alice", "gw-a", at(0), at(60), 10)
		want(t, "the newest first", got, err, []time.Time{at(2), at(2), at(1)})
		got, err = tx.ClaimsAt("alice", "gw-a", at(1), at(60), 10)
		want(t, "after a time", got, err, []time.Time{at(2), at(2)})
		got, err = tx.ClaimsAt("alice", "gw-a", at(0), at(1), 10)
		want(t, "not after a time", got, err, []time.Time{at(1)})
		got, err = tx.ClaimsAt("alice", "gw-a", at(0), at(60), 1)
		want(t, "with a limit", got, err, []time.Time{at(2)})
		return tx.PruneClaims(at(2))
	})
	view(t, r.Store, func(tx server.Tx) error {
		got, err := tx.ClaimsAt("alice", "gw-a", at(0), at(60), 10)
		want(t, "after pruning", got, err, []time.Time{at(2), at(2)})
		return nil
	})
}

func testFailures(t *testing.T, r Rig) {
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	add := func(tx server.Tx, u cpns.UserID, g cpns.GatewayID, minute int) error {
		return tx.AddFailure(server.Failure{User: u, Gateway: g, Time: at(minute), RequestTag: server.Tag{byte(minute)}})
	}
	update(t, r.Store, func(tx server.Tx) error {
		for minute := range 8 {
			if err := errors.Join(add(tx, "eve", "gw-a", minute), add(tx, "eve", "gw-b", minute)); err != nil {
				return err
			}
		}
		return add(tx, "bob", "gw-a", 3)
	})
	update(t, r.Store, func(tx server.Tx) error {
		got, err := tx.FailuresAt("eve", "gw-a", at(4), at(60), 10)
		want(t, "after a time, the newest first", got, err, []time.Time{at(7), at(6), at(5)})
		got, err = tx.FailuresAt("eve", "gw-a", at(4), at(6), 10)
		want(t, "and not after another", got, err, []time.Time{at(6), at(5)})
		got, err = tx.FailuresAt("eve", "gw-a", start.Add(-time.Hour), at(60), 2)
		want(t, "with a limit", got, err, []time.Time{at(7), at(6)})
		got, err = tx.FailuresAt("nobody", "gw-a", start, at(60), 2)
		want(t, "of nobody", got, err, nil)
		count, err := tx.CountFailures("eve", at(4), at(60), 100)
		want(t, "count over gateways", count, err, 6)
		count, err = tx.CountFailures("eve", at(4), at(6), 100)
		want(t, "count up to a time", count, err, 4)
		count, err = tx.CountFailures("eve", at(4), at(60), 5)
		want(t, "count with a limit", count, err, 5)
		count, err = tx.CountFailures("nobody", at(4), at(60), 5)
		want(t, "count of nobody", count, err, 0)
		where, err := tx.FailedAt("bob", "eve", at(2), at(60), 10)
		want(t, "users and gateways", where, err, []server.FailedAt{{User: "bob", Gateway: "gw-a"}, {User: "eve", Gateway: "gw-a"}, {User: "eve", Gateway: "gw-b"}})
		where, err = tx.FailedAt("bob", "eve", at(3), at(60), 1)
		want(t, "users and gateways after a time, with a limit", where, err, []server.FailedAt{{User: "eve", Gateway: "gw-a"}})
		where, err = tx.FailedAt("bobby", "eva", at(0), at(60), 10)
		want(t, "users and gateways between two IDs", where, err, nil)
		wantErr(t, "the same request again", add(tx, "eve", "gw-a", 3), server.ErrExists)
		return errors.Join(tx.RemoveFailures("bob"), tx.RemoveFailures("nobody"), tx.PruneFailures(at(6)))
	})
	view(t, r.Store, func(tx server.Tx) error {
		count, err := tx.CountFailures("eve", start.Add(-time.Hour), at(60), 100)
		want(t, "count after pruning", count, err, 4)
		count, err = tx.CountFailures("bob", start.Add(-time.Hour), at(60), 100)
		want(t, "count after removing", count, err, 0)
		return nil
	})
}

func testEvents(t *testing.T, r Rig) {
	var events []server.Event
	for n := range 5 {
		events = append(events, server.Event{
			Time: start.Add(time.Duration(n) * time.Minute), Kind: server.EventAssigned, User: "alice", Entity: "pne",
			Gateway: "gw", Epoch: cpns.Epoch(n), Source: "192.0.2.1", Detail: fmt.Sprint("number ", n), MAC: server.Tag{byte(n), 31: 1},
		})
	}
	events[2] = server.Event{Time: events[2].Time, Kind: server.EventUserAdded, Source: "operator root"}
	events[4].Time = start // the clock was set back: the order is that of adding
	update(t, r.Store, func(tx server.Tx) error {
		for _, e := range events {
			if err := tx.AddEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	for n := range events {
		events[n].Seq = int64(n + 1)
	}
	view(t, r.Store, func(tx server.Tx) error {
		want(t, "all", eventsSince(t, tx, time.Time{}), nil, events)
		want(t, "since a time", eventsSince(t, tx, events[2].Time), nil, events[2:4])
		return nil
	})
	view(t, r.Store, func(tx server.Tx) error {
		got, err := tx.EventsAt([]int64{4, 99, 2})
		want(t, "by number", got, err, []server.Event{events[1], events[3]})
		got, err = tx.EventsAt(nil)
		want(t, "by no number", got, err, nil)
		return nil
	})
	update(t, r.Store, func(tx server.Tx) error { return tx.RemoveEvents([]int64{1, 3, 77}) })
	view(t, r.Store, func(tx server.Tx) error {
		want(t, "what is left", eventsSince(t, tx, time.Time{}), nil, []server.Event{events[1], events[3], events[4]})
		return nil
	})
}

func testSeals(t *testing.T, r Rig) {
	var seals []server.Seal
	for n := range int64(4) {
		seals = append(seals, server.Seal{Number: n + 1, Time: start.Add(time.Duration(n) * time.Second), Upto: 10 * n, Total: 9 * n, Entries: []byte{byte(n), 0}, MAC: []byte{0, byte(n)}})
	}
	update(t, r.Store, func(tx server.Tx) error {
		_, err := tx.LastSeal()
		wantErr(t, "the last of none", err, server.ErrNotFound)
		for _, s := range seals {
			if err := tx.AddSeal(s); err != nil {
				return err
			}
		}
		wantErr(t, "adding again", tx.AddSeal(seals[2]), server.ErrExists)
		return nil
	})
	update(t, r.Store, func(tx server.Tx) error {
		last, err := tx.LastSeal()
		want(t, "the last", last, err, seals[3])
		some, err := tx.SealsAfter(1, 2)
		want(t, "some", some, err, seals[1:3])
		wantErr(t, "removing what is not there", tx.RemoveSeal(5), server.ErrNotFound)
		return tx.RemoveSeal(1)
	})
	view(t, r.Store, func(tx server.Tx) error {
		left, err := tx.SealsAfter(0, 9)
		want(t, "what is left", left, err, seals[1:])
		return nil
	})
}
