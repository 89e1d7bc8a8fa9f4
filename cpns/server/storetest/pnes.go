package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func allPNEs(t *testing.T, tx server.Tx) []server.PNE {
	return pnesOf(t, tx, server.PNEFilter{})
}

func pnesOf(t *testing.T, tx server.Tx, f server.PNEFilter) []server.PNE {
	after := func(e cpns.EntityID, limit int) ([]server.PNE, error) { return tx.PNEsAfter(f, e, limit) }
	return collect(t, after, func(p server.PNE) cpns.EntityID { return p.Entity })
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

// addPNE adds a PNE without which there is no assignment.
func addPNE(tx server.Tx, e cpns.EntityID) error {
	return tx.AddPNE(server.PNE{Entity: e, TK: server.Sealed{1}, Created: start})
}
